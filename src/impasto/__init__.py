"""impasto repaints photographs in the style of paintings."""
