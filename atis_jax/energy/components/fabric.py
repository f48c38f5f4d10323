"""The routing fabric: joules a token of its converters, currents, resets and latch.

Analog parts are the built ones (``cells.fabric``) at their own supply. Registers are counted in transistors, each at
its share of the preset's 32 bit addition, and so they scale with the preset's node. Reading the token's numbers from
memory is charged elsewhere, to the digital rival too.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.fabric import DRIVE_V, ENDS_F, REST_A, STEERED_F, analog_area_um2, supply_current_a
from atis_jax.cells.library import SUPPLY_V
from atis_jax.cells.pulse import TRANSISTOR_UM2
from atis_jax.energy.components.pulse import transistor_j
from atis_jax.energy.constants import pulse
from atis_jax.energy.presets import EnergyPreset
from atis_jax.typing import Real

PARTS = ("registers", "phases", "converters", "lines", "switches", "latch")


def parts_j(
    preset: EnergyPreset,
    inputs: Float[Array, "*s"] | float,
    static_a: Float[Array, "*s"] | float,
    bits: Real,
    token_s: Float[Array, "*s"] | float,
    *,
    rows: float = 1.0,
    supply_v: Real = SUPPLY_V,
    rest_a: Real = REST_A,
) -> dict[str, Float[Array, "*s"]]:
    """What each of ``PARTS`` takes, J a token.

    Registers hold a token's numbers, a flip-flop a bit, and two phases come from a counter's worth of logic each token.
    A bit changes on every second token, and its switches are driven then (``STEERED_F``). The lines' currents are
    the converters' too, in series.

    Args:
        preset: prices of logic.
        inputs: N.
        static_a: sum over all rows of each output's current at rest, thresholds included, A.
        bits: of an input.
        token_s: all of a token, s.
        rows: G, each with its outputs, its latch and a threshold.
        supply_v: of lines, resets and latches, V.
        rest_a: I_0, A.
    """
    inputs, static_a = jnp.asarray(inputs), jnp.asarray(static_a)
    lines_a = supply_current_a(inputs, 0.0, rest_a)
    switches_a = supply_current_a(inputs, static_a, rest_a) - lines_a
    each = jnp.ones_like(inputs + static_a)
    return {
        "registers": inputs * bits * pulse.FLIP_FLOP_TRANSISTORS.value * transistor_j(preset),
        "phases": each * pulse.CONTROL_TRANSISTORS.value * transistor_j(preset),
        "converters": 0.5 * inputs * bits * STEERED_F * DRIVE_V**2,
        "lines": lines_a * token_s * supply_v,
        "switches": switches_a * token_s * supply_v,
        "latch": each * rows * ENDS_F * supply_v**2,
    }


def lines_j(parts: dict[str, Float[Array, "*s"]]) -> dict[str, Float[Array, "*s"]]:
    """``parts_j`` as lines of the ledger: what brings the inputs, the array, no amplifier, the decision."""
    return {
        "dac_j": parts["registers"] + parts["phases"] + parts["converters"] + parts["lines"],
        "ota_j": parts["switches"],
        "tia_j": jnp.zeros_like(parts["switches"]),
        "comparator_j": parts["latch"],
    }


def area_um2(inputs: float, bits: int, rows: float = 1.0) -> float:
    """The fabric with its converters, and the logic in the same process (sky130), um^2; no routing between blocks.

    Args:
        inputs: N.
        bits: of an input.
        rows: G.
    """
    logic = inputs * bits * pulse.FLIP_FLOP_TRANSISTORS.value + pulse.CONTROL_TRANSISTORS.value
    return analog_area_um2(inputs, bits, rows) + TRANSISTOR_UM2 * logic
