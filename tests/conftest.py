"""Shared test setup: the CPU cure before first device use, kept programs, key-reuse checking, warnings that matter."""

import ctypes
import functools
import gc
import os
import sys

# Tests ask what is computed, not how fast: programs made in a quarter of the time, in processes that tests start too.
# Nor is a program cut into pieces that could be compiled side by side: the cutting is a sixth of the compiler's work.
_QUICKER = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_QUICKER}".strip()
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402
from jax._src.interpreters import mlir  # noqa: E402

import atis_jax  # noqa: E402, F401
from experiments.compile_cache import DEFAULTS, FOLDER_VARIABLE, keep_compiled_programs  # noqa: E402
from experiments.montecarlo.memory import resident_bytes  # noqa: E402

MOST_BYTES, MODULE_BYTES = 1700 << 20, 500 << 20
"""What a worker may take, and what a module adds to it; one that adds more says so as ``MODULE_BYTES`` of its own."""

# The compiler's context is made once, not for each of thousands of programs: a program kept keeps its context, and that
# is half of a worker's memory. JAX has no public name for it; where this one is gone, programs are dropped more often.
if hasattr(mlir, "make_ir_context"):
    mlir.make_ir_context = functools.cache(mlir.make_ir_context)

# What is imported stays: collections walk over what tests make alone, and less often.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 20)

# On a busy machine drawing examples takes long, which says nothing of what is tested.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

jax.config.update("jax_debug_key_reuse", True)
if FOLDER_VARIABLE not in os.environ and (_folder := keep_compiled_programs()):
    # Processes that tests start use the same folder, whether or not they come through launch.py.
    os.environ[FOLDER_VARIABLE] = str(_folder)
    os.environ |= {name.upper(): str(getattr(jax.config, name)) for name in DEFAULTS}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file goes to one worker: what its tests share, trained runs and compiled programs, is made once."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False  # by the number of tests, the longest file of all would come last, alone
    return LoadFileScheduling(config, log)


def pytest_collection_modifyitems(items):
    """The file that takes longest comes first."""
    items.sort(key=lambda item: item.path.name != "test_training_resume.py")


@pytest.fixture(scope="module", autouse=True)
def _room(request):
    """Drop all programs once there is no room for a module more: over the whole suite they are gigabytes a worker.

    Before the module, not behind the one before it, whose last test still has what it was given.
    """
    if resident_bytes() + getattr(request.module, "MODULE_BYTES", MODULE_BYTES) > MOST_BYTES:
        jax.clear_caches()
        getattr(mlir.make_ir_context, "cache_clear", lambda: None)()
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)  # glibc keeps what is freed; elsewhere the system gets it back by itself


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def optimised():
    """The compiler's full optimisation for one test: of programs that are to agree to the bit as users compile them."""
    name = "jax_disable_most_optimizations"
    jax.clear_caches()
    jax.config.update(name, False)
    yield
    jax.config.update(name, True)
    jax.clear_caches()
