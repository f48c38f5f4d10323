"""Pulse-width inputs: what currents steered for a time each leave on two capacitors, and a latch that compares them.

Every current leaves its line at a rate g(V) that depends on the line's voltage alone, by finite output resistance:

    dD / dq = g(D),  q = Q / C,  Q = sum of I_j t_j on that line,  D = the line's fall from the supply

so D is a function of q whatever the order of the pulses, in closed form. The score is linear in inputs and weights but
for g and the rounding of pulses: the OTA's tanh is gone.
"""

from __future__ import annotations

from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.cells.pulse import BRANCH_LINE_F, HEADROOM_V, LINE_F, OUTPUT_V, TRIODE_OUTPUT_V, Timing
from atis_jax.numerics import pytree, round_straight_through, static
from atis_jax.typing import Key, Real
from atis_jax.units import BOLTZMANN_J_PER_K, ELEMENTARY_CHARGE_C


class Conductance(Protocol):
    """What a line loses of its currents as it moves away from where it began."""

    @property
    def output_v(self) -> Real:
        """Early voltage of what drives it, V."""

    @property
    def headroom_v(self) -> Real:
        """How far it may move for that, V."""

    @property
    def triode_output_v(self) -> Real:
        """Early voltage beyond, V."""


@pytree
class PulseSpec:
    """A row of branches with its two lines and its latch.

    Attributes:
        steps: of a pulse at full scale, the sign apart. Static.
        full_time_s: of a pulse at full scale, s.
        capacitance_f: of each line's capacitor, F.
        branch_f: what a branch adds to either line, F.
        line_f: what latch and precharge add, F.
        output_v: Early voltage of a branch while its switch holds the source's drain, V.
        headroom_v: fall of a line from which on it does not, V.
        triode_output_v: Early voltage beyond, V.
        current_sigma: spread of ln I that programming leaves.
        injection_v: systematic score at zero inputs, V: from switches.
        injection_sigma_v: its spread, V.
        latch_offset_sigma_v: of the latch, V.
        latch_noise_v: RMS of one decision, V.
    """

    steps: int = static()
    full_time_s: Real
    capacitance_f: Real
    branch_f: Real = BRANCH_LINE_F
    line_f: Real = LINE_F
    output_v: Real = OUTPUT_V
    headroom_v: Real = HEADROOM_V
    triode_output_v: Real = TRIODE_OUTPUT_V
    current_sigma: Real = 0.0
    injection_v: Real = 0.0
    injection_sigma_v: Real = 0.0
    latch_offset_sigma_v: Real = 0.0
    latch_noise_v: Real = 0.0

    def __post_init__(self):
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"pulse.steps = {self.steps!r} must be a whole number of at least 1")


@pytree
class PulseChip:
    """One fabricated row or several.

    Attributes:
        log_current: error of ln I of each branch.
        offset_v: of each row, switches and latch together, V.
    """

    log_current: Float[Array, "g n"]
    offset_v: Float[Array, "g"]


def spec_of(timing: Timing, capacitance_f: Real, **spread: Real) -> PulseSpec:
    """The built circuit's, with ``spread`` for any of the fields that ``cells`` does not decide."""
    return PulseSpec(steps=timing.steps, full_time_s=timing.full_time_s, capacitance_f=capacitance_f, **spread)


def nominal_pulse_chip(rows: int, inputs: int) -> PulseChip:
    """A chip without spread."""
    return PulseChip(jnp.zeros((rows, inputs)), jnp.zeros(rows))


def sample_pulse_chip(key: Key, spec: PulseSpec, rows: int, inputs: int) -> PulseChip:
    """One chip's errors, drawn: currents, and the sum of switches' and latch's offsets; all independent."""
    of_current, of_offset = jax.random.split(key)
    sigma_v = jnp.hypot(jnp.asarray(spec.injection_sigma_v), jnp.asarray(spec.latch_offset_sigma_v))
    return PulseChip(
        spec.current_sigma * jax.random.normal(of_current, (rows, inputs)),
        sigma_v * jax.random.normal(of_offset, (rows,)),
    )


def pulse_share(inputs: Float[Array, "n"], spec: PulseSpec) -> Float[Array, "n"]:
    """Pulses over the full time, signed: inputs clipped to +-1 and rounded to whole steps; gradient one inside."""
    return round_straight_through(jnp.clip(inputs, -1.0, 1.0) * spec.steps) / spec.steps


def line_charges_c(
    current_a: Float[Array, "g n"], inputs: Float[Array, "n"], spec: PulseSpec, chip: PulseChip
) -> Float[Array, "2 g"]:
    """Q of the plus and of the minus line of each row, C: I_j t_j where weight and input have one sign, or two."""
    one_c = current_a * jnp.exp(chip.log_current) * pulse_share(inputs, spec) * spec.full_time_s
    return jnp.stack([jnp.sum(jnp.maximum(one_c, 0.0), axis=-1), jnp.sum(jnp.maximum(-one_c, 0.0), axis=-1)])


def line_capacitance_f(spec: PulseSpec, inputs: int) -> Float[Array, ""]:
    """The capacitor and what hangs on the line of ``inputs`` branches, F."""
    return jnp.asarray(spec.capacitance_f + inputs * spec.branch_f + spec.line_f)


def line_fall_v(
    charge_c: Float[Array, "*s"], capacitance_f: Float[Array, "*s"] | Real, spec: Conductance
) -> Float[Array, "*s"]:
    """D of a line that gave ``charge_c``, V: g = 1 - D / V_A as far as the headroom H, and steeper beyond.

    D = V_A (1 - exp(-q / V_A)); beyond H, with g_H = 1 - H / V_A and V_B of the triode region,
    D = H + V_B g_H (1 - exp(-(q - q_H) / V_B)).
    """
    q = charge_c / capacitance_f
    left = 1.0 - spec.headroom_v / spec.output_v
    knee = -spec.output_v * jnp.log(left)
    # Each side sees a valid input only, and what is small against the Early voltage keeps its digits.
    above = -spec.output_v * jnp.expm1(-jnp.minimum(q, knee) / spec.output_v)
    beyond = -spec.triode_output_v * left * jnp.expm1(-jnp.maximum(q - knee, 0.0) / spec.triode_output_v)
    return above + beyond


def pulse_score_v(
    current_a: Float[Array, "g n"], inputs: Float[Array, "n"], spec: PulseSpec, chip: PulseChip
) -> Float[Array, "g"]:
    """Fall of the plus line less that of the minus line, and the row's offset, V: without noise.

    Args:
        current_a: signed weights, A; a threshold is one more, whose input is -1.
        inputs: +-1 at full scale.
        spec: the circuit.
        chip: its errors.
    """
    falls_v = line_fall_v(
        line_charges_c(current_a, inputs, spec, chip), line_capacitance_f(spec, current_a.shape[-1]), spec
    )
    return falls_v[0] - falls_v[1] + spec.injection_v + chip.offset_v


def pulse_noise_v(
    current_a: Float[Array, "g n"], inputs: Float[Array, "n"], spec: PulseSpec, chip: PulseChip, temperature_k: Real
) -> Float[Array, "g"]:
    """RMS noise of a score and its decision, V: kT/C of two lines, shot noise of what they gave, the latch's.

    V^2 = 2 k T / C + q_e (Q+ + Q-) / C^2 + latch^2: a current I on for t carries I t / q_e electrons, Poisson.
    """
    capacitance_f = line_capacitance_f(spec, current_a.shape[-1])
    charge_c = jnp.sum(line_charges_c(current_a, inputs, spec, chip), axis=0)
    # In volts before the square: F^2 and C^2 are below the smallest number of float32.
    shot_v2 = (ELEMENTARY_CHARGE_C / capacitance_f) * (charge_c / capacitance_f)
    reset_v2 = 2.0 * (BOLTZMANN_J_PER_K / capacitance_f) * temperature_k
    return jnp.sqrt(reset_v2 + shot_v2 + jnp.square(jnp.asarray(spec.latch_noise_v)))


def pulse_keep(
    score_v: Float[Array, "g"], noise_v: Float[Array, "g"] | float = 0.0, noise: Float[Array, "g"] | float = 0.0
) -> Bool[Array, "g"]:
    """The latch's bit: the plus line fell further; ``noise`` standard normal draws."""
    return score_v + noise_v * noise > 0
