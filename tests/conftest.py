"""Shared test setup: the CPU cure before first device use, kept programs, key-reuse checking, warnings that matter."""

import ctypes
import gc
import os
import sys

import jax
import pytest

import atis_jax  # noqa: F401
from experiments.compile_cache import DEFAULTS, FOLDER_VARIABLE, keep_compiled_programs

jax.config.update("jax_debug_key_reuse", True)
# Tests ask what is computed, not how fast: programs made in half the time, in processes that tests start too.
jax.config.update("jax_disable_most_optimizations", True)
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
if FOLDER_VARIABLE not in os.environ and (_folder := keep_compiled_programs()):
    # Processes that tests start use the same folder, whether or not they come through launch.py.
    os.environ[FOLDER_VARIABLE] = str(_folder)
    os.environ |= {name.upper(): str(getattr(jax.config, name)) for name in DEFAULTS}


@pytest.fixture(scope="module", autouse=True)
def _room_for_the_next_module():
    """Drop the programs of a module when it is done: over the whole suite they are gigabytes a worker."""
    yield
    jax.clear_caches()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # glibc keeps what is freed; elsewhere the system gets it back by itself


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield
