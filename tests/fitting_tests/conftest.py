"""The watch over keys slows every operation; here it is off."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def _keys_unwatched():
    """Chips are drawn by functions whose keys the tests of circuits watch."""
    with jax.debug_key_reuse(False):
        yield
