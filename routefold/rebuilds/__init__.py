"""What `rebuild`, `verify` and `diff` share: their arguments, their progress, their output."""
