"""The energy experiments: deployment scenarios with break-even maps, the paper's numbers, the co-design front."""
