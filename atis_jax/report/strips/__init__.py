"""What opens a page: one strip a run, the same three things whatever the experiment (a sentence, pictures, numbers)."""

from __future__ import annotations

from collections.abc import Callable

from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Strip
from atis_jax.report.strips.circuits import export_strip, fit_strip, retarget_strip, validation_strip
from atis_jax.report.strips.codesign import codesign_strip, dense_strip
from atis_jax.report.strips.montecarlo import (
    drift_strip,
    noise_strip,
    precision_strip,
    temperature_strip,
    yield_strip,
)
from atis_jax.report.strips.scenarios import scenarios_strip

STRIPS: dict[str, Callable[[RunFiles], Strip]] = {
    "scenarios": scenarios_strip,
    "yield": yield_strip,
    "noise": noise_strip,
    "temperature": temperature_strip,
    "precision": precision_strip,
    "drift": drift_strip,
    "spice": validation_strip,
    "fit": fit_strip,
    "export": export_strip,
    "retarget": retarget_strip,
}
"""By the section of summary.json that an experiment writes and no other does."""


def strip_of(run: RunFiles) -> Strip:
    """The strip of a run: of the experiment whose section its summary has, else of a training run."""
    for section, build in STRIPS.items():
        if run.summary.get(section):
            return build(run)
    return dense_strip(run) if run.experiment == "dense" else codesign_strip(run)


__all__ = ["STRIPS", "strip_of"]
