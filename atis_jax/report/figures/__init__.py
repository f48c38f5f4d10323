"""One file a figure. Each builder takes the run's files and returns a ``Section``, or raises ``Absent``."""

from __future__ import annotations

from collections.abc import Callable

from atis_jax.report.figures.agreement import agreement
from atis_jax.report.figures.chips import chip_accuracy
from atis_jax.report.figures.energy import energy
from atis_jax.report.figures.patches import kept_patches
from atis_jax.report.figures.pruning import kept_per_layer, score_distributions
from atis_jax.report.figures.training import training_curves
from atis_jax.report.figures.transfer import dac_transfer, ota_transfer
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Section

# Title (for the list of what is not in a run), file names of the figures it writes, builder; in page order.
SECTIONS: tuple[tuple[str, tuple[str, ...], Callable[[RunFiles], Section]], ...] = (
    ("Training", ("training",), training_curves),
    ("Kept patches, layer by layer", ("kept_patches",), kept_patches),
    ("Kept fraction per layer", ("kept_per_layer",), kept_per_layer),
    ("Scores against their threshold", ("scores",), score_distributions),
    ("Accuracy from chip to chip", ("chip_accuracy",), chip_accuracy),
    ("Energy", ("energy",), energy),
    ("OTA transfer curves", ("ota_transfer",), ota_transfer),
    ("DAC transfer curve and linearity", ("dac_transfer",), dac_transfer),
    ("Agreement with attention", ("agreement",), agreement),
)

__all__ = ["SECTIONS"]
