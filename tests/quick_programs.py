"""JAX for tests of what is computed, not of how fast: programs made in less time, and ordinary dispatch."""

import contextlib

import jax

NO_COSTLY_OPTIMISATIONS = "jax_disable_most_optimizations"


@contextlib.contextmanager
def quick_programs(key_reuse: bool):
    """Compile without the costly optimisations.

    Args:
        key_reuse: also check for keys used twice. That slows every operation, so it is for tests of what draws.
    """
    before = jax.config._read(NO_COSTLY_OPTIMISATIONS)
    jax.config.update(NO_COSTLY_OPTIMISATIONS, True)
    try:
        with jax.debug_key_reuse(key_reuse):
            yield
    finally:
        jax.config.update(NO_COSTLY_OPTIMISATIONS, before)
