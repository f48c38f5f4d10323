"""Whether a scorer of the paper fits the other sections of a run's config: one clear message each where it does not."""

from __future__ import annotations

import math
from typing import Any

from atis_jax.cells.timing import array_settling_s, decision_s
from atis_jax.circuits.dac import MAX_BITS
from atis_jax.circuits.hardware import Hardware
from atis_jax.circuits.ota import mirror_capacitance_f
from atis_jax.energy.components.converters import SAR_BITS
from atis_jax.energy.front_end import PRICED
from atis_jax.energy.shapes import OF_PIXELS
from atis_jax.scoring.atis.design import LARGEST_BIAS_A
from atis_jax.scoring.atis.knobs import FULL_SCALE_V
from atis_jax.scoring.atis.ledger import IDEAL_DAC_BITS
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.method import Place
from atis_jax.validation import SettingError, choose


def check_place(spec: ScorerSpec, hardware: Hardware, place: Place, converts: bool) -> None:
    """Refuse a scorer that contradicts its network, schedule, hardware or prices.

    Args:
        spec: of the scorer.
        hardware: that it is built on.
        place: the run's other sections.
        converts: whether it has converters: the analog one.

    Raises:
        SettingError: names the field, its value and the remedy.
    """
    of_pixels = choose(OF_PIXELS, spec.source, "scorer.source")
    if of_pixels:
        _check_sensor(spec, place)
    if spec.inputs > hardware.max_inputs:
        raise SettingError(
            f"config.scorer.inputs = {spec.inputs} exceeds the {hardware.max_inputs} array inputs of hardware.preset "
            f"{place.hardware.preset!r}; lower scorer.inputs or choose a larger preset"
        )
    width, heads = place.network.width, place.network.heads
    if not of_pixels and spec.projection == "selection" and spec.inputs > width:
        raise SettingError(
            f"config.scorer.inputs = {spec.inputs} exceeds model.width = {width}: selection can pick at most {width} "
            "dimensions; lower scorer.inputs or use another projection"
        )
    if heads % spec.groups:
        raise SettingError(
            f"config.scorer.groups = {spec.groups} does not divide model.heads = {heads}; every head group needs the "
            "same number of heads"
        )
    if spec.adaptive_rate_v > 0 and place.codesign.threshold == "tracked":
        raise SettingError(
            f"config.scorer.adaptive_rate_v = {spec.adaptive_rate_v} with config.codesign.threshold = 'tracked': both "
            "would steer the kept fraction, against each other; set codesign.threshold = 'gradient' and "
            "codesign.threshold_learning_rate = 0.02, or adaptive_rate_v = 0"
        )
    if not converts:
        _check_no_knobs(spec)
        return
    check_knobs(spec, place.hardware, hardware)
    _check_token_time(hardware, place.energy)
    if place.energy.dac == "sar_8b" and (hardware.dac.bits or 0) > SAR_BITS:
        raise SettingError(
            f"config.energy.dac = 'sar_8b' is a published converter of {SAR_BITS} bits, and the hardware's has "
            f"{hardware.dac.bits}; set hardware.dac_bits = {SAR_BITS} or less, or choose another energy.dac"
        )


def check_knobs(spec: ScorerSpec, chosen: Any, hardware: Hardware) -> None:
    """Refuse to train converters that leave nothing to choose.

    Args:
        spec: of the scorer.
        chosen: section ``hardware``.
        hardware: what it stands for.

    Raises:
        SettingError: names the field, its value and the remedy.
    """
    bits, full_scale_v = hardware.dac.bits, float(hardware.dac.full_scale_v)
    if spec.trainable_bits and (bits is None or bits < 2):
        raise SettingError(
            f"config.scorer.trainable_bits = True, but the converters of hardware.preset {chosen.preset!r} have "
            f"dac.bits = {bits} and leave nothing to choose; give hardware.dac_bits from 2 to {MAX_BITS}, of which "
            "co-design may use fewer, or set trainable_bits = False"
        )
    if spec.trainable_full_scale and not FULL_SCALE_V.low < full_scale_v < FULL_SCALE_V.high:
        raise SettingError(
            f"config.scorer.trainable_full_scale = True starts at the hardware's dac.full_scale_v = {full_scale_v} V, "
            f"which is not between {FULL_SCALE_V.low} and {FULL_SCALE_V.high} V; choose a preset within, or set "
            "trainable_full_scale = False"
        )


def _check_token_time(hardware: Hardware, energy: Any) -> None:
    """Refuse a token time that no design of this hardware meets, or two of them."""
    if energy.core != "bias" or energy.circuit == PRICED:
        return
    if math.isfinite(hardware.token_time_s):
        if energy.token_time_s != hardware.token_time_s:
            raise SettingError(
                f"config.energy.token_time_s = {energy.token_time_s} with config.hardware.token_time_s = "
                f"{hardware.token_time_s}: the time that is simulated is the one that is billed; set energy.core = "
                "'settling', or make them equal"
            )
        return
    largest_a = LARGEST_BIAS_A.high
    fastest_s = decision_s() + float(
        array_settling_s(
            largest_a,
            hardware.dac.bits or IDEAL_DAC_BITS,
            capacitance_f=mirror_capacitance_f(largest_a, hardware.ota),
            kappa=hardware.ota.kappa,
            full_scale_v=hardware.dac.full_scale_v,
            temperature_k=hardware.thermal.nominal_temperature_k,
        )
    )
    if energy.token_time_s < fastest_s:
        raise SettingError(
            f"config.energy.token_time_s = {energy.token_time_s} s is shorter than the {fastest_s:.3g} s that the "
            f"circuit needs with every current at its largest, {largest_a:g} A; raise it, or set energy.core = "
            f"'settling', or simulate what each token leaves with hardware.token_time_s = {energy.token_time_s}"
        )


def _check_no_knobs(spec: ScorerSpec) -> None:
    for name in ("trainable_bits", "trainable_full_scale"):
        if getattr(spec, name):
            raise SettingError(
                f"config.scorer.{name} = True with config.scorer.kind = {spec.kind!r}, which has no converters; set "
                f"{name} = False, or kind = 'analog'"
            )


def _check_sensor(spec: ScorerSpec, place: Place) -> None:
    """Whether what is pruned at the sensor is never needed behind it."""
    pruning = place.pruning
    scored = pruning.scored(place.network.depth)
    if spec.reads_once and scored.start > 0:
        raise SettingError(
            f"config.pruning.first_layer = {pruning.first_layer} with config.scorer.source = 'pixels'; the pixels are "
            "read in front of the first layer: set first_layer = 0"
        )
    if not spec.reads_once and scored != range(1):
        raise SettingError(
            f"config.pruning.first_layer = {pruning.first_layer} and pruning.scored_layers = {pruning.scored_layers} "
            "with config.scorer.source = 'pixels'; there are pixels in front of the first layer alone: set "
            "first_layer = 0 and scored_layers = 1, or scorer.reads = 'first_layer' to prune later by the same score"
        )
    if place.hardware.dac_bits is not None:
        raise SettingError(
            f"config.hardware.dac_bits = {place.hardware.dac_bits} with config.scorer.source = 'pixels'; the pixels "
            "are voltages already, there is no converter in front of the array: set hardware.dac_bits = None"
        )
