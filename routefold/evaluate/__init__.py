"""What another policy would have earned, from what this one did and with what probability."""
