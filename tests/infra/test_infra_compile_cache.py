"""Programs kept on disk: the same numbers from them, no others' programs, no fault where none can be kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from experiments import compile_cache
from experiments.compile_cache import keep_compiled_programs, processor, program_folder

ROOT = Path(__file__).parents[2]
CACHE_VARIABLES = {"JAX_COMPILATION_CACHE_DIR", *(name.upper() for name in compile_cache.DEFAULTS)}

# A donated buffer, as in a training step; prints what was found in the cache, what was not, and the numbers.
PROGRAM = """
import collections, jax, numpy as np
from experiments.compile_cache import keep_compiled_programs
keep_compiled_programs()
seen = collections.Counter()
jax.monitoring.register_event_listener(lambda name, **_: seen.update([name.rpartition("/")[2]]))
step = jax.jit(lambda w, x: w - 0.1 * jax.grad(lambda w: (jax.numpy.tanh(x @ w) ** 2).mean())(w), donate_argnums=0)
rng = np.random.default_rng(0)
weights, inputs = (jax.numpy.asarray(rng.normal(size=(64, 64)), "float32") for _ in range(2))
seen.clear()
for _ in range(3):
    before, weights = weights, step(weights, inputs)
print(seen["cache_hits"], seen["cache_misses"], before.is_deleted(), np.asarray(weights).tobytes().hex()[:4000])
"""


def in_a_new_process(cache: Path, **more: str) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name not in CACHE_VARIABLES}
    environment |= {"XDG_CACHE_HOME": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", **more}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_a_second_process_finds_the_program_and_its_numbers_but_not_under_other_xla_flags(tmp_path):
    first, second = in_a_new_process(tmp_path), in_a_new_process(tmp_path)
    assert first[:3] == ["0", "1", "True"]
    assert second[:3] == ["1", "0", "True"]
    assert first[3] == second[3]  # the same program on the same machine: bit for bit
    assert in_a_new_process(tmp_path, XLA_FLAGS="--xla_cpu_enable_fast_math=true")[:2] == ["0", "1"]


@pytest.fixture
def no_folder_yet(monkeypatch):
    """JAX without a folder, as in a user's first run; the options are put back after the test."""
    names = ["jax_compilation_cache_dir", "jax_enable_compilation_cache", *compile_cache.DEFAULTS]
    before = {name: getattr(jax.config, name) for name in names}
    for name in CACHE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_folder_is_the_users_alone_and_of_bounded_size(tmp_path, monkeypatch, no_folder_yet):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = keep_compiled_programs()
    assert folder == program_folder() and folder.is_relative_to(tmp_path / "atis_jax")
    assert jax.__version__ in folder.name and processor() in folder.name
    assert folder.stat().st_mode & 0o077 == 0
    assert jax.config.jax_compilation_cache_dir == str(folder)
    assert jax.config.jax_compilation_cache_max_size == 2 << 30


def test_a_users_own_choices_stand(tmp_path, monkeypatch, no_folder_yet):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "unused"))
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    assert keep_compiled_programs() == tmp_path / "own"
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "own")
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_enable_compilation_cache", False)
    assert keep_compiled_programs() is None and jax.config.jax_compilation_cache_dir is None
    jax.config.update("jax_enable_compilation_cache", True)
    assert not (tmp_path / "unused").exists()
    monkeypatch.setenv("JAX_COMPILATION_CACHE_MAX_SIZE", "12345")
    before = jax.config.jax_compilation_cache_max_size  # JAX read the variable when it was imported
    keep_compiled_programs()
    assert jax.config.jax_compilation_cache_max_size == before


def test_a_folder_that_cannot_be_made_costs_one_line_and_no_run(tmp_path, monkeypatch, capsys, no_folder_yet):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert keep_compiled_programs() is None and jax.config.jax_compilation_cache_dir is None
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "JAX_COMPILATION_CACHE_DIR=FOLDER" in said and str(tmp_path / "file") in said


def test_programs_whose_writer_was_killed_are_removed(tmp_path, monkeypatch, no_folder_yet):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = program_folder()
    folder.mkdir(parents=True)
    for name in ("jit_whole-1-cache", "jit_whole-1-atime", "jit_half-2-cache", "jit_removed-3-atime", "other"):
        (folder / name).write_bytes(b"12345678")
    keep_compiled_programs()
    left = {path.name for path in folder.iterdir()} - {".lockfile"}
    assert left == {"jit_whole-1-cache", "jit_whole-1-atime", "other"}


def test_processors_with_other_instructions_have_other_names(tmp_path):
    def named(text: str) -> str:
        (tmp_path / "cpuinfo").write_text(text)
        return processor(tmp_path / "cpuinfo")

    epyc = "processor : 0\nmodel name\t: AMD EPYC (2)\nflags\t\t: fpu avx2 sse\n\nprocessor : 1\nflags : none\n"
    assert named(epyc).startswith("AMD-EPYC-2-")
    assert named(epyc) == named(epyc.replace("fpu avx2 sse", "avx2 sse fpu"))
    assert named(epyc) != named(epyc.replace("avx2", "avx512f"))
    elsewhere = processor(tmp_path / "missing")  # neither Linux nor x86
    assert elsewhere and "/" not in elsewhere
