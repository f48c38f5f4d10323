"""Circuit simulation in ngspice: device models, cells at transistor level, test benches, results as arrays."""
