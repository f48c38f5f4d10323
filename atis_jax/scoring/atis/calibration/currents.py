"""Programming each OTA to its own wanted contribution, as measured through the array's own converter."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits.chip import nominal_chip, nominal_environment
from atis_jax.circuits.floating_gate import FloatingGateSpec
from atis_jax.circuits.hardware import Hardware
from atis_jax.numerics import power_of_two
from atis_jax.scoring.atis.analog import read_scores, realise_design
from atis_jax.scoring.atis.calibration.bench import Measure
from atis_jax.scoring.atis.calibration.converter import comparisons, convert, reference_levels_v, voltage_of
from atis_jax.scoring.atis.calibration.spec import CalibrationSpec
from atis_jax.scoring.atis.calibration.trim import Calibrated, Trim, trimmed
from atis_jax.scoring.atis.design import FEEDBACK_OHM, Design
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.typing import Key
from atis_jax.validation import SettingError

AMPLITUDES = (0.4, 0.6, 0.8, 1.0)
"""Inputs that each OTA is measured at, +-, in full scales: several, so that the converter's steps average out."""
PEAK = 0.15
"""Largest contribution while measuring, of the reference's span: well above its step, well inside the rails."""
SMALLEST_STEPS = 1.0
"""An OTA whose wanted contribution is below so many steps of the reference cannot be measured and is left alone."""
SMALLEST_RATIO = 0.1
"""Less of the wanted contribution than this is a dead OTA, which no current brings back."""


def check_programmed_once(spec: ScorerSpec) -> None:
    """Whether a scorer's currents stay as they are programmed, and each layer has some of its own to program.

    Raises:
        SettingError: an ``ema`` prototype, whose currents are rewritten for each sequence; or one read for all layers.
    """
    if spec.reads_once:
        raise SettingError(
            "calibration.methods has 'currents', but scorer.reads = 'first_layer' has one array for all layers, and "
            "each layer's bench would program it anew; leave 'currents' out"
        )
    if spec.prototype == "ema":
        raise SettingError(
            "calibration.methods has 'currents', but scorer.prototype = 'ema' is rewritten for each sequence: there is "
            "nothing to program once; leave 'currents' out, or use prototype = 'static' or 'extracted'"
        )


def program_currents(
    measure: Measure,
    design: Design,
    trim: Trim,
    spec: ScorerSpec,
    hardware: Hardware,
    calibration: CalibrationSpec,
    key: Key | None,
) -> Calibrated:
    """Program-verify: measure what each OTA adds to the score, and move its current by whole grid steps.

    One input at a time is played at plus and minus ``AMPLITUDES`` with the others at the code nearest to the common
    mode; half the difference of the two scores is that OTA's contribution, free of every offset and of what the others
    add. Its ratio r to the perfect chip's (least squares over the amplitudes) moves ln I by -ln r, rounded to the grid,
    so that a cell within half a step stays as it is. What a reprogrammed cell keeps is the error of its own
    programming and of everything behind it, half a grid step at most beside the error of the measurement.

    Meanwhile the feedback is raised until the largest wanted contribution is ``PEAK`` of the span, as an array whose
    feedback can be switched allows: at the working feedback one OTA is a few steps of the reference. The gain of the
    TIA, the chip's kappa and the temperature of the measurement are corrected for along with the currents. Weights
    near the largest current cannot be raised. A differential scorer's two halves are programmed alike, from their
    average. Follow with ``threshold_code``.

    Args:
        measure: the bench; one layer of one chip in one environment.
        design: what all chips are meant to hold.
        trim: where to start; its threshold is handed on.
        spec: structure of the scorer.
        hardware: as designed: grid, reference, and the perfect chip's contributions.
        calibration: repeats and rounds.
        key: read noise; None for none.

    Returns:
        The trim with its new currents; iterations x 2 x amplitudes x repeats x N inputs x (B + 1) measurements for a
        reference of B bits.

    Raises:
        SettingError: see ``check_programmed_once``.
    """
    check_programmed_once(spec)
    levels_v = reference_levels_v(hardware.comparator)
    measured_with = _with_feedback_for_measuring(design, spec, hardware)
    wanted_v = _contributions(_perfect_scores(measured_with, spec, hardware, stimulus(spec, 1)), spec)
    step_v = hardware.comparator.reference_span_v / (len(levels_v) - 1)
    visible = jnp.sqrt(jnp.mean(wanted_v**2, axis=0)) >= SMALLEST_STEPS * step_v
    power_v2 = jnp.where(visible, jnp.sum(wanted_v**2, axis=0), 1.0)
    stimuli = stimulus(spec, calibration.current_repeats)
    step = grid_step(hardware.floating_gate)

    def iterate(log_current, number):
        round_key = None if key is None else jax.random.fold_in(key, number)
        corrected = trimmed(measured_with, dataclasses.replace(trim, log_current=log_current), spec, hardware)
        found = convert(measure, corrected, stimuli, jnp.tile(levels_v[:, None], spec.groups), round_key)
        measured_v = _contributions(voltage_of(found, levels_v), spec)
        ratio = jnp.sum(measured_v * wanted_v, axis=0) / power_v2
        alive = visible & (ratio > SMALLEST_RATIO)
        error = jnp.log(jnp.where(alive, ratio, 1.0))
        correction = error if hardware.floating_gate.resolution is None else step * jnp.round(error / step)
        return log_current - correction.T, None

    rounds = calibration.current_iterations
    log_current, _ = jax.lax.scan(iterate, trim.log_current, jnp.arange(rounds))
    measurements = jnp.asarray(rounds * len(stimuli) * comparisons(len(levels_v)), jnp.int32)
    return Calibrated(dataclasses.replace(trim, log_current=log_current), measurements)


def grid_step(gate: FloatingGateSpec) -> Float[Array, ""] | float:
    """Step of the programming grid in ln I; zero for a continuous cell."""
    if gate.resolution is None:
        return 0.0
    return jnp.log(jnp.asarray(gate.max_current_a) / gate.min_current_a) / (power_of_two(gate.resolution) - 2.0)


def stimulus(spec: ScorerSpec, repeats: int) -> Float[Array, "m N"]:
    """Inputs with one entry of +-amplitude and zeros: m = 2 x amplitudes x repeats x N of them, sign first."""
    amplitudes = jnp.tile(jnp.asarray(AMPLITUDES), repeats)
    one_sign = (amplitudes[:, None, None] * jnp.eye(spec.inputs)).reshape(-1, spec.inputs)
    return jnp.concatenate([one_sign, -one_sign])


def _contributions(scores_v: Float[Array, "m G"], spec: ScorerSpec) -> Float[Array, "A N G"]:
    """Half the difference of plus and minus, averaged over repeats, V."""
    plus_v, minus_v = jnp.split(scores_v, 2)
    each_v = 0.5 * (plus_v - minus_v)
    return jnp.mean(each_v.reshape(-1, len(AMPLITUDES), spec.inputs, spec.groups), axis=0)


def _perfect_scores(
    design: Design, spec: ScorerSpec, hardware: Hardware, inputs: Float[Array, "m N"]
) -> Float[Array, "m G"]:
    """Noiseless scores of the chip without errors: the design's own, V."""
    query = jnp.zeros((spec.groups, design.projection.shape[-1]))  # of an ``ema`` prototype only, refused above
    chip, environment = nominal_chip(hardware, spec.geometry), nominal_environment(hardware)
    return read_scores(realise_design(design, spec, hardware, query, chip, environment), spec, inputs, None)


def _with_feedback_for_measuring(design: Design, spec: ScorerSpec, hardware: Hardware) -> Design:
    """The design with the feedback at which the largest wanted contribution is ``PEAK`` of the span."""
    wanted_v = _contributions(_perfect_scores(design, spec, hardware, stimulus(spec, 1)), spec)
    peak_v = jnp.max(jnp.abs(wanted_v), axis=(0, 1))
    wanted_peak_v = PEAK * hardware.comparator.reference_span_v
    factor = jnp.where(peak_v > 0, wanted_peak_v / jnp.where(peak_v > 0, peak_v, 1.0), 1.0)
    feedback_ohm = FEEDBACK_OHM.forward(design.feedback) * factor
    within_ohm = jnp.clip(feedback_ohm, 2.0 * FEEDBACK_OHM.low, 0.5 * FEEDBACK_OHM.high)
    return dataclasses.replace(design, feedback=FEEDBACK_OHM.inverse(within_ohm))
