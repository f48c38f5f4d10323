"""The numbers of README.md and docs/results.md: one config run with several seeds, on one machine or more.

    python -m experiments.repeats machine='AMD EPYC 7B13' runs/s0 runs/s1 machine='Apple M2' runs/m0 runs/m1
    python -m experiments.docs_tables

The first command reads the summaries of finished co-design runs and writes ``docs/results.json`` and the picture
``docs/results.svg``; the second puts sentence and table into the pages. A test makes all three again from
``docs/results.json`` and compares.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atis_jax.formatting import percent_decimals, sampling_error
from atis_jax.report.formatting import join
from atis_jax.report.sampling import Sample
from atis_jax.report.style import BLACK, BLUE, GREY, VERMILLION
from atis_jax.report.wording import Words, words_for
from atis_jax.strict_json import read_json
from atis_jax.validation import UserError
from experiments.arguments import parser
from experiments.files import write_json_atomically, write_text_atomically
from experiments.svg import circle, document, polyline, rectangle, text

DOCS = Path(__file__).parents[1] / "docs"
NUMBERS, PICTURE = DOCS / "results.json", DOCS / "results.svg"

ACCURACY = ("dense", "hardware_mean", "hardware_std", "hardware_worst", "ideal", "random")
TOKENS = ("pruned_fraction", "pruned_fraction_final_layer")
ENERGY = ("dense_j", "total_j", "digital_j", "digital_folded_j")
_MAY_DIFFER = {"seed", "checkpoint_every", "data.data_dir"}

Run = dict[str, Any]
Results = dict[str, Any]


def read_run(folder: Path, machine: str) -> tuple[Run, dict[str, Any]]:
    """What is told of one finished run, and its config without what may differ between repeats.

    Raises:
        UserError: no finished co-design run there, or one that lacks a number that the pages show.
    """
    try:
        config, summary = (read_json(folder / name, nan=True) for name in ("config.json", "summary.json"))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no finished run ({error}); finish it with launch.py, or leave it out") from error
    wanted = {"accuracy": ACCURACY, "tokens": TOKENS, "energy": ENERGY}
    missing = [
        f"{part}.{name}" for part, names in wanted.items() for name in names if name not in summary.get(part, {})
    ]
    if missing:
        raise UserError(f"{folder}: summary.json has no {join(missing)}; give runs of configs/quickstart.py")
    told = {part: {name: summary[part][name] for name in names} for part, names in wanted.items()}
    run = {"machine": machine, "seed": summary["seed"], "chips": summary["accuracy"]["chips"], **told}
    run |= {"examples": summary["dataset"]["examples"], "unit": words_for(summary["dataset"].get("unit")).unit}
    return run, _without(config, _MAY_DIFFER)


def _without(config: dict[str, Any], names: set[str], prefix: str = "") -> dict[str, Any]:
    """``config`` without the fields of these dotted names."""
    kept = {key: value for key, value in config.items() if prefix + key not in names}
    return {
        key: _without(value, names, f"{prefix}{key}.") if isinstance(value, dict) else value
        for key, value in kept.items()
    }


def collect(arguments: Sequence[str]) -> Results:
    """The runs named on the command line, in its order.

    Args:
        arguments: ``machine=NAME`` followed by the run folders of that machine, as often as wanted.

    Raises:
        UserError: no run, a folder before any machine, one seed twice on a machine, runs of different configs.
    """
    runs: list[Run] = []
    first: tuple[Path, dict[str, Any]] | None = None
    machine = ""
    for argument in arguments:
        if argument.startswith("machine="):
            machine = argument.removeprefix("machine=")
            continue
        folder = Path(argument).expanduser()
        if not machine:
            raise UserError(f"{folder}: name its machine first, for instance machine='AMD EPYC 7B13' {folder}")
        run, config = read_run(folder, machine)
        if any((other["machine"], other["seed"]) == (machine, run["seed"]) for other in runs):
            raise UserError(f"{folder}: seed {run['seed']} of {machine} is given twice; leave one out")
        if first is not None and config != first[1]:
            raise UserError(f"{folder} and {first[0]} differ in more than their seed; give runs of one config")
        first = first or (folder, config)
        runs.append(run)
    if not runs:
        raise UserError("no run is given; write python -m experiments.repeats machine=NAME FOLDER FOLDER ...")
    return {"runs": runs}


def read_numbers() -> Results:
    """What the last ``python -m experiments.repeats`` found."""
    return json.loads(NUMBERS.read_text(encoding="utf-8"))


def standard_error(accuracy: float, examples: int) -> float:
    """Sampling error of an accuracy in points."""
    return 100 * sampling_error(accuracy, examples)


def decimals(error: float) -> int:
    """Decimals down to the first digit of an error in points: 0.48 gives 1, 1.1 gives 0."""
    return percent_decimals(error / 100)


def _values(results: Results, part: str, name: str, machine: str | None = None) -> list[float]:
    return [run[part][name] for run in results["runs"] if machine in (None, run["machine"])]


def _mean(results: Results, part: str, name: str) -> float:
    return statistics.fmean(_values(results, part, name))


def _machines(results: Results) -> list[str]:
    return list(dict.fromkeys(run["machine"] for run in results["runs"]))


def _examples(results: Results) -> int:
    return results["runs"][0]["examples"]


def _words(results: Results) -> Words:
    return words_for(results["runs"][0]["unit"])


def _percent(results: Results, name: str) -> str:
    """Lowest and highest accuracy of the runs, down to the first digit of the sampling error."""
    values = _values(results, "accuracy", name)
    places = decimals(standard_error(statistics.fmean(values), _examples(results)))
    low, high = (f"{100 * end:.{places}f}" for end in (min(values), max(values)))
    return f"{low} %" if low == high else f"{low} to {high} %"


def _count(number: int, noun: str) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return f"{words[number] if number < len(words) else number} {noun}{'' if number == 1 else 's'}"


def sentence(results: Results | None = None) -> str:
    """The README's paragraph: who wins, who loses, and by how much, with no digit below the sampling error."""
    results = results or read_numbers()
    runs, machines = results["runs"], _machines(results)
    dense, analog = _mean(results, "accuracy", "dense"), _mean(results, "accuracy", "hardware_mean")
    error = standard_error(dense, _examples(results))
    shown = f"{error:.{decimals(error)}f}"
    lost = 100 * (dense - analog)
    if Sample(_examples(results)).sign(analog, dense) == 0:
        verdict = "so analog and dense do not differ"
    else:
        verdict = f"and analog is {abs(lost):.{decimals(error)}f} points {'below' if lost > 0 else 'above'} dense"
    energy = {name: _mean(results, "energy", name) for name in ENERGY}
    saved = round(100 * (1 - energy["total_j"] / energy["dense_j"]))
    pruned = 100 * _mean(results, "tokens", "pruned_fraction")
    folded = 100 * (energy["digital_folded_j"] / energy["total_j"] - 1)
    than = "as much as" if abs(folded) < 0.5 else f"{abs(folded):.0f} % {'more' if folded > 0 else 'less'} than"
    where = "" if len(machines) == 1 else f" on {_count(len(machines), 'processor')}"
    words = [
        f"{_count(len(runs), 'run').capitalize()}{where}: dense {_percent(results, 'dense')},",
        f"analog {_percent(results, 'hardware_mean')}, random pruning {_percent(results, 'random')}.",
        f"One standard error is {shown} points, {verdict}.",
        f"Pruning {pruned:.0f} % of the {_words(results).tokens}",
        f"{'saves' if saved > 0 else 'costs'} {abs(saved)} % of the energy.",
        f"The same score in digital, folded to one vector, takes {than} analog.",
    ]
    return textwrap.fill(" ".join(words), 120, break_long_words=False, break_on_hyphens=False)


def table(results: Results | None = None) -> str:
    """The table of docs/results.md: a column a machine, ranges over seeds, and what changes with the machine alone."""
    results = results or read_numbers()
    machines = _machines(results)
    error = standard_error(_mean(results, "accuracy", "dense"), _examples(results))
    places = decimals(error)
    coarse = decimals(standard_error(_mean(results, "accuracy", "random"), _examples(results)))
    chips, words = _count(results["runs"][0]["chips"], "chip"), _words(results)
    rows = [
        ("dense, trained as long", "accuracy", "dense", places, 100, "%"),
        (f"analog, mean of {chips}", "accuracy", "hardware_mean", places, 100, "%"),
        (f"analog, worst of {chips}", "accuracy", "hardware_worst", places, 100, "%"),
        ("analog, standard deviation of chips", "accuracy", "hardware_std", 2, 100, "points"),
        ("analog, perfect chip", "accuracy", "ideal", places, 100, "%"),
        ("random pruning at the same fractions", "accuracy", "random", coarse, 100, "%"),
        (f"{words.tokens} pruned, mean of layers", "tokens", "pruned_fraction", 1, 100, "%"),
        (f"{words.tokens} pruned, last layer", "tokens", "pruned_fraction_final_layer", 1, 100, "%"),
        (f"energy of {words.one}, dense", "energy", "dense_j", 2, 1e6, "µJ"),
        (f"energy of {words.one}, analog", "energy", "total_j", 2, 1e6, "µJ"),
        ("the same score in digital", "energy", "digital_j", 2, 1e6, "µJ"),
        ("the same score in digital, folded", "energy", "digital_folded_j", 2, 1e6, "µJ"),
    ]
    seeds = {name: [run["seed"] for run in results["runs"] if run["machine"] == name] for name in machines}
    heads = [
        f"{name}, seed{'s' if len(seeds[name]) > 1 else ''} {join(list(map(str, seeds[name])))}" for name in machines
    ]
    several = len(machines) > 1
    lines = ["| | " + " | ".join(heads) + (" | machines apart, same seed |" if several else " |")]
    lines.append("|" + "---|" * (1 + len(machines) + several))
    for label, part, name, digits, factor, unit in rows:
        cells = [_range([factor * v for v in _values(results, part, name, m)], digits, unit) for m in machines]
        if several:
            cells.append(_apart(results, part, name, digits, factor, "points" if unit == "%" else unit))
        lines.append("| " + " | ".join([label, *cells]) + " |")
    return "\n".join(lines)


def _range(values: Sequence[float], digits: int, unit: str) -> str:
    """Mean, and the range where there are several and it can be seen."""
    low, high = (f"{end:.{digits}f}" for end in (min(values), max(values)))
    middle = f"{statistics.fmean(values):.{digits}f} {unit}"
    return middle if low == high else f"{middle} ({low} to {high})"


def _apart(results: Results, part: str, name: str, digits: int, factor: float, unit: str) -> str:
    """The largest difference between two machines at one seed."""
    found: dict[int, list[float]] = {}
    for run in results["runs"]:
        found.setdefault(run["seed"], []).append(factor * run[part][name])
    spans = [max(values) - min(values) for values in found.values() if len(values) > 1]
    if not spans:
        return ""
    shown = f"{max(spans):.{digits}f}"
    return f"up to {shown} {unit}" if float(shown) else "none"


DOTS = (
    ("dense", "dense", BLACK),
    ("analog, pruned", "hardware_mean", VERMILLION),
    ("random, pruned", "random", GREY),
)
BARS = (("dense", "dense_j", BLACK), ("analog", "total_j", VERMILLION), ("folded digital", "digital_folded_j", BLUE))
"""Rows of the picture: label, name in the summary, colour."""

_LEFT, _PANEL = 196.0, 430.0
_TOP, _STEP = 66.0, 40.0
WIDTH, HEIGHT = 860, 226


def picture(results: Results | None = None) -> str:
    """The strip as SVG: a dot a run over a band of one standard error; beside it bars of energy."""
    results = results or read_numbers()
    dense = _mean(results, "accuracy", "dense")
    measured = [100 * value for _, name, _ in DOTS for value in _values(results, "accuracy", name)]
    low, high = 10 * math.floor(min(measured) / 10), min(100, 10 * math.ceil((max(measured) + 2) / 10))
    scale = (_PANEL - _LEFT) / (high - low)

    def x(value: float) -> float:
        return _LEFT + scale * (value - low)

    error = standard_error(dense, _examples(results))
    bottom = _TOP + 2 * _STEP + 22
    shapes = [
        text(20, 32, "Accuracy, percent", 17, "start", bold=True),
        rectangle(x(100 * dense - error), _TOP - 20, 2 * error * scale, 2 * _STEP + 40, "#dbe4f0"),
        polyline([(_LEFT, bottom), (_PANEL, bottom)], GREY, 1),
    ]
    for tick in range(low, high + 1, 10 if high - low <= 50 else 20):
        shapes += [
            polyline([(x(tick), bottom), (x(tick), bottom + 5)], GREY, 1),
            text(x(tick), bottom + 21, str(tick), 14, fill=GREY),
        ]
    for index, (label, name, colour) in enumerate(DOTS):
        y = _TOP + _STEP * index
        shapes.append(text(20, y + 5, label.capitalize(), 16, "start"))
        for repeat, value in enumerate(_values(results, "accuracy", name)):
            apart = 0 if len(results["runs"]) == 1 else 4 * (repeat % 3 - 1)  # or dots of one value hide each other
            shapes.append(circle(x(100 * value), y + apart, 5, colour, "#ffffff"))
    count = _count(len(results["runs"]), "run")
    shapes.append(
        text(
            20,
            HEIGHT - 12,
            f"A dot is a run ({count}); the band is one standard error around dense.",
            14,
            "start",
            GREY,
        )
    )
    return document(WIDTH, HEIGHT, "Accuracy and energy", _description(results), [*shapes, *_bars(results)])


def _bars(results: Results) -> list[str]:
    """Energy of an example: dense, analog, and the digital rival that loses or wins."""
    values = {name: _mean(results, "energy", name) for _, name, _ in BARS}
    largest = max(values.values())
    left, longest = 590.0, 170.0
    shapes = [text(470, 32, f"Energy of {_words(results).one}", 17, "start", bold=True)]
    for index, (label, name, colour) in enumerate(BARS):
        y, length = _TOP + _STEP * index, longest * values[name] / largest
        shapes += [
            text(470, y + 5, label.capitalize(), 16, "start"),
            rectangle(left, y - 11, length, 22, colour, corner=2),
            text(left + length + 8, y + 5, f"{1e6 * values[name]:.2f} µJ", 16, "start"),
        ]
    return shapes


def _description(results: Results) -> str:
    """What a screen reader says."""
    accuracy = [f"{label} {_percent(results, name)}" for label, name, _ in DOTS]
    energy = [f"{label} {1e6 * _mean(results, 'energy', name):.2f} µJ" for label, name, _ in BARS]
    return f"Accuracy: {join(accuracy)}. Energy of {_words(results).one}: {join(energy)}."


def main(runs: Sequence[str]) -> int:
    """Read the runs, write numbers and picture."""
    results = collect(runs)
    write_json_atomically(NUMBERS, results)
    write_text_atomically(PICTURE, picture(results))
    print(f"{sentence(results)}\n\n{table(results)}\n")
    print(f"wrote {NUMBERS.name} and {PICTURE.name} in docs; now the pages: python -m experiments.docs_tables")
    return 0


if __name__ == "__main__":
    _parser = parser("experiments.repeats", __doc__)
    _parser.add_argument("runs", nargs="+", metavar="machine=NAME | FOLDER", help="a machine, then the runs made on it")
    try:
        sys.exit(main(_parser.parse_args().runs))
    except UserError as error:
        sys.exit(f"error: {error}")
