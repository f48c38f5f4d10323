"""What each part of the signal chain costs, one part a file: pure functions of prices, shapes and knobs."""
