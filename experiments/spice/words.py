"""What is said of transistors and devices: whose they are, how many there were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atis_jax.report.formatting import count, join
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Table

_SPACE = "\u00a0"


def process_words(run: RunFiles) -> str:
    """Whose transistors ngspice simulated, where these are of no real process; empty otherwise."""
    targets = run.table("export").get("targets") or {}
    if not any(told.get("generic") for told in (run.table("spice"), run.table("fit"), targets.get("spice") or {})):
        return ""
    return (
        "Generic transistors: ngspice simulated a generic card that describes no real process. What follows checks our "
        "model and its tools; it says nothing of a chip that can be made."
    )


def process_note(run: RunFiles, name: str) -> tuple[Table, ...]:
    """The same as the first paragraph of a section; ``name``: the section's, for the paragraph's own."""
    words = process_words(run)
    return (Table(f"{name}_process", words, ()),) if words else ()


def population_words(groups: Sequence[Mapping[str, Any]]) -> str:
    """How many devices a spread is of, and in which conditions: the same dozen at two temperatures is a dozen."""
    sizes = sorted({int(group["devices"]) for group in groups})
    biases, temperatures = ({group[name] for group in groups} for name in ("bias_a", "temperature_c"))
    axes = [(len(biases), "bias", "biases"), (len(temperatures), "temperature", "temperatures")]
    if len(groups) < len(biases) * len(temperatures):
        axes = [(len(groups), "pair", "pairs of bias and temperature")]
    named = [count(*one) for one in axes if one[0] > 1]
    where = f"each of {join(named)}" if named else "one bias and temperature"
    return f"{join([f'{size:,}' for size in sizes])}{_SPACE}devices at {where}"
