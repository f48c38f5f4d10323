"""What the page of a run shows that trained a network."""
