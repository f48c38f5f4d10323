"""Circuits that compute attention, or choose the query-key pairs it is computed for: what they take, how they wear."""
