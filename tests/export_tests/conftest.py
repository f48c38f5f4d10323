"""The watch over keys slows every operation; here it is off."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def _keys_unwatched():
    """Chips and designs are drawn by functions whose keys the tests of circuits and of scorers watch."""
    with jax.debug_key_reuse(False):
        yield
