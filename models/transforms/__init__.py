"""Transforms of exposures that every model family shares: the NumPy reference, and copies for gradients beside it."""
