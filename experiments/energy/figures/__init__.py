"""Figures and tables of the deployment scenarios: each builder takes a run's files and returns a section."""
