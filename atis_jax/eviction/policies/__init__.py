"""Policies, one file a paper."""
