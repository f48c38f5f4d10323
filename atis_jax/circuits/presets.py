"""Named hardware, every value with its source beside it.

Tags: V measured (ngspice with sky130, or files of real chips), D derived, P the ATIS paper, R recalled from
the literature and not checked against it, C chosen here because nobody gives a value (sweep it).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable

from atis_jax.cells.library import OTA_MIRROR_F, OTA_MIRROR_PER_DECADE
from atis_jax.circuits.comparator import ComparatorSpec
from atis_jax.circuits.dac import DacSpec
from atis_jax.circuits.floating_gate import FloatingGateSpec
from atis_jax.circuits.hardware import Hardware, check_hardware, with_fields
from atis_jax.circuits.ota import OtaSpec
from atis_jax.circuits.sky130 import SKY130_OTA
from atis_jax.circuits.thermal import ThermalSpec
from atis_jax.circuits.tia import TiaSpec
from atis_jax.units import FEMTO, MILLI, NANO, NOMINAL_TEMPERATURE_K, PICO


def _ideal() -> Hardware:
    """A linear multiply-accumulate: V = R_f sum_j I_j kappa V_fs u_j / 2U_T at every temperature."""
    return Hardware(
        name="ideal",
        max_inputs=4096,  # C: no physical limit; large enough for any projection
        supply_v=1.0,  # P: 1 V
        dac=DacSpec(bits=None, full_scale_v=0.1, unit_sigma=0.0, unit_capacitance_f=math.inf),
        ota=OtaSpec(
            law="linear",
            kappa=0.7,  # R: textbook value; sets the scale only
            kappa_per_k=0.0,
            kappa_per_decade=0.0,
            kappa_current_a=10 * NANO,
            kappa_sigma=0.0,
            kappa_chip_sigma=0.0,
            offset_sigma_v=0.0,
            additive_sigma=0.0,
            log_current_sigma=0.0,
            log_current_kappa_correlation=0.0,
            offset_additive_correlation=0.0,
            early_voltage_v=math.inf,
            specific_current_a=1e-6,  # not used by the linear law
            attenuation=1.0,
            capacitance_f=0.2 * PICO,  # settling only, as in `nominal`
        ),
        floating_gate=FloatingGateSpec(bits=None, error_sigma=0.0, min_current_a=0.0, max_current_a=math.inf),
        tia=TiaSpec(
            rail_sharpness=4,
            swing_v=math.inf,
            gain_sigma=0.0,
            offset_sigma_v=0.0,
            open_loop_gain=math.inf,
            bandwidth_hz=0.0,
            shot_noise_factor=0.0,
        ),
        comparator=ComparatorSpec(
            reference_bits=None,
            reference_span_v=1.0,
            offset_sigma_v=0.0,
            noise_v=0.0,
            hysteresis_fraction=0.0,
        ),
        thermal=ThermalSpec(
            bias="ptat",  # D: I ~ T cancels 1/U_T, so the score does not see the temperature
            nominal_temperature_k=NOMINAL_TEMPERATURE_K,
            current_per_k=0.0,
            specific_current_a=1e-6,
            mobility_exponent=1.5,
            threshold_fall_v_per_k=0.0,
            junction_v=0.65,
            junction_fall_v_per_k=0.0,
        ),
    )


def _nominal() -> Hardware:
    """A believable mid-size design: 64 inputs, 6 bits, trimmed floating gates, constant bias; no systematic offset."""
    return Hardware(
        name="nominal",
        max_inputs=64,  # P 4.2: 64-OTA array
        supply_v=1.8,  # V: a sky130 5T OTA does not work at 1 V
        token_time_s=math.inf,  # C: every token is read settled; a config may give it a time
        dac=DacSpec(
            bits=6,  # P 4.2
            full_scale_v=100 * MILLI,  # C: +-100 mV, tanh well used but not saturated
            unit_sigma=0.01,  # R: 0.5-1 % at 1 fF
            unit_capacitance_f=1 * FEMTO,  # R: 64 fF a side, 360 µV of kT/C between the two (D)
            used_bits=None,  # C: all of them; sweeps of the resolution set it
        ),
        ota=OtaSpec(
            law="tanh",  # D: weak inversion; `kappa_per_decade` stands in for the way out of it
            kappa=0.689,  # V: sky130 at 10 nA
            kappa_per_k=1.3e-4,  # V: sky130, 1.1-1.6e-4 from 1 to 100 nA
            kappa_per_decade=-0.04,  # V: sky130, 0.718 / 0.689 / 0.637 at 1 / 10 / 100 nA
            kappa_current_a=10 * NANO,  # where the kappa above was measured
            kappa_sigma=0.0025,  # V: sky130 Monte Carlo, 0.2-0.3 %
            kappa_chip_sigma=0.01,  # C: between a calibrated line and RASP's 4 %
            offset_sigma_v=4.2 * MILLI,  # V: sky130 Monte Carlo, 4.2-4.3 mV
            additive_sigma=0.02,  # V: sky130 Monte Carlo, 1.9-2.0 %
            log_current_sigma=0.0,  # programming trims the fabrication spread; its error is below
            log_current_kappa_correlation=-0.9,  # V: sky130; no effect while log_current_sigma is zero
            offset_additive_correlation=-0.38,  # V: sky130, -0.40 / -0.37 at 10 / 100 nA
            early_voltage_v=7.0,  # V: 5-9 V at L = 2-4 um
            specific_current_a=2.1e-6,  # V: fitted to the sky130 NMOS against temperature
            attenuation=1.0,  # none; law `attenuated` only
            capacitance_f=0.2 * PICO,  # D: 1 MHz tokens at 100 nA need 0.2 pF or less
            capacitance_per_decade=0.0,  # C: none; `sky130_fg` has what our cells show
            offset_drift_sigma_v_per_k=0.0,  # C: none; `sky130_fg` has what our cells show
            offset_lot_sigma_v=0.0,  # C: as above
            kappa_lot_sigma=0.0,  # C: as above
            systematic=None,  # C: nothing beside the law; a fit to curves sets it, `sky130_fg` has one
        ),
        floating_gate=FloatingGateSpec(
            bits=8,  # P: 8-10 bit
            error_sigma=0.01,  # R: 0.5-1 % good, 2-5 % typical
            min_current_a=0.1 * NANO,  # C: three decades; below, settling takes milliseconds
            max_current_a=100 * NANO,  # P 4.2
            used_bits=None,  # C: all of them; as above
        ),
        tia=TiaSpec(
            rail_sharpness=4,  # C
            swing_v=0.5,  # D: R_f = 0.5 V / sum I_b, and headroom at 1.8 V
            gain_sigma=0.01,  # R: matched poly resistors against the bias reference
            offset_sigma_v=2 * MILLI,  # R
            open_loop_gain=1000.0,  # V: the gain in the four-OTA reference simulation (60 dB)
            bandwidth_hz=1e6,  # D: settles to half an LSB of 6 bits in 0.77 µs of a 1 µs token
            shot_noise_factor=1.1,  # V: SPICE/theory 1.06-1.12
            readout="amplifier",  # P 3.3: a TIA
            offset_drift_sigma_v_per_k=0.0,  # C: none, as for the OTA
        ),
        comparator=ComparatorSpec(
            reference_bits=8,  # C: start at 8 bit over the score's span
            reference_span_v=1.0,  # D: the TIA's +-0.5 V
            offset_sigma_v=3 * MILLI,  # R: 2-10 mV
            noise_v=0.5 * MILLI,  # R: 0.1-1 mV
            hysteresis_fraction=0.0,  # C: reset before each token; the paper's 5-10 % is in `paper_4_2`
            trim_bits=None,  # C: no trim DAC; calibration adds one, see the page on calibration
            trim_span_v=0.0,  # C: as above
            offset_drift_sigma_v_per_k=0.0,  # C: none, as for the OTA
        ),
        thermal=ThermalSpec(
            bias="constant",  # C
            nominal_temperature_k=NOMINAL_TEMPERATURE_K,  # V: 27 C, at which the sky130 data were taken
            current_per_k=4.5e-4,  # V: sky130 mirror, 4-5e-4
            specific_current_a=2.1e-6,  # V: as above
            mobility_exponent=1.5,  # V: 1.50 fitted to the sky130 NMOS against temperature
            threshold_fall_v_per_k=0.538e-3,  # V: same fit, kappa v' = 0.371 mV/K
            junction_v=0.65,  # R: silicon diode at microamperes
            junction_fall_v_per_k=2e-3,  # R: with 0.65 V gives -6.2 % of gm for 10 C (D)
        ),
    )


def _paper_4_2() -> Hardware:
    """Section 4.2 of the paper, completed from `nominal` where it gives no number."""
    return with_fields(
        _nominal(),
        {
            "name": "paper_4_2",
            "supply_v": 1.0,  # P 4.2: 1 V x 100 nA x 64 = 6.4 µW
            "dac.bits": 6,  # P 4.2: 64 x 6 bit x 1 pJ = 384 pJ
            "ota.kappa": 0.7,  # R: the paper's gm = kappa I_b / 2U_T without a value
            "ota.kappa_per_decade": 0.0,  # the paper takes kappa as constant
            "floating_gate.bits": 8,  # P: 8-10 bit
            "floating_gate.max_current_a": 100 * NANO,  # P 4.2
            "tia.swing_v": 0.4,  # C: headroom of 0.1 V at 1 V
            "comparator.reference_span_v": 0.8,  # the swing
            "comparator.hysteresis_fraction": 0.05,  # P: 5-10 % of the threshold, taken of the span
            "thermal.bias": "fixed_charge",  # P 5.3: 30-40 % for 10 C is this row at 10-100 nA
        },
    )


def _rasp_350nm() -> Hardware:
    """A RASP-like FPAA in 350 nm: floating-gate weights and bias, long lines, real chips' kappa."""
    return with_fields(
        _nominal(),
        {
            "name": "rasp_350nm",
            "supply_v": 2.5,  # R: RASP 3.0
            "ota.kappa": 0.704,  # V: median of 30 chips' calibration files (jhasler/rasp30)
            "ota.kappa_per_decade": 0.0,  # not in those files
            "ota.kappa_chip_sigma": 0.029 / 0.704,  # V: sigma 0.029 over the 30 chips
            "ota.offset_sigma_v": 5 * MILLI,  # D: A_VT 8 mV um (R) at about 3 um^2
            "ota.capacitance_f": 1 * PICO,  # R: FPAA line, 0.1-1 pF
            "floating_gate.bits": 9,  # P: 8-10 bit
            "floating_gate.error_sigma": 0.02,  # R: 2-5 % typical on an FPAA
            "tia.swing_v": 0.8,  # C
            "tia.bandwidth_hz": 200e3,  # D: gm / 2 pi C at 100 nA and 1 pF is 0.2 MHz
            "comparator.offset_sigma_v": 5 * MILLI,  # R: 2-10 mV
            "comparator.reference_span_v": 1.6,  # the swing
            "thermal.bias": "fixed_charge",  # the FPAA's own bias is floating gates
            "thermal.specific_current_a": 0.5e-6,  # R: 350 nm, W/L about 1
            "thermal.threshold_fall_v_per_k": 1e-3,  # R: 1-2 mV/K at 350 nm
        },
    )


def _sky130_130nm() -> Hardware:
    """The simulated sky130 OTA, biased by mirrors: nothing trims its current; offset against temperature and supply."""
    return with_fields(
        _nominal(),
        {
            "name": "sky130_130nm",
            "supply_v": 1.8,  # V
            "ota.kappa": 0.688688,  # V: configs/fit.py, with ota.systematic
            "ota.kappa_per_k": 1.40687e-4,  # V: as above
            "ota.kappa_per_decade": -0.0403003,  # V: as above
            "ota.systematic": SKY130_OTA,  # V: configs/fit.py, 72 curves within 0.1 % of I_b (circuits/sky130.py)
            "ota.kappa_sigma": 0.0021,  # V: 0.13 / 0.19 / 0.29 % at 1 / 10 / 100 nA, configs/fit.py
            "ota.kappa_chip_sigma": 0.0,  # the Monte Carlo has mismatch only
            "ota.offset_sigma_v": 4.0 * MILLI,  # V: 3.7 / 4.2 / 4.0 mV, 500 devices each, configs/fit.py
            "ota.capacitance_f": OTA_MIRROR_F,  # V: experiments.spice.timing
            "ota.capacitance_per_decade": OTA_MIRROR_PER_DECADE,  # V: as above
            "ota.additive_sigma": 0.0213,  # V: 2.4 / 2.0 / 1.9 %, as above
            "ota.log_current_sigma": 0.072,  # V: 7.8 / 7.1 / 6.6 %, as above
            "ota.log_current_kappa_correlation": -0.889,  # V: -0.87 / -0.97 / -0.82, as above
            "ota.offset_additive_correlation": -0.05,  # V: -0.09 / -0.04 / -0.03, as above
            "ota.offset_drift_sigma_v_per_k": 3.9e-6,  # V: 5.1 / 3.6 / 2.5 µV/K, experiments.spice.spreads
            "ota.offset_lot_sigma_v": 0.11 * MILLI,  # V: corners ss/ff/sf/fs taken as 3 sigma, as above
            "ota.kappa_lot_sigma": 0.0045,  # V: as above
            "floating_gate.error_sigma": 0.0,  # a mirror DAC: the spread is log_current_sigma
            "tia.offset_sigma_v": 4.3 * MILLI,  # V: our op-amp, 4.1-4.6 mV, 500 devices (experiments.spice.spreads)
            "tia.offset_drift_sigma_v_per_k": 3.9e-6,  # V: 3.7-4.2 µV/K, as above
            "tia.swing_v": 0.88,  # V: our op-amp goes from -0.90 to 0.87 V at 1.8 V (benches.amplifier_curve)
            "tia.rail_sharpness": 16,  # V: it is straight to within 1 mV up to 0.7 V, as above
            "tia.open_loop_gain": 3400.0,  # V: 5900 / 3400 / 3400 / 2500 for arrays of 0.1 / 0.3 / 1 / 6.4 µA, as above
            "comparator.offset_sigma_v": 5.9 * MILLI,  # V: our comparator, 5.5-6.3 mV, 500 devices, as above
            "comparator.offset_drift_sigma_v_per_k": 14.9e-6,  # V: 14.1-15.9 µV/K, as above
            "thermal.current_per_k": 4.80884e-4,  # V: configs/fit.py, with ota.systematic
        },
    )


def _sky130_fg() -> Hardware:
    """The simulated sky130 OTA with floating-gate bias: programming trims its current."""
    return with_fields(
        _sky130_130nm(),
        {
            "name": "sky130_fg",
            "ota.log_current_sigma": 0.0,  # programming trims the fabrication spread; its error is below
            "floating_gate.error_sigma": 0.01,  # R: 0.5-1 % good, 2-5 % typical
        },
    )


def _pessimistic() -> Hardware:
    """The bad end of each range at once, and no temperature compensation."""
    return with_fields(
        _nominal(),
        {
            "name": "pessimistic",
            "dac.bits": 4,  # P: 4-6 effective bits
            "dac.unit_sigma": 0.02,  # C: twice the R value at 1 fF
            "ota.kappa_chip_sigma": 0.041,  # V: RASP
            "ota.offset_sigma_v": 10 * MILLI,  # D: A_VT 9 mV um (R) at about 1 um^2
            "ota.additive_sigma": 0.04,  # C: twice sky130
            "ota.early_voltage_v": 5.0,  # V: low end of 5-9 V
            "floating_gate.bits": 6,  # C: below the paper's 8-10
            "floating_gate.error_sigma": 0.05,  # R: 2-5 % typical
            "tia.gain_sigma": 0.05,  # C
            "tia.offset_sigma_v": 5 * MILLI,  # R
            "tia.open_loop_gain": 100.0,  # C: 40 dB
            "comparator.reference_bits": 6,  # C
            "comparator.offset_sigma_v": 10 * MILLI,  # R: 2-10 mV
            "comparator.noise_v": 1 * MILLI,  # R: 0.1-1 mV
            "comparator.hysteresis_fraction": 0.1,  # P: 5-10 %
            "thermal.bias": "fixed_charge",  # +17..+60 % of gm for 10 C (D)
        },
    )


_PRESETS: dict[str, Callable[[], Hardware]] = {
    "ideal": _ideal,
    "paper_4_2": _paper_4_2,
    "rasp_350nm": _rasp_350nm,
    "sky130_130nm": _sky130_130nm,
    "sky130_fg": _sky130_fg,
    "nominal": _nominal,
    "pessimistic": _pessimistic,
}
PRESETS = tuple(_PRESETS)


def get_preset(name: str) -> Hardware:
    """The hardware called ``name``, one of ``PRESETS``.

    Raises:
        ValueError: for any other name, with the list and the nearest.
    """
    if name not in _PRESETS:
        near = difflib.get_close_matches(str(name), PRESETS, 1, 0.0)[0]
        raise ValueError(
            f"hardware preset {name!r} does not exist; the presets are {', '.join(PRESETS)}. The nearest is {near!r}"
        )
    return check_hardware(_PRESETS[name]())
