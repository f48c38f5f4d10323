"""Masks and the packing of survivors: which tokens go on, and how they are really removed."""
