"""Many starts of a launcher from one process that has imported, which takes longer than the tiny runs themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


class Launcher:
    """Starts ``script`` as often as asked, each time in a new process of an interpreter that has imported."""

    def __init__(self, script: Path, folder: Path, environment: Mapping[str, str] | None = None):
        command = [sys.executable, str(script), "serve"]
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
        self.process = subprocess.Popen(command, **pipes, env={**os.environ, **(environment or {})})
        self.out, self.err = folder / "out", folder / "err"

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *_) -> None:
        with self.process:
            self.process.stdin.close()

    def begin(self, *flags: str, die: str = "none") -> int:
        """The number of a process that runs from now on; ``end`` waits for it."""
        self.process.stdin.write(json.dumps([[die, *flags], str(self.out), str(self.err)]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self) -> subprocess.CompletedProcess:
        code = int(self.process.stdout.readline())
        return subprocess.CompletedProcess([], code, self.out.read_text(), self.err.read_text())

    def __call__(self, *flags: str, die: str = "none") -> subprocess.CompletedProcess:
        self.begin(*flags, die=die)
        return self.end()


def serve(run: Callable[..., int]) -> None:
    """The script's side: one forked process a line of input, whose number and exit status it says.

    A line is ``[[die, *flags], file of the output, file of the errors]``; ``run(die, *flags)`` gives the exit code. JAX
    warns of forks for its threads, which start with its first device: not here.
    """
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
