"""ATIS itself: the analog scorer and its digital twin, their design, and how a chip is calibrated."""
