"""Logged picks, made again from the log alone: whether they are the same, and why they were."""
