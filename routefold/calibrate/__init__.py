"""`routefold calibrate`: what the signals are worth on a user's own labelled conversations."""
