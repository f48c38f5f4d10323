"""The watch over keys slows every operation; here it is off."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def _keys_unwatched():
    """Nothing here draws at random."""
    with jax.debug_key_reuse(False):
        yield
