"""The table of runs as Markdown, as CSV and as LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from atis_jax.report.formatting import significant
from experiments.seeds import Repeats, spread_decimals, table_decimals
from experiments.wording import over_seeds

if TYPE_CHECKING:
    from experiments.table import Line

NUMBERS: Mapping[str, str] = {
    "tokens.pruned_fraction": "fraction",
    "tokens.pruned_fraction_final_layer": "fraction",
    "accuracy.dense": "fraction",
    "accuracy.hardware_mean": "fraction",
    "accuracy.hardware_std": "fraction",
    "accuracy.ideal": "fraction",
    "accuracy.digital": "fraction",
    "accuracy.random": "fraction",
    "energy.scoring_j": "J/example",
    "energy.total_j": "J/example",
    "energy.dense_j": "J/example",
}
"""Numbers of the summary that are averaged over seeds, and their units."""


def markdown(lines: Sequence[Line]) -> str:
    """Accuracies in percent to the digits of their sampling error, +- the standard deviation over seeds."""
    rows = [list(COLUMNS), ["---"] * len(COLUMNS), *_rows(lines)]
    # A pipe in a name would end the cell.
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def latex(lines: Sequence[Line]) -> str:
    """A plain ``tabular``, which needs no package; as ``markdown`` otherwise."""
    body = [" & ".join(map(_escaped, row)) + r" \\" for row in [list(COLUMNS), *_rows(lines)]]
    ruled = [r"\hline", body[0], r"\hline", *body[1:], r"\hline"]
    return "\n".join([rf"\begin{{tabular}}{{l{'r' * (len(COLUMNS) - 1)}}}", *ruled, r"\end{tabular}"])


def comma_separated(lines: Sequence[Line]) -> str:
    """Every number by its full name with its unit: mean, standard deviation over seeds, and how many seeds have it."""
    rows = [_full_row(line) for line in lines]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().rstrip("\n")


def _full_row(line: Line) -> dict[str, str | int | float]:
    row: dict[str, str | int | float] = {
        "design": line.design,
        "runs": " ".join(str(run.folder) for run in line.runs),
        "seeds": len(line.runs),
        "dataset.split": line.split(),
        "dataset.examples": line.examples() or "",
    }
    found = {name: line.repeats(name) for name in NUMBERS}
    found["accuracy.hardware_mean - accuracy.random"] = line.repeats("accuracy.hardware_mean", "accuracy.random")
    for name, repeats in found.items():
        unit = NUMBERS.get(name, "fraction")
        spread = None if repeats is None else repeats.spread
        row[f"{name} mean [{unit}]"] = "" if repeats is None else repeats.mean
        row[f"{name} std over seeds [{unit}]"] = "" if spread is None else spread
        row[f"{name} n"] = 0 if repeats is None else repeats.n
    error, worst = line.error("accuracy.hardware_mean"), line.repeats("accuracy.hardware_worst")
    row["accuracy.hardware_mean sampling error [fraction]"] = "" if error is None else error
    row["accuracy.hardware_worst min [fraction]"] = "" if worst is None else min(worst.values)
    row["accuracy.chips sum"] = _chips(line)
    return row


def _percent(name: str, less: str | None = None) -> Callable[[Line], str]:
    """Mean and spread in percent; of fewer seeds than the row has, it says of how many."""

    def cell(line: Line) -> str:
        repeats = line.repeats(name, less)
        if repeats is None:
            return ""
        decimals = table_decimals(line.error(name))
        text = f"{100 * repeats.mean:{'+' if less else ''}.{decimals}f}"
        if repeats.spread is not None:
            text += f" +- {100 * repeats.spread:.{spread_decimals(repeats.spread, decimals)}f}"
        return text + _of(repeats, line)

    return cell


def _energy(name: str) -> Callable[[Line], str]:
    def cell(line: Line) -> str:
        repeats = line.repeats(name)
        if repeats is None:
            return ""
        return over_seeds(name, repeats).replace("\u00a0", " ").replace("±", "+-") + _of(repeats, line)

    return cell


def _fraction(name: str) -> Callable[[Line], str]:
    def cell(line: Line) -> str:
        repeats = line.repeats(name)
        return "" if repeats is None else f"{repeats.mean:.3f}"

    return cell


def _of(repeats: Repeats, line: Line) -> str:
    return "" if repeats.n == len(line.runs) else f" (n = {repeats.n})"


def _worst(line: Line) -> str:
    worst = line.repeats("accuracy.hardware_worst")
    return (
        "" if worst is None else f"{100 * min(worst.values):.{table_decimals(line.error('accuracy.hardware_worst'))}f}"
    )


def _spread_of_chips(line: Line) -> str:
    spread = line.repeats("accuracy.hardware_std")
    return "" if spread is None else significant(100 * spread.mean, 2)


def _sampling(line: Line) -> str:
    error = line.error("accuracy.hardware_mean")
    return "" if error is None else significant(100 * error, 2)


def _chips(line: Line) -> int:
    chips = line.repeats("accuracy.chips")
    return 0 if chips is None else int(sum(chips.values))


COLUMNS: Mapping[str, Callable[[Line], str]] = {
    "design": lambda line: line.design,
    "pruned, mean of layers": _fraction("tokens.pruned_fraction"),
    "pruned, final layer": _fraction("tokens.pruned_fraction_final_layer"),
    "seeds": lambda line: str(len(line.runs)),
    "evaluated on": lambda line: line.split(),
    "dense (%)": _percent("accuracy.dense"),
    "analog: mean over chips (%)": _percent("accuracy.hardware_mean"),
    "its sampling error (points)": _sampling,
    "std over chips (points)": _spread_of_chips,
    "worst chip (%)": _worst,
    "perfect chip (%)": _percent("accuracy.ideal"),
    "digital (%)": _percent("accuracy.digital"),
    "random (%)": _percent("accuracy.random"),
    "analog - random (points)": _percent("accuracy.hardware_mean", "accuracy.random"),
    "chips": lambda line: str(_chips(line)),
    "scoring, an example": _energy("energy.scoring_j"),
    "all, an example": _energy("energy.total_j"),
    "dense network, an example": _energy("energy.dense_j"),
}
"""Title and cell of each column for people; ``comma_separated`` has its own."""


def _rows(lines: Sequence[Line]) -> list[list[str]]:
    return [[cell(line) for cell in COLUMNS.values()] for line in lines]


_LATEX = {
    "\\": r"\textbackslash{}",
    **{mark: rf"\{mark}" for mark in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "µ": r"$\mu$",
    "μ": r"$\mu$",
    "\u2212": "$-$",
    "×": r"$\times$",
    **{mark: f"$^{{{plain}}}$" for mark, plain in zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True)},
}
_SIGNED = re.compile(r"^([+-])(?=\d)")


def _escaped(text: str) -> str:
    """Text as LaTeX sets it: special characters escaped, ``+-`` and a leading sign in mathematics."""
    text = "".join(_LATEX.get(character, character) for character in text)
    return _SIGNED.sub(r"$\1$", text.replace("+-", r"$\pm$"))


FORMATS: Mapping[str, Callable[[Sequence[Line]], str]] = {
    "markdown": markdown,
    "csv": comma_separated,
    "latex": latex,
}
