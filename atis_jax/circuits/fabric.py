"""Multiplication in a routing fabric: currents through weighted mirrors, added on two outputs that rise, and a latch.

    Q+ = t I_0 sum_j (w0_j + s_j w_j m x_j (1 + c_j (x_j^2 - 1))),   Q- the same with - s_j

with s_j the sign of the weight, w0 the switch's current at rest over I_0, t the time in which outputs rise. What of a
product is even in x is on both outputs alike, for one line has it as the other. An output of charge Q has risen by
D(Q / C), which finite output conductance bends (``circuits.pulse.line_fall_v``). The score is D+ - D-, linear but for c
and D: the OTA's tanh is gone.

Temperature: a stored charge dV is fixed, so ln w = kappa dV / U_T would go as kappa / T. A factor that all weights
share moves neither the sign of a score nor the threshold, which is a weight: what counts is how much *ratios* of
weights move, and the charge to which they are referred does not matter. Measured, ``cells.fabric.DRIFT``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.fabric import (
    DRIFT,
    HEADROOM_V,
    OUTPUT_V,
    REST_A,
    SHAPE,
    TRIODE_OUTPUT_V,
    Timing,
    power_series,
    static_weight,
)
from atis_jax.circuits.pulse import line_fall_v
from atis_jax.numerics import pytree, round_straight_through, static
from atis_jax.typing import Key, Real
from atis_jax.units import BOLTZMANN_J_PER_K, ELEMENTARY_CHARGE_C

PROGRAMMED_K = 300.15
"""At which weights are programmed, and the law of their drift was fitted."""


@pytree
class FabricSpec:
    """Rows of switches with their lines, outputs and latches.

    Attributes:
        steps: of an input at full scale. Static.
        modulation: m at full scale.
        integrate_s: outputs rise, s.
        capacitance_f: of each output, all of it, F.
        rest_a: I_0 of a line, A.
        output_v: Early voltage of a switch.
        headroom_v: rise of an output from which on it is in triode, V.
        triode_output_v: Early voltage beyond, V.
        weight_sigma: spread of ln w that programming leaves on each switch, its input transistor's included.
        capacitance_sigma: spread of an output's capacitance, relative.
        latch_offset_sigma_v: of the latch, V.
        latch_noise_v: RMS of one decision, V.
    """

    steps: int = static()
    modulation: Real
    integrate_s: Real
    capacitance_f: Real
    rest_a: Real = REST_A
    output_v: Real = OUTPUT_V
    headroom_v: Real = HEADROOM_V
    triode_output_v: Real = TRIODE_OUTPUT_V
    weight_sigma: Real = 0.0
    capacitance_sigma: Real = 0.0
    latch_offset_sigma_v: Real = 0.0
    latch_noise_v: Real = 0.0

    def __post_init__(self):
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"fabric.steps = {self.steps!r} must be a whole number of at least 1")


@pytree
class FabricChip:
    """One fabricated row or several.

    Attributes:
        log_weight: error of ln w of the switches on an input's first and second line.
        log_capacitance: of the plus and of the minus output's capacitance.
        offset_v: of each latch, V.
    """

    log_weight: Float[Array, "g n 2"]
    log_capacitance: Float[Array, "g 2"]
    offset_v: Float[Array, "g"]


def spec_of(timing: Timing, capacitance_f: Real, **fields: Real) -> FabricSpec:
    """The built circuit's, with ``fields`` for those that ``cells`` does not decide."""
    given = {"integrate_s": timing.integrate_s} | fields
    return FabricSpec(steps=timing.steps, modulation=timing.modulation, capacitance_f=capacitance_f, **given)


def nominal_fabric_chip(rows: int, inputs: int) -> FabricChip:
    """A chip without spread."""
    return FabricChip(jnp.zeros((rows, inputs, 2)), jnp.zeros((rows, 2)), jnp.zeros(rows))


def sample_fabric_chip(key: Key, spec: FabricSpec, rows: int, inputs: int) -> FabricChip:
    """One chip's errors, drawn; all independent."""
    of_weight, of_capacitance, of_offset = jax.random.split(key, 3)
    return FabricChip(
        spec.weight_sigma * jax.random.normal(of_weight, (rows, inputs, 2)),
        spec.capacitance_sigma * jax.random.normal(of_capacitance, (rows, 2)),
        spec.latch_offset_sigma_v * jax.random.normal(of_offset, (rows,)),
    )


def drift_of_log(weight: Float[Array, "*s"], temperature_k: Real) -> Float[Array, "*s"]:
    """Ln w at a temperature less ln w where it was programmed; ``weight`` its size there."""
    return (PROGRAMMED_K / temperature_k - 1.0) * power_series(DRIFT, weight)


def input_share(inputs: Float[Array, "n"], spec: FabricSpec) -> Float[Array, "n"]:
    """Inputs clipped to +-1 and rounded to the converter's steps; gradient one inside."""
    return round_straight_through(jnp.clip(inputs, -1.0, 1.0) * spec.steps) / spec.steps


def output_charges_c(
    current_a: Float[Array, "g n"], inputs: Float[Array, "n"], spec: FabricSpec, chip: FabricChip, temperature_k: Real
) -> Float[Array, "2 g"]:
    """Charge of the plus and of the minus output of each row when the latch is clocked, C.

    Args:
        current_a: signed weights times I_0, A; zero for none. A threshold is one more, whose input is +-1.
        inputs: +-1 at full scale.
        spec: the circuit.
        chip: its errors.
        temperature_k: K.
    """
    weight = jnp.abs(current_a) / spec.rest_a
    moved = jnp.exp(drift_of_log(weight, temperature_k))
    share = input_share(inputs, spec)
    bent = share * (1.0 + power_series(SHAPE, weight) * (jnp.square(share) - 1.0))
    at_rest = static_weight(weight) * moved
    swing = current_a / spec.rest_a * moved * spec.modulation * bent
    # A switch of the first line is on the plus output where the weight is positive, else on the minus output.
    first, second = jnp.exp(chip.log_weight[..., 0]), jnp.exp(chip.log_weight[..., 1])
    positive = current_a > 0
    plus = (at_rest + swing) * jnp.where(positive, first, second)
    minus = (at_rest - swing) * jnp.where(positive, second, first)
    return spec.integrate_s * spec.rest_a * jnp.stack([jnp.sum(plus, axis=-1), jnp.sum(minus, axis=-1)])


def fabric_score_v(
    current_a: Float[Array, "g n"],
    inputs: Float[Array, "n"],
    spec: FabricSpec,
    chip: FabricChip,
    temperature_k: Real = PROGRAMMED_K,
) -> Float[Array, "g"]:
    """Rise of the plus output less that of the minus output, and the latch's offset, V: without noise.

    Arguments as of ``output_charges_c``.
    """
    charge_c = output_charges_c(current_a, inputs, spec, chip, temperature_k)
    capacitance_f = spec.capacitance_f * jnp.exp(chip.log_capacitance).T
    rises_v = line_fall_v(charge_c, capacitance_f, spec)
    return rises_v[0] - rises_v[1] + chip.offset_v


def fabric_noise_v(
    current_a: Float[Array, "g n"], inputs: Float[Array, "n"], spec: FabricSpec, chip: FabricChip, temperature_k: Real
) -> Float[Array, "g"]:
    """RMS noise of a score and its decision, V: electrons of switches and of lines, resets, the latch.

    V^2 = q_e (Q+ + Q-) / C^2 + 2 q_e t I_0 sum_j 2 w_j^2 / C^2 + 2 k T / C + latch^2. A current I that is on for t
    carries I t / q_e electrons, Poisson; a line's current is counted twice, by its converter and by its input
    transistor, and reaches an output w times, from each of two lines. That the line's pole takes some of it off is left
    out.
    """
    charge_c = jnp.sum(output_charges_c(current_a, inputs, spec, chip, temperature_k), axis=0)
    squares = jnp.sum(jnp.square(current_a / spec.rest_a), axis=-1)
    charge_c = charge_c + 4.0 * spec.integrate_s * spec.rest_a * squares
    # In volts before the square: F^2 and C^2 are below the smallest number of float32.
    shot_v2 = (ELEMENTARY_CHARGE_C / spec.capacitance_f) * (charge_c / spec.capacitance_f)
    reset_v2 = 2.0 * (BOLTZMANN_J_PER_K / spec.capacitance_f) * temperature_k
    return jnp.sqrt(shot_v2 + reset_v2 + jnp.square(jnp.asarray(spec.latch_noise_v)))
