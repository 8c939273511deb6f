"""The fast path: a picture in one pass, by optimal transport of features and a trained decoder."""
