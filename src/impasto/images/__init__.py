"""Pixels: files to tensors and back; knows no networks."""
