"""``launch.py`` with, if asked, a SIGKILL at a call of a function.

First argument: ``none`` or ``<function>|<text>|<n>``, the n-th call with ``text`` among its arguments; ``serve``
alone: see ``fork_server.serve``.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(folder) for folder in Path(__file__).resolve().parents[1:3]]

import coarse_pages  # noqa: E402
import fork_server  # noqa: E402

import experiments.metrics  # noqa: E402
import launch  # noqa: E402
from atis_jax.report import page  # noqa: E402
from atis_jax.training import checkpoints, evaluate  # noqa: E402
from experiments.montecarlo.table import CellTable  # noqa: E402


def die_at(holder, name: str, text: str, count: int) -> None:
    """Replace ``holder.name`` by a version that kills this process before that call."""
    original, calls = getattr(holder, name), 0

    def deadly(*args, **kwargs):
        nonlocal calls
        calls += text in " ".join(str(arg) for arg in args if isinstance(arg, (str, Path, dict)))
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(holder, name, deadly)


def run(die: str, *flags: str) -> int:
    """The launcher's exit code."""
    page.save = coarse_pages.save
    if die != "none":
        name, text, count = die.split("|")
        holders = {
            "write": experiments.metrics.MetricsLog,
            "_fingerprint": checkpoints,  # arrays written, checkpoint.json not
            "rename": checkpoints.os,  # the commit of a checkpoint
            "count_gathered": evaluate,
            "append": CellTable,
        }
        die_at(holders[name], name, text, int(count))
    return launch.cli([sys.argv[0], *flags])


if __name__ == "__main__":
    if sys.argv[1] != "serve":
        sys.exit(run(*sys.argv[1:]))
    import experiments.codesign  # noqa: F401

    fork_server.serve(run)
