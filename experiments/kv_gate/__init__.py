"""ATIS in front of a decoder's keys and values: on chips, by thresholds, beside what may look at the attention."""
