"""The watch over keys slows every operation; here it is on where something is drawn."""

import jax
import pytest

DRAWING = ("test_circuits_chip", "test_circuits_statistics", "test_circuits_imperfections")


@pytest.fixture(scope="module", autouse=True)
def _keys_unwatched(request):
    """Chips are drawn by one function, whose keys are watched where it is tested."""
    with jax.debug_key_reuse(request.module.__name__ in DRAWING):
        yield
