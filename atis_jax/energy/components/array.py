"""The OTA array and its read-out: bias current, input lines, transimpedance amplifiers."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.supply import array_supply_a, op_amp_supply_a
from atis_jax.energy.front_end import PRICED, FrontEnd
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import ScorerShape
from atis_jax.units import thermal_voltage_v
from atis_jax.validation import choose


def settling_s(front_end: FrontEnd, current_a: Float[Array, "*s"], bits: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """(C / gm) ln 2^(b+1), gm = kappa I / 2 U_T: one OTA of bias ``current_a`` to half an LSB of b bits, s."""
    slope_v = 2.0 * thermal_voltage_v(front_end.temperature_k) / front_end.kappa
    return front_end.load_f * slope_v / current_a * (bits + 1.0) * jnp.log(2.0)


def on_time_s(
    front_end: FrontEnd, scorer: ScorerShape, inputs: Float[Array, "L"], bits: Float[Array, "L"]
) -> Float[Array, "L"]:
    """How long the array is on for a token and prototype: the token time, or until its mean OTA has settled."""
    return choose(_ON_TIME_S, front_end.core, "front_end.core")(front_end, scorer, inputs, bits)


def _token_time_s(
    front_end: FrontEnd, scorer: ScorerShape, inputs: Float[Array, "L"], bits: Float[Array, "L"]
) -> Float[Array, "L"]:
    return jnp.broadcast_to(jnp.asarray(front_end.token_time_s), jnp.shape(inputs))


def _until_settled_s(
    front_end: FrontEnd, scorer: ScorerShape, inputs: Float[Array, "L"], bits: Float[Array, "L"]
) -> Float[Array, "L"]:
    if front_end.settling_current_a is None:
        mean_a = front_end.bias_current_a / (scorer.arrays * inputs)
    else:
        mean_a = front_end.settling_current_a
    # A layer without scorer has no current, and nothing to settle.
    running = mean_a > 0
    return jnp.where(running, settling_s(front_end, jnp.where(running, mean_a, 1.0), bits), 0.0)


_ON_TIME_S = {"bias": _token_time_s, "settling": _until_settled_s}


def bias_j(
    front_end: FrontEnd, scorer: ScorerShape, inputs: Float[Array, "L"], bits: Float[Array, "L"]
) -> Float[Array, "L"]:
    """What the OTAs draw x supply x time a token, J: their bias currents, twice with a bias branch each.

    Settling-limited it is N V C (2 U_T / kappa) ln 2^(b+1) for each row of N OTAs, whatever the currents (derived):
    larger ones settle sooner.
    """
    drawn_a = front_end.bias_current_a
    if front_end.circuit != PRICED:
        drawn_a = array_supply_a(drawn_a, front_end.circuit)
    return drawn_a * front_end.supply_v * on_time_s(front_end, scorer, inputs, bits)


def line_j(
    preset: EnergyPreset, front_end: FrontEnd, scorer: ScorerShape, inputs: Float[Array, "L"]
) -> Float[Array, "L"]:
    """Moving the input lines of all OTAs for one token, J: C_line V dV each, dV the full scale.

    A preset that gives the core's dynamic power as a whole (the paper's) has no line capacitance and a fixed amount
    an OTA instead. Converters inside the fabric (``fabric``) have the line in their own capacitance. A multiplexed
    array holds its inputs for all prototypes: its lines move once.
    """
    line_f = 0.0 if front_end.dac == "fabric" else preset.line_f
    one_j = preset.ota_dynamic_j + line_f * front_end.supply_v * front_end.full_scale_v
    moved = scorer.arrays / scorer.prototypes if scorer.in_turns else scorer.arrays
    return moved * inputs * one_j


def tia_j(preset: EnergyPreset, front_end: FrontEnd, scorer: ScorerShape, on_s: Float[Array, "L"]) -> Float[Array, "L"]:
    """Op-amp power over the time the array is on, for each of the arrays' rows, J a token.

    Of the built op-amp, which is sized for its row's bias currents (rows are taken as equal); or of the preset's.
    """
    if front_end.circuit == PRICED:
        return scorer.arrays * preset.tia_w * on_s
    each_a = op_amp_supply_a(front_end.bias_current_a / scorer.arrays)
    # Nothing is built in a layer without current.
    return scorer.arrays * jnp.where(front_end.bias_current_a > 0, each_a, 0.0) * front_end.supply_v * on_s
