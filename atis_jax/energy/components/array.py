"""The OTA array and its read-out: bias current, input lines, transimpedance amplifiers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax.cells.supply import array_supply_a, op_amp_supply_a
from atis_jax.cells.timing import array_settling_s, decision_s
from atis_jax.energy.front_end import PRICED, FrontEnd
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import ScorerShape
from atis_jax.typing import Real
from atis_jax.units import thermal_voltage_v
from atis_jax.validation import SettingError, choose


def settling_s(front_end: FrontEnd, current_a: Float[Array, "*s"], bits: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Until a token is decided, s: one OTA of bias ``current_a`` to half an LSB of b bits, then the comparator.

    Of the built circuit: ``cells.timing``. Where op-amp and comparator are the preset's, (C / gm) ln 2^(b+1) with
    gm = kappa I / 2 U_T, and a comparator that takes no time.
    """
    if front_end.circuit != PRICED:
        array_s = array_settling_s(
            current_a,
            bits,
            capacitance_f=front_end.load_f,
            kappa=front_end.kappa,
            full_scale_v=front_end.full_scale_v,
            temperature_k=front_end.temperature_k,
        )
        return array_s + decision_s()
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
    mean_a = front_end.bias_current_a / (scorer.arrays * inputs)
    # A layer without scorer has no current, and nothing to settle.
    running = mean_a > 0
    return jnp.where(running, settling_s(front_end, jnp.where(running, mean_a, 1.0), bits), 0.0)


def check_token_time(
    front_end: FrontEnd, scorer: ScorerShape, inputs: Float[Array, "L"], bits: Float[Array, "L"]
) -> None:
    """Refuse a token time in which the built circuit cannot decide; a traced one is not looked at.

    Raises:
        SettingError: naming the layer that needs the longest, and the time it needs.
    """
    if front_end.core != "bias" or front_end.circuit == PRICED or front_end.residue:
        return
    needed_s = _until_settled_s(front_end, scorer, inputs, bits)
    if any(isinstance(one, jax.core.Tracer) for one in (needed_s, front_end.token_time_s)):
        return
    worst = int(np.argmax(needed_s))
    if float(front_end.token_time_s) < float(needed_s[worst]):
        raise SettingError(
            f"energy.token_time_s = {float(front_end.token_time_s):.3g} s is shorter than the {needed_s[worst]:.3g} s "
            f"that the circuit of layer {worst + 1} needs to settle and decide; set it to at least that, or "
            "energy.core = 'settling', or simulate what each token leaves for the next with hardware.token_time_s"
        )


def built_time(preset: EnergyPreset, front_end: FrontEnd) -> Real:
    """What the time that the circuit needs is multiplied by: nothing where a token's time or its price is given."""
    return 1.0 if front_end.circuit == PRICED or front_end.core != "settling" else preset.built_time


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
    if not front_end.amplifier:
        return jnp.zeros_like(on_s)
    if front_end.circuit == PRICED:
        return scorer.arrays * preset.tia_w * on_s
    each_a = op_amp_supply_a(front_end.bias_current_a / scorer.arrays)
    # Nothing is built in a layer without current.
    power_w = jnp.where(front_end.bias_current_a > 0, each_a, 0.0) * front_end.supply_v * preset.built_op_amp
    return scorer.arrays * power_w * on_s
