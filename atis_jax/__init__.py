"""ATIS: differentiable co-design of analog token pruning and transformers in JAX."""

__version__ = "0.1.0"
