"""Published weights: read, told apart by name, and put where our networks have them. Nothing downloads."""
