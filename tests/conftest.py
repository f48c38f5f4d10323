"""Shared test setup: the CPU cure before first device use, key-reuse checking, warnings that matter."""

from atis_jax.numerics import configure_xla

configure_xla()

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield
