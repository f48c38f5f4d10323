"""A sequence of images that drifts: temperature, input distribution, adaptive thresholds, hysteresis."""
