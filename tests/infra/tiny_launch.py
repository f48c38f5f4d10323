"""``launch.py`` with the tiny experiment registered and, if asked, a SIGKILL at a chosen call of a function.

First argument: ``none`` or ``<function>:<n>:<when>``, as in ``rename:3:before``; ``serve`` alone: see
``fork_server.serve``.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(folder) for folder in Path(__file__).resolve().parents[1:3]]

import fork_server  # noqa: E402

import experiments.metrics  # noqa: E402
import launch  # noqa: E402
from atis_jax.training import checkpoints  # noqa: E402
from experiments import registry  # noqa: E402


def die_at(holder, name: str, count: int, when: str) -> None:
    """Replace ``holder.name`` by a version that kills this process at call ``count``."""
    original, calls = getattr(holder, name), 0

    def deadly(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == count and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(holder, name, deadly)


def run(die: str, *flags: str) -> int:
    """The launcher's exit code."""
    if die != "none":
        name, count, when = die.split(":")
        holders = {
            "write": experiments.metrics.MetricsLog,
            "save": checkpoints.ocp,  # Orbax's own write
            "_fingerprint": checkpoints,  # arrays written, checkpoint.json not
            "_sync": checkpoints,
            "rename": checkpoints.os,  # the commit
        }
        die_at(holders[name], name, int(count), when)
    return launch.cli([sys.argv[0], *flags])


if __name__ == "__main__":
    registry.EXPERIMENTS["tiny"] = registry.Experiment("tiny_experiment:TinySettings", "tiny_experiment:run")
    if sys.argv[1] != "serve":
        sys.exit(run(*sys.argv[1:]))
    import tiny_experiment  # noqa: F401

    fork_server.serve(run)
