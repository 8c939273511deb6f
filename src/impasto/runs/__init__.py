"""A job and its run: start, checkpoints, resume."""
