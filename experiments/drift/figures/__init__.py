"""Figures of a sequence that drifts: each builder takes a run's files and returns a section."""
