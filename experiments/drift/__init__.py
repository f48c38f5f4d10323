"""A stream of images that drifts: temperature, input distribution, adaptive thresholds, hysteresis."""
