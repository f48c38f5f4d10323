"""ATIS: differentiable co-design of analog token pruning and transformers in JAX."""

from atis_jax.xla_flag import configure_xla

__version__ = "0.1.0"

configure_xla()
