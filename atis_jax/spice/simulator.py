"""ngspice as a subprocess: found, run within bounded time, its results as arrays, its errors with the netlist line."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from atis_jax.validation import UserError

EXECUTABLE = "NGSPICE"
"""Environment variable that names the executable; else ``ngspice`` is looked for on PATH."""
TIMEOUT_S = 120.0
_SHOWN = 8


class SpiceError(UserError):
    """A simulation could not be run; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Analysis:
    """One analysis of a deck and what is kept of it.

    Attributes:
        command: as ngspice's control language has it, such as ``dc Vd -0.15 0.15 0.001``.
        vectors: to keep, such as ``v(out)`` or ``i(Vo)``.
        plot: where they are, if not in the newest plot (``noise1`` after a noise analysis).
        points: that a complete analysis has; fewer are an error. None where the simulator chooses them.
    """

    command: str
    vectors: tuple[str, ...]
    plot: str | None = None
    points: int | None = None


@dataclasses.dataclass(frozen=True)
class Simulation:
    """What a deck gave.

    Attributes:
        results: of each analysis, its sweep variable under ``sweep`` and the vectors under their names, (points,).
        seconds: from start to end of the process, reading the netlist included.
    """

    results: tuple[dict[str, np.ndarray], ...]
    seconds: float


@dataclasses.dataclass(frozen=True)
class Deck:
    """A netlist to simulate.

    Attributes:
        text: title line, circuit and options, without ``.control`` and ``.end``.
        analyses: run one after the other.
        files: what the text includes, by name.
    """

    text: str
    analyses: tuple[Analysis, ...]
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)


def find_ngspice() -> Path:
    """The executable.

    Raises:
        SpiceError: there is none; says how to install it.
    """
    named = os.environ.get(EXECUTABLE)
    found = shutil.which(named or "ngspice")
    if found is None:
        where = f"{EXECUTABLE} = {named!r} is not an executable" if named else "ngspice is not on PATH"
        raise SpiceError(
            f"{where}; install it (Debian and Ubuntu: apt install ngspice; macOS: brew install ngspice; else "
            f"https://ngspice.sourceforge.io), or give its path in the environment variable {EXECUTABLE}"
        )
    return Path(found).absolute()  # a deck runs in a folder of its own


@functools.cache
def ngspice_version() -> str:
    """Such as ``ngspice-39``."""
    done = subprocess.run([find_ngspice(), "--version"], capture_output=True, text=True, timeout=30, check=False)
    named = re.search(r"ngspice-[\w.]+", done.stdout + done.stderr)
    return named.group() if named else "ngspice, version unknown"


def simulate(deck: Deck, *, timeout_s: float = TIMEOUT_S) -> Simulation:
    """Run ``deck`` in a folder of its own.

    Args:
        deck: circuit, analyses, included files.
        timeout_s: after which the process is killed, s.

    Raises:
        SpiceError: no ngspice, not done in time, or an error of the simulator, with the netlist line it is about.
    """
    executable = find_ngspice()
    with tempfile.TemporaryDirectory(prefix="atis-spice-") as scratch:
        folder = Path(scratch)
        for name, text in deck.files.items():
            (folder / name).write_text(text)
        (folder / "deck.cir").write_text(deck_with_control(deck))
        started = time.perf_counter()
        try:
            done = subprocess.run(
                [executable, "-n", "-b", "deck.cir"],
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
                # ngspice asks for two threads whatever it is told. Where anything else wants the cores they spin on
                # them, and a deck takes ten to a hundred times as long.
                env={**os.environ, "OMP_WAIT_POLICY": "passive"},
            )
        except subprocess.TimeoutExpired:
            raise SpiceError(
                f"ngspice had not finished {_title(deck.text)!r} after {timeout_s:g} s and was stopped; raise the "
                "time limit, or simulate fewer tokens, inputs or points"
            ) from None
        seconds = time.perf_counter() - started
        found = []
        for number, analysis in enumerate(deck.analyses):
            file = folder / f"result{number}.raw"
            result = read_raw(file.read_bytes()) if file.exists() else {}
            points = len(next(iter(result.values()), ()))
            if done.returncode or not points or (analysis.points is not None and points != analysis.points):
                raise SpiceError(_explained(deck, analysis, points, done))
            found.append(result)
        for analysis, result in zip(deck.analyses, found, strict=True):
            # Written as far as it came, with a return code of zero.
            if f"{analysis.command.split()[0]} simulation(s) aborted" in done.stderr + done.stdout:
                raise SpiceError(_explained(deck, analysis, len(next(iter(result.values()))), done))
    return Simulation(tuple(found), seconds)


def simulate_all(decks: Iterable[Deck], *, timeout_s: float = TIMEOUT_S) -> list[Simulation]:
    """``simulate`` for each, as many at a time as there are cores; results in order."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(lambda deck: simulate(deck, timeout_s=timeout_s), decks))


def deck_with_control(deck: Deck) -> str:
    """The text that ngspice is given: the circuit, the analyses, a binary file of each result."""
    lines = [deck.text.rstrip("\n"), ".control", "set filetype=binary"]
    for number, analysis in enumerate(deck.analyses):
        # Without this, an analysis that fails would leave the results of the one before to be written as its own.
        lines += ["destroy all", analysis.command]
        if analysis.plot is not None:
            lines.append(f"setplot {analysis.plot}")
        lines.append(f"write result{number}.raw {' '.join(analysis.vectors)}")
    return "\n".join([*lines, "quit", ".endc", ".end", ""])


def read_raw(content: bytes) -> dict[str, np.ndarray]:
    """The vectors of a binary raw file; the sweep variable as ``sweep``, the others under their names.

    Raises:
        SpiceError: not a complete raw file.
    """
    head, separator, body = content.partition(b"Binary:\n")
    fields = dict(re.findall(r"(?m)^([A-Z][\w. ]*):[ \t]*(.*)$", head.decode(errors="replace")))
    try:
        count, points = int(fields["No. Variables"]), int(fields["No. Points"])
        kind = np.complex128 if "complex" in fields["Flags"] else np.float64
        names = re.findall(r"(?m)^\t\d+\t(\S+)\t", head.decode(errors="replace").partition("Variables:\n")[2])
        values = np.frombuffer(body, kind, count * points).reshape(points, count)
        if not separator or len(names) != count:
            raise ValueError("its header does not list its variables")
    except (KeyError, ValueError) as error:
        raise SpiceError(f"ngspice left an unreadable result ({error})") from error
    return {"sweep" if i == 0 else name: values[:, i].copy() for i, name in enumerate(names)}


def _title(text: str) -> str:
    return text.partition("\n")[0].lstrip("* ")


def _explained(deck: Deck, analysis: Analysis, points: int, done: subprocess.CompletedProcess) -> str:
    """What went wrong, in ngspice's words, with the lines of the netlist that it names."""
    said = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    noise = re.compile(r"^(Note:|Trying gmin|Supplies reduced|Warning: .*gmin|No\. of Data|Circuit:|Doing analysis)")
    told = [line for line in said if not noise.match(line)] or said
    lines = deck_with_control(deck).splitlines()
    culprits = _lines_named(lines, told)
    wanted = "" if analysis.points is None else f" of {analysis.points}"
    what = f"{points}{wanted} points of" if points else "nothing of"
    shown = "\n  ".join(told[:_SHOWN])
    where = "".join(f"\n  netlist line {number + 1}: {lines[number]}" for number in culprits[:_SHOWN])
    return f"ngspice gave {what} {analysis.command!r} in {_title(deck.text)!r}:\n  {shown}{where}"


def _lines_named(lines: Sequence[str], told: Sequence[str]) -> list[int]:
    """Numbers of the netlist lines that the messages quote or count."""
    counted = [int(number) - 1 for line in told for number in re.findall(r"line no\. (\d+)", line)]
    squeezed = [" ".join(line.lower().split()) for line in lines]
    quoted = []
    for message in told:
        text = " ".join(message.lower().split())
        quoted += [i for i, line in enumerate(squeezed) if i and len(line) > 3 and line[0].isalpha() and line in text]
    return sorted({number for number in (*counted, *quoted) if 0 <= number < len(lines)})
