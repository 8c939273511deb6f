"""Films: frames in and out, the motion between them, and painting them in order."""
