"""Imports point down only; circuits and energy need JAX alone; nothing reaches for what it must not."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A package may import itself and what stands in a lower rank.
RANK = {
    **dict.fromkeys(("units", "rng", "numerics", "typing", "validation", "xla_flag", "statistics", "gates"), 0),
    "config": 1,
    "strict_json": 1,
    "formatting": 1,
    "cells": 1,
    "circuits": 2,
    "energy": 2,
    "spice": 2,
    "pruning": 2,
    "data": 2,
    "fitting": 3,
    "scoring": 3,
    "models": 4,
    "eviction": 5,
    "training": 5,
    "run": 6,
    "export": 6,
    "report": 7,
}
MODULES = sorted((ROOT / "atis_jax").rglob("*.py"))


@functools.cache
def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    return names


def part(module: str) -> str | None:
    pieces = module.split(".")
    return pieces[1] if pieces[0] == "atis_jax" and len(pieces) > 1 and pieces[1] in RANK else None


def name_of(path: Path) -> str:
    return path.relative_to(ROOT / "atis_jax").parts[0].removesuffix(".py")


def test_every_package_has_a_rank():
    assert {name_of(path) for path in MODULES} - {"__init__"} == set(RANK)


def offenders(paths, wrong) -> list[str]:
    """Every import of these files that ``wrong(path, module)`` finds wrong."""
    return [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in paths
        for module in sorted(imported(path))
        if wrong(path, module)
    ]


def test_imports_point_down():
    def upward(path, module):
        here, there = name_of(path), part(module)
        if module.split(".")[0] in ("experiments", "configs", "launch"):
            return True
        return there is not None and there != here and here in RANK and RANK[there] >= RANK[here]

    assert len(MODULES) > 100
    assert offenders(MODULES, upward) == []


def test_no_tensorflow_no_nnx():
    files = [*MODULES, *(ROOT / "experiments").rglob("*.py"), ROOT / "launch.py"]
    assert offenders(files, lambda _, name: name.split(".")[0] == "tensorflow" or name.startswith("flax.nnx")) == []


def test_flax_modules_live_in_models_only():
    users = {name_of(path) for path in MODULES if any(module.startswith("flax") for module in imported(path))}
    assert users <= {"models"}


@pytest.mark.slow
def test_circuits_and_energy_stand_alone():
    code = (
        "import sys, pkgutil, importlib\n"
        "for name in ('circuits', 'energy'):\n"
        "    p = importlib.import_module('atis_jax.' + name)\n"
        "    for m in pkgutil.iter_modules(p.__path__): importlib.import_module(p.__name__ + '.' + m.name)\n"
        "print([m for m in ('flax', 'optax', 'ml_collections', 'absl', 'tensorflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_nothing_below_the_launcher_imports_it():
    for path in (ROOT / "experiments").rglob("*.py"):
        assert not {module.split(".")[0] for module in imported(path)} & {"launch", "tests"}, path


@pytest.mark.slow
def test_a_run_loads_no_tensorflow():
    """tensorflow_datasets imports it as soon as it is asked for the wrong thing; it need not be installed."""
    code = (
        "import sys, launch, experiments.codesign, experiments.benchmark_cases\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'tf_keras', 'clu')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("folder", ["atis_jax", "experiments", "configs"])
def test_no_path_leads_out_of_the_repository(folder):
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                outside = "../" in node.value or node.value.startswith(("/work", "/home", "/root", "/opt"))
                assert not outside, f"{path.relative_to(ROOT)}, line {node.lineno}: {node.value!r}"
