"""Speed and memory of the parts that decide how long a run takes, as medians and ratios measured in one go.

    python -m experiments.benchmark [--json PATH] [--quick] [--only WORDS]

Cases of a section take turns (A B A B ...), so that what else the machine does hits them alike; ratios are medians of
the ratios of neighbours. Every section runs in a process of its own, whose peak memory is reported.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from atis_jax.xla_flag import XLA_CPU_CURE, XLA_CPU_DEFAULT
from experiments.files import write_json_atomically

ROOT = Path(__file__).parents[1]
REPETITIONS, LONG_REPETITIONS, QUICK_REPETITIONS = 41, 11, 3


class Ratio(NamedTuple):
    """Two cases of a section compared: the time of the first over that of the second, and what that says."""

    first: str
    second: str
    means: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A set of cases that take turns.

    Attributes:
        title: printed.
        children: process name -> (section of ``experiments.benchmark_cases``, whether the XLA cure is on).
        one_core: whether the processes may use one core only.
        ratios: cases compared; what one means holds its bound if there is one.
        quick: whether ``--quick`` measures it too.
        repetitions: turns of each case.
    """

    title: str
    children: dict[str, tuple[str, bool]]
    one_core: bool = False
    ratios: tuple[Ratio, ...] = ()
    quick: bool = True
    repetitions: int = REPETITIONS


SECTIONS = (
    Section(
        "training step of configs/quickstart.py",
        {"": ("training step", True)},
        ratios=(Ratio("analog", "digital", "analog scorer over digital scorer (bound 1.15)"),),
    ),
    Section(
        "analog score of 4096 tokens on one core, noise and gradient (aims: 64->1 0.7 ms, 512->64 8 ms)",
        {"": ("score", True)},
        one_core=True,
    ),
    Section(
        "64 chips x 4096 tokens, 64 inputs",
        {"": ("chips", True)},
        ratios=(Ratio("Python loop", "one vmapped call", "Python loop over one vmapped call"),),
    ),
    Section(
        "inference of configs/quickstart.py, one evaluation batch",
        {"": ("gathered", True)},
        ratios=(Ratio("dense", "gathered", "throughput with the pruned tokens removed, over dense"),),
    ),
    Section(
        "prefill of SmolLM2's shape, 512 words on one core",
        {"": ("prefill", True)},
        one_core=True,
        ratios=(Ratio("prefill", "its matrix products", "prefill over its matrix products (bound 1.5)"),),
        quick=False,
    ),
    Section(
        "decoding step of SmolLM2's shape, room for 1024 words, one core",
        {"": ("decoding", True)},
        one_core=True,
        ratios=(
            Ratio(
                "step after 900 words",
                "step after 16 words",
                "late step over early one (1: independent of how many words were said)",
            ),
        ),
        quick=False,
    ),
    *(
        Section(
            f"1,024 tokens, 12 blocks of width 192, batch {batch}: 70 % of the tokens really removed by the first",
            {"": (f"removal, batch {batch}", True)},
            ratios=(
                Ratio("already short", "ATIS", "throughput of ATIS over that of sequences already that short" + bound),
                Ratio("as short as what is kept", "ATIS", "the same over those without the room that rounding adds"),
                Ratio("dense", "ATIS", "throughput of ATIS over dense" + least),
                Ratio("dense", "ToMe", "throughput of ToMe over dense"),
                Ratio("dense", "DynamicViT", "throughput of DynamicViT over dense"),
            ),
            quick=False,
            repetitions=LONG_REPETITIONS,
        )
        for batch, bound, least in ((8, " (bound 0.9)", ""), (1, "", " (bound 1)"))
    ),
    Section(
        "training step with and without the XLA flag that makes small sums right",
        {"with the flag": ("flag", True), "without": ("flag", False)},
        ratios=(Ratio("with the flag", "without", "cost of the flag"),),
        quick=False,
    ),
)


class Child:
    """A process that compiled a section's cases and times one whenever it is asked."""

    def __init__(self, section: str, cure: bool, one_core: bool):
        self.command = [sys.executable, "-m", "experiments.benchmark_cases", section]
        environment = {**os.environ, "XLA_FLAGS": XLA_CPU_CURE if cure else XLA_CPU_DEFAULT}
        self.errors: list[str] = []
        # The core is chosen before the process starts: XLA sizes its thread pool when it is first used.
        with _bound_to_one_core() if one_core else contextlib.nullcontext():
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        self._reader = threading.Thread(target=self._collect_errors, daemon=True)
        self._reader.start()

    def _collect_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def receive(self) -> dict[str, Any]:
        """The next message.

        Raises:
            RuntimeError: the process ended instead; carries its last lines.
        """
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@"):
                return json.loads(line[1:])
        self.process.wait()
        self._reader.join()
        raise RuntimeError(
            f"{' '.join(self.command)} ended with code {self.process.returncode}:\n{''.join(self.errors[-10:])}"
        )

    def time(self, case: str) -> dict[str, Any]:
        """Give a case its turn: ``seconds`` of a run and the process's ``peak_bytes``."""
        assert self.process.stdin is not None
        self.process.stdin.write(case + "\n")
        self.process.stdin.flush()
        return self.receive()

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@contextlib.contextmanager
def _bound_to_one_core() -> Iterator[None]:
    """This thread, and what it starts meanwhile, on one core; nothing happens where that cannot be asked."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def children_of(section: Section) -> Iterator[dict[str, Child]]:
    """The section's processes, started together and ended whatever happens."""
    children = {name: Child(what, cure, section.one_core) for name, (what, cure) in section.children.items()}
    try:
        yield children
    finally:
        for child in children.values():
            child.close()


def measure(section: Section, repetitions: int) -> dict[str, Any]:
    """Times of every case, in turns; medians, quartiles, compile seconds, operations, peak memory, the ratios."""
    with children_of(section) as children:
        facts = {name: child.receive()["cases"] for name, child in children.items()}
        turns = [(name, case) for name, cases in facts.items() for case in cases]
        labels = {turn: turn[0] or turn[1] for turn in turns}
        seconds: dict[str, list[float]] = {label: [] for label in labels.values()}
        peaks = dict.fromkeys(children, 0)
        for _ in range(repetitions):
            for name, case in turns:
                told = children[name].time(case)
                seconds[labels[name, case]].append(told["seconds"])
                peaks[name] = told["peak_bytes"]
    result: dict[str, Any] = {
        "title": section.title,
        "one_core": section.one_core,
        "cases": {
            labels[name, case]: {
                **spread(seconds[labels[name, case]]),
                **facts[name][case],
            }
            for name, case in turns
        },
        "peak_bytes": max(peaks.values()),
    }
    result["ratios"] = {
        ratio.means: statistics.median(
            first / second for first, second in zip(seconds[ratio.first], seconds[ratio.second], strict=True)
        )
        for ratio in section.ratios
    }
    return result


def spread(seconds: Sequence[float]) -> dict[str, Any]:
    """Median, lower and upper quartile, smallest."""
    quartiles = statistics.quantiles(seconds, n=4, method="inclusive")
    return {
        "median_s": statistics.median(seconds),
        "quartiles_s": [quartiles[0], quartiles[2]],
        "min_s": min(seconds),
        "repetitions": len(seconds),
    }


def machine() -> dict[str, Any]:
    """Where the numbers come from; the load says how far to trust them."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_average": list(os.getloadavg()),
        "python": platform.python_version(),
        "jax": importlib.metadata.version("jax"),
    }


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "not known")


def table_of(result: dict[str, Any]) -> Table:
    """One section as a table."""
    counted = any(case["operations"] is not None for case in result["cases"].values())
    lines = [f"{means}: {ratio:.3f}" for means, ratio in result["ratios"].items()]
    turns = max(case["repetitions"] for case in result["cases"].values())
    caption = "\n".join([*lines, f"{turns} turns, peak memory {result['peak_bytes'] / 2**20:.0f} MiB"])
    table = Table(title=result["title"], caption=caption, title_justify="left", caption_justify="left")
    table.add_column("case")
    for column in (*(("operations",) if counted else ()), "median", "quartiles", "fastest", "compile"):
        table.add_column(column, justify="right")
    for name, case in result["cases"].items():
        low, high = case["quartiles_s"]
        table.add_row(
            name,
            *((operations_of(case),) if counted else ()),
            f"{1e3 * case['median_s']:.3g} ms",
            f"{1e3 * low:.3g} - {1e3 * high:.3g} ms",
            f"{1e3 * case['min_s']:.3g} ms",
            f"{case['compile_s']:.1f} s",
        )
    return table


def operations_of(case: dict[str, Any]) -> str:
    """Its share of the dense network's operations; nothing where they were not counted."""
    return "" if case["operations"] is None else f"{100 * case['operations']:.1f} %"


def main(argv: Sequence[str] | None = None) -> int:
    """Run every section; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmark", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the numbers to this file")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_REPETITIONS} repetitions, short sections alone")
    parser.add_argument("--only", metavar="WORDS", help="the sections alone whose titles hold these words")
    arguments = parser.parse_args(argv)
    chosen = [one for one in SECTIONS if one.quick or not arguments.quick]
    if arguments.only is not None:
        chosen = [one for one in SECTIONS if arguments.only in one.title]
        if not chosen:
            parser.error(
                f"--only {arguments.only!r}: no section's title holds that; they are:\n  "
                + "\n  ".join(one.title for one in SECTIONS)
            )
    console = Console(width=None if sys.stdout.isatty() else 110)
    before = machine()
    console.print(f"{before['processor']}, {before['cores']} cores, jax {before['jax']}")
    results = []
    for section in chosen:
        results.append(measure(section, QUICK_REPETITIONS if arguments.quick else section.repetitions))
        console.print(table_of(results[-1]))
    after = machine()
    console.print(f"load average {before['load_average'][0]:.1f} before, {after['load_average'][0]:.1f} after")
    if arguments.json is not None:
        write_json_atomically(arguments.json, {"before": before, "after": after, "sections": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
