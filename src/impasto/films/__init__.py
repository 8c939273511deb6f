"""Films: frames in and out, the motion between them, and painting one after the other."""
