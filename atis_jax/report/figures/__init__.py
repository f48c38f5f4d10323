"""One file a figure. Each builder takes the run's files and returns a ``Section``, or raises ``Absent``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from atis_jax.report.figures.agreement import agreement
from atis_jax.report.figures.breakeven import break_even_maps, break_even_numbers
from atis_jax.report.figures.chips import chip_accuracy
from atis_jax.report.figures.closed_loop import closed_loop
from atis_jax.report.figures.deciding import deciding_numbers, what_decides
from atis_jax.report.figures.drift import image_shift, temperature_ramp, threshold_motion
from atis_jax.report.figures.drift_loop import hysteresis, moving_prototype, step_response
from atis_jax.report.figures.energy import energy
from atis_jax.report.figures.energy_tables import (
    latency,
    model_sizes,
    operation_counts,
    outside_figures,
    paper_numbers,
)
from atis_jax.report.figures.export_targets import target_accuracy, target_needs
from atis_jax.report.figures.fitted import fitted_curves, fitted_preset, law_residuals
from atis_jax.report.figures.gates import gates
from atis_jax.report.figures.joules import joules
from atis_jax.report.figures.noise import noise_sweep
from atis_jax.report.figures.patches import kept_patches
from atis_jax.report.figures.precision import effective_bits_knee, effective_bits_limits, precision_surface
from atis_jax.report.figures.pruning import kept_per_layer, score_distributions
from atis_jax.report.figures.retarget import retargeting
from atis_jax.report.figures.scenario_tables import verdicts_in_words, what_is_compared
from atis_jax.report.figures.scenarios import energy_of_a_pass
from atis_jax.report.figures.spice_arrays import array_sums, spread
from atis_jax.report.figures.spice_ota import noise_spectra, single_ota
from atis_jax.report.figures.thermal import temperature_sweep, transconductance
from atis_jax.report.figures.training import training_curves
from atis_jax.report.figures.transfer import dac_transfer, ota_transfer
from atis_jax.report.figures.yields import chip_yield, yield_causes
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Section

CODESIGN = ("codesign", "dense")
"""Experiments that train a network; a run of an unknown experiment gets their sections."""


class Entry(NamedTuple):
    """A section the page may have.

    Attributes:
        title: for the list of what is not in a run.
        figures: file names of the figures it writes, without ending.
        build: makes it from the run's files, or raises ``Absent``.
        experiments: whose runs it is meant for; in a run of another experiment it is not even missed.
        aside: its tables are looked up, not read, and go to files beside the page.
    """

    title: str
    figures: tuple[str, ...]
    build: Callable[[RunFiles], Section]
    experiments: tuple[str, ...] = CODESIGN
    aside: bool = False


# In page order.
SECTIONS: tuple[Entry, ...] = (
    Entry("Training", ("training",), training_curves),
    Entry("Kept patches, layer by layer", ("kept_patches",), kept_patches),
    Entry("Kept fraction per layer", ("kept_per_layer",), kept_per_layer),
    Entry("Scores against their threshold", ("scores",), score_distributions),
    Entry("Accuracy from chip to chip", ("chip_accuracy",), chip_accuracy),
    Entry("Energy", ("energy",), energy),
    Entry("OTA transfer curves", ("ota_transfer",), ota_transfer),
    Entry("DAC transfer curve and linearity", ("dac_transfer",), dac_transfer),
    Entry("Agreement with attention", ("agreement",), agreement),
    Entry("Temperature ramp", ("drift_temperature",), temperature_ramp, ("drift",)),
    Entry("Shift of the images", ("drift_shift",), image_shift, ("drift",)),
    Entry("The threshold's own motion", ("drift_threshold",), threshold_motion, ("drift",)),
    Entry("Step response of the adaptive threshold", ("drift_response",), step_response, ("drift",)),
    Entry("Hysteresis", ("drift_hysteresis",), hysteresis, ("drift",)),
    Entry("Prototype that follows the stream", ("drift_prototype",), moving_prototype, ("drift",)),
    Entry("Yield", ("yield",), chip_yield, ("yield",)),
    Entry("Which chips differ, and why", ("yield_causes",), yield_causes, ("yield",)),
    Entry("What each imperfection costs", ("noise_sweep",), noise_sweep, ("noise_sweep",)),
    Entry("Accuracy from cold to hot", ("temperature_sweep",), temperature_sweep, ("temperature_sweep",)),
    Entry("Do 4 to 6 effective bits suffice?", ("precision_knee",), effective_bits_knee, ("precision_sparsity",)),
    Entry(
        "Accuracy over the bits of converters and currents",
        ("precision_surface",),
        precision_surface,
        ("precision_sparsity",),
    ),
    Entry("What limits the effective bits", ("precision_limits",), effective_bits_limits, ("precision_sparsity",)),
    Entry("Transconductance against temperature", ("gm_temperature",), transconductance, ("temperature_sweep",)),
    Entry("One chip, another model", ("retarget",), retargeting, ("retarget",)),
    Entry("Energy of a pass", ("scenario_energy",), energy_of_a_pass, ("scenarios",)),
    Entry("What is compared", (), what_is_compared, ("scenarios",)),
    Entry("Where the joules go", ("joules",), joules, ("scenarios",)),
    Entry("What decides", ("tornado_twin", "tornado_folded"), what_decides, ("scenarios",)),
    Entry("Break-even maps", ("break_even",), break_even_maps, ("scenarios",)),
    Entry("Who wins where, in words", (), verdicts_in_words, ("scenarios",), aside=True),
    Entry("What decides, in numbers", (), deciding_numbers, ("scenarios",), aside=True),
    Entry("Break-even maps, in numbers", (), break_even_numbers, ("scenarios",), aside=True),
    Entry("How fast, and the roadmap's targets", (), latency, ("scenarios",), aside=True),
    Entry("Operation counts beside published ones", (), operation_counts, ("scenarios",), aside=True),
    Entry("Figures of others beside ours", (), outside_figures, ("scenarios",), aside=True),
    Entry("Larger models on the node", (), model_sizes, ("scenarios",), aside=True),
    Entry("The paper's numbers, computed again", (), paper_numbers, ("scenarios",), aside=True),
    Entry("Accuracy of each target", ("export_chips",), target_accuracy, ("export",)),
    Entry("The loop closed in ngspice", ("closed_loop",), closed_loop, ("export",)),
    Entry("Gates", (), gates, ("spice_validation", "export")),
    Entry("What each FPAA takes", (), target_needs, ("export",)),
    Entry("One OTA: SPICE and model", ("spice_curves", "spice_gm"), single_ota, ("spice_validation",)),
    Entry("Arrays, predicted and simulated", ("spice_sums",), array_sums, ("spice_validation",)),
    Entry("Spread from mismatch", ("spice_spread",), spread, ("spice_validation",)),
    Entry("Noise of one OTA", ("spice_noise",), noise_spectra, ("spice_validation",)),
    Entry("Curves and the law through them", ("fit_curves",), fitted_curves, ("fit",)),
    Entry("What the one law costs", ("fit_residuals",), law_residuals, ("fit",)),
    Entry("The preset", (), fitted_preset, ("fit",)),
)


def sections_for(experiment: str) -> tuple[Entry, ...]:
    """The sections meant for runs of ``experiment``; those of a co-design run if no section names it."""
    meant = tuple(entry for entry in SECTIONS if experiment in entry.experiments)
    return meant or sections_for(CODESIGN[0])


__all__ = ["CODESIGN", "SECTIONS", "Entry", "sections_for"]
