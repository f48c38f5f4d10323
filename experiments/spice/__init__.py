"""Experiments with ngspice: our model against transistors, and fits of hardware presets to curves."""
