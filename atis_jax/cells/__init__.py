"""The circuit that is built: its transistors, what they draw, and what follows for power. Netlist, ledger and model."""
