"""The other ways to choose tokens, one file a paper."""
