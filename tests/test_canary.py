"""JAX on CPU sums some small shapes wrongly (jax-ml/jax#39103): does our cure still work, and is it still needed?"""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from atis_jax.numerics import XLA_CPU_CURE, configure_xla

ROOT = Path(__file__).parents[1]

CANARY = """
import sys
if sys.argv[1] == "cured":
    from atis_jax.numerics import configure_xla
    configure_xla()
import jax, jax.numpy as jnp, numpy as np
matrix = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
rows = np.random.default_rng(1).normal(size=(40_000, 3)).astype(np.float32)
found = np.asarray(jax.jit(jax.vmap(lambda x: jnp.sum(jnp.asarray(matrix) @ x)))(rows))
wanted = (rows.astype(np.float64) @ matrix.T.astype(np.float64)).sum(axis=1)
print(int((np.abs(found - wanted) > 1e-4).sum()))
"""
# Rounding of nine float32 products of order one stays below 1e-5; a wrong row is wrong by order one.


def wrong_rows(mode: str) -> int:
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-c", CANARY, mode]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    return int(done.stdout)


def test_with_the_cure_every_sum_is_right():
    assert wrong_rows("cured") == 0


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the fault is in XLA's CPU backend")
def test_without_the_cure_sums_are_wrong_so_the_cure_is_needed():
    # If this fails on a newer JAX the fault was mended: drop the flag and these tests together.
    assert wrong_rows("bare") > 1000


def test_the_flag_is_appended_once_and_keeps_other_flags(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=1")
    configure_xla()
    configure_xla()
    assert os.environ["XLA_FLAGS"] == f"--xla_force_host_platform_device_count=1 {XLA_CPU_CURE}"


def test_the_tests_themselves_run_with_the_cure():
    assert XLA_CPU_CURE.split("=")[0].lstrip("-") in os.environ["XLA_FLAGS"]


def test_a_users_own_choice_for_this_flag_stands(monkeypatch):
    own = f"{XLA_CPU_CURE}LIBRARY_FUSION_TYPE_DOT"
    monkeypatch.setenv("XLA_FLAGS", own)
    configure_xla()
    assert os.environ["XLA_FLAGS"] == own


# Stands in for the first device use: prints the flags that XLA would read now, and ends there.
SPY = """
import os, runpy, sys
import jax
from jax._src import xla_bridge
def first_use(*arguments, **named):
    print("FLAGS", os.environ.get("XLA_FLAGS", ""), flush=True)
    os._exit(0)
xla_bridge.backends = first_use
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
jax.devices()
"""


@pytest.mark.parametrize("entry", ["launch.py", "tests/conftest.py"])
def test_entry_points_set_the_flag_before_the_first_device_use(entry, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-c", SPY, entry, "--config=configs/quickstart.py", f"--workdir={tmp_path / 'run'}"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    flags = [line for line in done.stdout.splitlines() if line.startswith("FLAGS")]
    assert flags, f"never came to a device:\n{done.stdout}\n{done.stderr}"
    assert XLA_CPU_CURE in flags[0].split()
