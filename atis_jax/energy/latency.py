"""How long a token takes, how many pass in a second, and whether the paper's targets for its prototypes are met."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.supply import array_supply_a, comparator_supply_a, op_amp_supply_a
from atis_jax.energy.components.array import on_time_s, settling_s
from atis_jax.energy.components.converters import token_time_s
from atis_jax.energy.constants import converters
from atis_jax.energy.front_end import PRICED, FrontEnd, check_front_end
from atis_jax.energy.shapes import ScorerShape, check_scorer
from atis_jax.numerics import pytree

PHASE_2_INPUTS = (16, 64)
PHASE_3_INPUTS = (256, 1024)
PHASE_3_LATENCY_S = 1e-6
PHASE_3_CORE_W = 100e-6
"""ATIS paper, sections 6.2 and 6.3."""


@pytree
class Timing:
    """Seconds of one token and layer, one number a layer.

    Attributes:
        conversion_s: until the last input stands: one conversion, or the turns that converters take.
        settling_s: until the sum of currents has settled to half an LSB of the converters' bits; of the built circuit,
            until its comparator has decided too.
        token_s: until the decision can be made: both, the second once for each prototype of a multiplexed array.
        rate_hz: tokens a second with conversion and array one after the other, the array on for as long as the ledger
            charges: the token time, or ``settling_s`` where ``core`` is ``settling``.
        core_w: what the built array, its op-amps and comparators draw while they are on, one prototype's at a time if
            multiplexed; where op-amp and comparator are the preset's, the bias currents times the supply.
    """

    conversion_s: Float[Array, "L"]
    settling_s: Float[Array, "L"]
    token_s: Float[Array, "L"]
    rate_hz: Float[Array, "L"]
    core_w: Float[Array, "L"]


def timing(
    front_end: FrontEnd, scorer: ScorerShape, conversion_time_s: float = converters.MODERATE_DAC_TIME.value
) -> Timing:
    """How long one token takes in each layer that has currents.

    Settling is that of an OTA of the array's mean current (``array.settling_s``). A smaller weight settles more slowly
    but contributes less (in SPICE the sum settles like its large currents).

    Args:
        front_end: currents, load and converters.
        scorer: array size, bits, arrangement.
        conversion_time_s: of one converter.

    Raises:
        SettingError: for numbers out of bounds.
    """
    check_front_end(front_end)
    check_scorer(scorer)
    current_a = jnp.asarray(front_end.bias_current_a)
    inputs = jnp.broadcast_to(jnp.asarray(scorer.inputs, float), current_a.shape)
    bits = jnp.broadcast_to(jnp.asarray(scorer.dac_bits, float), current_a.shape)
    conversion = token_time_s(front_end, inputs, conversion_time_s)
    settled = settling_s(front_end, current_a / (scorer.arrays * inputs), bits)
    turns = scorer.prototypes if scorer.in_turns else 1
    rate_hz = 1.0 / (conversion + turns * on_time_s(front_end, scorer, inputs, bits))
    core_w = drawn_a(front_end, scorer, current_a) * front_end.supply_v / turns
    return Timing(conversion, settled, conversion + turns * settled, rate_hz, core_w)


def drawn_a(front_end: FrontEnd, scorer: ScorerShape, current_a: Float[Array, "L"]) -> Float[Array, "L"]:
    """What all rows and comparators draw from the supply, A; of the preset's circuit the bias currents alone.

    Args:
        front_end: says whose circuit.
        scorer: rows and prototypes.
        current_a: (L,) sum of all bias currents.
    """
    if front_end.circuit == PRICED:
        return current_a
    each_a = op_amp_supply_a(current_a / scorer.arrays) if front_end.amplifier else jnp.zeros_like(current_a)
    read_out_a = scorer.arrays * each_a
    return array_supply_a(current_a, front_end.circuit) + read_out_a + scorer.prototypes * comparator_supply_a()


@dataclasses.dataclass(frozen=True)
class Target:
    """One target of the paper's roadmap against one design.

    Attributes:
        name: what it is about.
        value: of the design.
        low: smallest value that meets it, or None.
        high: largest (the value must be below), or None.
        unit: of all three.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    unit: str

    @property
    def met(self) -> bool:
        """Whether the design meets it."""
        return (self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high)


def phase_2_targets(scorer: ScorerShape) -> tuple[Target, ...]:
    """Section 6.2 asks for 16 to 64 dimensions, at reduced token rates that it does not state."""
    low, high = PHASE_2_INPUTS
    return (Target("inputs", _largest(scorer.inputs), low, high, ""),)


def phase_3_targets(front_end: FrontEnd, scorer: ScorerShape, conversion_time_s: float) -> tuple[Target, ...]:
    """Section 6.3 asks for 256 to 1,024 dimensions, below 1 µs a token, below 100 µW in the analog core."""
    taken = timing(front_end, scorer, conversion_time_s)
    low, high = PHASE_3_INPUTS
    return (
        Target("inputs", _largest(scorer.inputs), low, high, ""),
        Target("latency", _largest(taken.token_s), None, PHASE_3_LATENCY_S, "s"),
        Target("core power", _largest(taken.core_w), None, PHASE_3_CORE_W, "W"),
    )


def _largest(value) -> float:
    return float(jnp.max(jnp.asarray(value)))
