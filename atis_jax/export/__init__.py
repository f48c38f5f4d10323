"""A co-designed scorer out of Python and back: the design bundle, netlists and build guides made from it."""
