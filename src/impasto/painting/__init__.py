"""The slow path: a canvas whose pixels are optimized."""
