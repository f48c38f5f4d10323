"""What it costs: cited constants, an energy ledger per image, and the digital rivals. No flax, no optax."""
