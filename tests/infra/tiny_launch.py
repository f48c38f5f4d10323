"""``launch.py`` with the tiny experiment registered and, if asked, a SIGKILL at a chosen call of a function.

First argument: ``none`` or ``<function>:<n>:<when>``, as in ``rename:3:before``. With the argument ``serve`` it
reads one command a line from its input, ``[[die, *flags], file of the output, file of the errors]``, and runs each in
a process that is forked after the imports, which take longer than the tiny run itself. It says the number of that
process, then its exit status.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

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


def serve() -> None:
    """One forked process a line. JAX warns of forks for its threads, which start with its first device: not here."""
    import tiny_experiment  # noqa: F401

    warnings.filterwarnings("ignore", "os.fork")
    for line in sys.stdin:
        command, out, err = json.loads(line)
        assert threading.active_count() == 1
        child = os.fork()
        if child == 0:
            for path, stream in ((os.devnull, 0), (out, 1), (err, 2)):
                os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), stream)
            sys.exit(run(*command))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    registry.EXPERIMENTS["tiny"] = registry.Experiment("tiny_experiment:TinySettings", "tiny_experiment:run")
    sys.exit(serve() if sys.argv[1] == "serve" else run(*sys.argv[1:]))
