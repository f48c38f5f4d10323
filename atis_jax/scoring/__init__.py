"""Scorers: pure functions from tokens to keep decisions, all with one signature."""
