"""The transformer and its forward passes; the only package that knows Flax modules."""
