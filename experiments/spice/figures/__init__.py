"""Figures of SPICE against the model and of fits: each builder takes a run's files and returns a section."""
