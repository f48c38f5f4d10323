"""Accuracy of a network that is trained no further, with the tokens of lowest score removed; a curve a way to score."""
