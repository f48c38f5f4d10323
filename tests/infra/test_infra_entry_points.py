"""Every ``python -m`` of ours: its help is help, and what only one system has is not imported at the top."""

from __future__ import annotations

import ast
import runpy
import sys
import types
from pathlib import Path

import pytest

from experiments.montecarlo import memory

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for folder in ("atis_jax", "experiments", "configs") for path in sorted((ROOT / folder).rglob("*.py"))]
ENTRY_POINTS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in SOURCES
    if '__name__ == "__main__"' in path.read_text()
]
POSIX_ONLY = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios"}


@pytest.mark.parametrize("module", ENTRY_POINTS)
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_help_is_help(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__", alter_sys=False)
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert out.startswith("usage: ") and module.removesuffix(".__main__") in out


def test_nothing_that_only_posix_has_is_imported_at_the_top():
    for path in [*SOURCES, ROOT / "launch.py"]:
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not POSIX_ONLY & {name.split(".")[0] for name in names}, f"{path}, line {node.lineno}"


def test_memory_in_use_is_known_on_windows_too(monkeypatch):
    class Process:
        def memory_info(self):
            return types.SimpleNamespace(peak_wset=7 * memory.MIB)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "psutil", types.SimpleNamespace(Process=Process))
    assert memory.peak_bytes() == 7 * memory.MIB
