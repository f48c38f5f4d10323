"""Figures of a stream that drifts: each builder takes a run's files and returns a section."""
