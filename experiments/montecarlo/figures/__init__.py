"""Figures of the experiments over chips: each builder takes a run's files and returns a section."""
