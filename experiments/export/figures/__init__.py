"""Figures of exports and of reprogramming: each builder takes a run's files and returns a section."""
