"""What it costs: cited constants, an energy ledger per example, and the digital rivals. No flax, no optax."""
