"""How well the next token is said: bits a character of every arm, each over its error, and a table of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from atis_jax.report.charts import Dot, dots
from atis_jax.report.circuits import name_of
from atis_jax.report.errors import Absent
from atis_jax.report.formatting import count
from atis_jax.report.run_files import RunFiles, kind_of
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import DENSE, KINDS

LANGUAGE = "language"
"""Name of the summary's table."""
_ARMS = {
    "dense": "dense, trained as long",
    "dense_before": "dense, before",
    "hardware": "",
    "ideal": "perfect chip",
    "digital": "digital",
    "random": "random",
}
"""Arms in the order that they are told in; the design is called by its scorer."""


def says_words(run: RunFiles) -> bool:
    """Whether the run's network says the next token."""
    return bool(run.table(LANGUAGE))


def next_token(run: RunFiles) -> Section:
    """Every arm on every split that was evaluated on."""
    if not says_words(run):
        raise Absent(run.missing.get("summary.json", f"summary.json has no {LANGUAGE!r}"))
    told = run.table(LANGUAGE)
    head = ("split", "network", "nats a token", "perplexity", "bits a character")
    rows = [head]
    for split, arms in _parts(run).items():
        rows += [(split, _arm(run, name), *_cells(one)) for name, one in _ordered(arms)]
    windows = count(int(told["all"]["dense"]["windows"]), run.words.unit)
    caption = (
        f"Over {windows} of {told['tokens']} tokens, each of {told['characters_per_token']:.2f} characters on average. "
        "± is one standard error over windows; those of two arms are the same windows, so differences are known better."
    )
    alt = "Dots of bits a character, each over its error."
    return Section("Loss of the next token", (Picture("language", _drawn(run), alt, caption, table=tuple(rows)),))


def bits(run: RunFiles) -> Picture | None:
    """For the strip: bits a character of every arm."""
    if not says_words(run):
        return None
    alt = "Dots of bits a character, each over its error."
    return Picture("strip_accuracy", _drawn(run), alt, "Bands are one standard error. Left is better.")


def losses(run: RunFiles, arm: str = "dense") -> dict[str, str]:
    """``1.53 ± 0.02``, nats a token, of an arm by the split that was evaluated on."""
    return {split: _with_error(arms[arm], "loss") for split, arms in _parts(run).items()}


def _parts(run: RunFiles) -> Mapping[str, Any]:
    """The arms by split."""
    told = run.table(LANGUAGE)
    return told.get("parts") or {str(run.table("dataset").get("split", "all")): told["all"]}


def _drawn(run: RunFiles) -> Figure:
    kind, rows = kind_of(run), []
    for name, one in _ordered(run.table(LANGUAGE)["all"]):
        value, error = one["bits_per_character"], one["bits_per_character_error"]
        color = KINDS.get({"hardware": kind, "ideal": kind, "dense_before": "dense"}.get(name, name), DENSE)
        band = (value - error, value + error)
        words = _with_error(one, "bits_per_character").partition(" ")[0]
        rows.append(Dot(_arm(run, name), value, words, color, band, may_leave=name == "random"))
    return dots(rows, "bits a character")


def _ordered(arms: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, arms[name]) for name in (*_ARMS, *(other for other in arms if other not in _ARMS)) if name in arms]


def _arm(run: RunFiles, name: str) -> str:
    if name == "dense" and "hardware" not in run.table(LANGUAGE)["all"]:
        return "dense"
    return f"{name_of(kind_of(run))}, chips" if name == "hardware" else _ARMS.get(name, name.replace("_", " "))


def _cells(one: Mapping[str, float]) -> tuple[str, str, str]:
    perplexity = f"{one['perplexity']:.{_decimals(one['perplexity'] * one['loss_error'])}f}"
    return _with_error(one, "loss"), perplexity, _with_error(one, "bits_per_character")


def _with_error(one: Mapping[str, float], name: str) -> str:
    """A value and its standard error, no digit below the first one of the error."""
    error = one[f"{name}_error"]
    places = _decimals(error)
    return f"{one[name]:.{places}f} ± {error:.{places}f}"


def _decimals(error: float) -> int:
    """Places behind the point down to the first digit of an error."""
    places = 0
    while error < 10.0**-places and places < 6:
        places += 1
    return places
