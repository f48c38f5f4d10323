"""The pages of the experiments over chips."""

from __future__ import annotations

from atis_jax.report.contents import Contents, Entry
from atis_jax.report.run_files import Arrays
from experiments.montecarlo.account import cost
from experiments.montecarlo.figures.noise import noise_sweep
from experiments.montecarlo.figures.precision import effective_bits_knee, effective_bits_limits, precision_surface
from experiments.montecarlo.figures.thermal import temperature_sweep, transconductance
from experiments.montecarlo.figures.yields import chip_yield, yield_causes
from experiments.montecarlo.strips import noise_strip, precision_strip, temperature_strip, yield_strip

YIELD = Contents(
    strip=yield_strip,
    strip_figures=("strip_yield",),
    sections=(
        Entry("Yield", ("yield",), chip_yield),
        Entry("Which chips differ, and why", ("yield_causes",), yield_causes),
    ),
    arrays=Arrays(
        shapes={
            "yield_change": "yield_a yield_c yield_t",
            "yield_kept": "yield_a yield_c yield_t yield_l",
            "yield_temperature_c": "yield_t",
            "yield_ideal": "yield_a",
            "yield_chip_change": "yield_c",
            "yield_chip_kept": "yield_c yield_l",
            "yield_chip_shift_v": "yield_c yield_l",
        },
    ),
    rows=cost,
)
NOISE = Contents(
    strip=noise_strip,
    strip_figures=("strip_noise",),
    sections=(Entry("What each imperfection costs", ("noise_sweep",), noise_sweep),),
    arrays=Arrays(
        shapes={
            "noise_scale": "noise_s",
            "noise_change": "noise_i noise_s noise_c",
            "noise_kept": "noise_i noise_s noise_c",
            "noise_ideal": "",
        },
    ),
    rows=cost,
)
TEMPERATURE = Contents(
    strip=temperature_strip,
    strip_figures=("strip_temperature",),
    sections=(
        Entry("Accuracy from cold to hot", ("temperature_sweep",), temperature_sweep),
        Entry("Transconductance against temperature", ("gm_temperature",), transconductance),
    ),
    arrays=Arrays(
        shapes={
            "thermal_c": "thermal_t",
            "thermal_change": "thermal_a thermal_c thermal_t",
            "thermal_kept": "thermal_a thermal_c thermal_t",
            "thermal_ideal": "thermal_a",
            "gm_c": "gm_t",
            "gm_current_a": "gm_i",
            "gm_ratio": "gm_b gm_i gm_t",
        },
    ),
    rows=cost,
)
PRECISION = Contents(
    strip=precision_strip,
    strip_figures=("strip_precision",),
    sections=(
        Entry("Do 4 to 6 effective bits suffice?", ("precision_knee",), effective_bits_knee),
        Entry("Accuracy over the bits of converters and currents", ("precision_surface",), precision_surface),
        Entry("What limits the effective bits", ("precision_limits",), effective_bits_limits),
    ),
    arrays=Arrays(
        shapes={
            "precision_dac_bits": "precision_d",
            "precision_programming_bits": "precision_p",
            "precision_inputs": "precision_a",
            "precision_pruned": "precision_a",
            "precision_change": "precision_a precision_d precision_p precision_c",
            "precision_kept": "precision_a precision_d precision_p precision_c",
            "precision_kept_more": "precision_a precision_d precision_p",
            "precision_bits": "precision_a precision_d precision_p precision_c",
            "precision_bits_raw": "precision_a precision_d precision_p precision_c",
            "precision_bits_alone": "precision_a precision_d precision_p",
            "precision_change_alone": "precision_a precision_d precision_p",
            "precision_bits_linear": "precision_a precision_d precision_p precision_c",
            "precision_holds": "precision_a precision_d precision_p",
            "precision_fails": "precision_a precision_d precision_p",
        },
    ),
    rows=cost,
)
