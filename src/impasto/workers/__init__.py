"""Worker processes that paint, for batches, films and the studio."""
