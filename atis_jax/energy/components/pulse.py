"""The circuit with pulse-width inputs: joules a token of its pulse generators, clock, drivers, currents and latch.

Analog parts are the built ones (``cells.pulse``) at their own supply. Logic is counted in transistors, each at its
share of the preset's 32 bit addition, and so it scales with the preset's node. Reading the token's numbers from memory
is charged elsewhere, to the digital rival too.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.library import SUPPLY_V
from atis_jax.cells.pulse import LATCH_F, PRECHARGE_F, PULSE_F, TRANSISTOR_UM2, Timing, analog_area_um2
from atis_jax.energy.components.projection import mac_of_format_j
from atis_jax.energy.constants import pulse
from atis_jax.energy.presets import EnergyPreset
from atis_jax.typing import Real

ADDER_BITS = 32
"""Of the addition that prices a transistor."""
DRIVERS = 8
"""Transistors that drive a branch's switches; a level shifter is counted as as many."""
PARTS = ("generators", "clock", "drivers", "currents", "latch")


def transistor_j(preset: EnergyPreset) -> Real:
    """One transistor of logic that switches as an adder's do, J: the preset's addition over all of its transistors."""
    return preset.score_add_j / (ADDER_BITS * pulse.FULL_ADDER_TRANSISTORS.value)


def generators_j(preset: EnergyPreset, inputs: Float[Array, "*s"], timing: Timing, rows: float) -> Float[Array, "*s"]:
    """Registers, what ends each input's pulse, and the logic of each branch, J a token.

    A pulse ends where its number equals the counter's, compared at each of its 2 x steps toggles; or it is a gate for
    each slot, open where the number's bit is set. A ripple counter's transient states are below the number that it
    leaves, so that equality comes once.
    """
    each = timing.bits * pulse.FLIP_FLOP_TRANSISTORS.value
    if timing.slots:
        each += (timing.bits - 1) * pulse.SLOT_TRANSISTORS.value
    else:
        each += 2 * timing.steps * pulse.COINCIDENCE_TRANSISTORS.value
    branches = rows * (inputs + 1.0)
    return (inputs * each + branches * pulse.PULSE_TRANSISTORS.value) * transistor_j(preset)


def clock_j(preset: EnergyPreset, timing: Timing) -> Real:
    """One counter, 2 x steps toggles a token with its reset; the clock, on for the whole token; the phases: J."""
    cycles = timing.token_s / timing.step_s
    counted = 2 * timing.steps * pulse.FLIP_FLOP_TRANSISTORS.value
    spent = counted + cycles * pulse.CLOCK_TRANSISTORS.value + pulse.CONTROL_TRANSISTORS.value
    return spent * transistor_j(preset)


def parts_j(
    preset: EnergyPreset,
    inputs: Float[Array, "*s"] | float,
    array_current_a: Float[Array, "*s"] | float,
    timing: Timing,
    *,
    rows: float = 1.0,
    supply_v: Real = SUPPLY_V,
) -> dict[str, Float[Array, "*s"]]:
    """What each of ``PARTS`` takes, J a token.

    Args:
        preset: prices of logic.
        inputs: N.
        array_current_a: sum of the currents of all rows' branches, thresholds included, A.
        timing: of a token.
        rows: G, each with its lines, its latch and a threshold's branch.
        supply_v: of the analog parts, V.
    """
    inputs, array_current_a = jnp.asarray(inputs), jnp.asarray(array_current_a)
    pulses = rows * (timing.mean_pulses(1.0) * inputs + 1.0)
    shifted_f = (1.0 + pulse.LEVEL_SHIFTERS.value) * PULSE_F
    return {
        "generators": generators_j(preset, inputs, timing, rows),
        "clock": jnp.broadcast_to(jnp.asarray(clock_j(preset, timing)), inputs.shape),
        "drivers": pulses * shifted_f * supply_v**2,
        "currents": array_current_a * timing.token_s * supply_v,
        "latch": jnp.broadcast_to(jnp.asarray(rows * (PRECHARGE_F + LATCH_F) * supply_v**2), inputs.shape),
    }


def lines_j(parts: dict[str, Float[Array, "*s"]]) -> dict[str, Float[Array, "*s"]]:
    """``parts_j`` as lines of the ledger: what brings the inputs, the array, no amplifier, the decision."""
    return {
        "dac_j": parts["generators"] + parts["clock"] + parts["drivers"],
        "ota_j": parts["currents"],
        "tia_j": jnp.zeros_like(parts["currents"]),
        "comparator_j": parts["latch"],
    }


def area_um2(inputs: float, capacitance_f: float, timing: Timing, rows: float = 1.0) -> float:
    """Branches, lines and latch with the logic in the same process (sky130), um^2; no routing between blocks.

    Args:
        inputs: N.
        capacitance_f: of each line's capacitor, F.
        timing: of a token: its bits and what ends a pulse.
        rows: G.
    """
    ends = pulse.SLOT_TRANSISTORS.value if timing.slots else pulse.COINCIDENCE_TRANSISTORS.value
    flip_flop = pulse.FLIP_FLOP_TRANSISTORS.value
    each = timing.bits * flip_flop + (timing.bits - 1) * ends
    branch = pulse.PULSE_TRANSISTORS.value + pulse.LEVEL_SHIFTERS.value * DRIVERS
    shared = (timing.bits - 1) * flip_flop + pulse.CLOCK_TRANSISTORS.value + pulse.CONTROL_TRANSISTORS.value
    logic = inputs * each + rows * (inputs + 1.0) * branch + shared
    return analog_area_um2(inputs, capacitance_f, rows) + TRANSISTOR_UM2 * logic


def folded_j(preset: EnergyPreset, inputs: Float[Array, "*s"] | float, format: str = "int8") -> Float[Array, "*s"]:
    """The digital rival: the same inner product of N numbers and its comparison, J a token."""
    return jnp.asarray(inputs) * mac_of_format_j(preset, format) + preset.compare_j
