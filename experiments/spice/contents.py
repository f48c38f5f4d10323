"""The pages of ngspice against the model, and of curves fitted."""

from __future__ import annotations

from atis_jax.report.contents import Contents, Entry
from atis_jax.report.run_files import Arrays
from experiments.spice.figures.arrays import array_sums, spread
from experiments.spice.figures.fitted import fitted_curves, fitted_preset, law_residuals
from experiments.spice.figures.gates import gates
from experiments.spice.figures.ota import noise_spectra, single_ota
from experiments.spice.strips import fit_strip, validation_strip

VALIDATION = Contents(
    strip=validation_strip,
    strip_figures=(),
    sections=(
        Entry("Gates", (), gates),
        Entry("One OTA: SPICE and model", ("spice_curves", "spice_gm"), single_ota),
        Entry("Arrays, predicted and simulated", ("spice_sums",), array_sums),
        Entry("Spread from mismatch", ("spice_spread",), spread),
        Entry("Noise of one OTA", ("spice_noise",), noise_spectra),
    ),
    arrays=Arrays(
        shapes={
            "spice_v": "spice_m",
            "spice_bias_a": "spice_b",
            "spice_curve": "spice_b spice_m",
            "spice_model": "spice_b spice_m",
            "spice_c": "spice_t",
            "spice_gm": "spice_b spice_t",
            "spice_gm_model": "spice_b spice_t",
            "spice_sum_inputs": "spice_i",
            "spice_sum": "spice_i spice_r",
            "spice_sum_model": "spice_i spice_r",
            "spice_devices": "spice_b spice_d 2",
            "spice_chips": "spice_b spice_o 2",
            "spice_noise_hz": "spice_f",
            "spice_noise": "spice_b spice_f",
        },
    ),
)
FIT = Contents(
    strip=fit_strip,
    strip_figures=(),
    sections=(
        Entry("Curves and the law through them", ("fit_curves",), fitted_curves),
        Entry("What the one law costs", ("fit_residuals",), law_residuals),
        Entry("The preset", (), fitted_preset),
    ),
    arrays=Arrays(
        shapes={
            "fit_v": "fit_m",
            "fit_bias_a": "fit_k",
            "fit_c": "fit_k",
            "fit_curve": "fit_k fit_m",
            "fit_model": "fit_k fit_m",
            "fit_residual": "fit_n 2",
        },
    ),
)
