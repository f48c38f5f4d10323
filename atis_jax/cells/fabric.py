"""Multiplication in a floating-gate routing fabric: switches as weighted mirrors, summed on two lines, and a latch.

An input is a current into a diode-connected p-channel transistor, whose gate is the input's line. Each switch of the
fabric that meets the line is a p-channel transistor whose own floating gate stands off it by a stored charge, so it
gives the line's current times a weight exp(kappa dV / U_T). Inputs come on two lines, I_0 (1 + m x) and I_0 (1 - m x);
a positive weight is a switch from the first to the plus line and one from the second to the minus line, a negative one
the other way. The products add on the two lines, which begin at ground and rise; then a latch compares them. So there
is no amplifier a weight and no resistor, sum(I) does not depend on the token, and what all currents share cancels.
The threshold is one more weight, on a line whose input stands still.

After: Schlottmann and Hasler, "A highly dense, low power, programmable analog vector-matrix multiplier: the FPAA
implementation", IEEE JETCAS 1(3), 2011; Chawla, Bandyopadhyay, Srinivasan and Hasler, "A 531 nW/MHz, 128 x 32
current-mode programmable analog vector-matrix multiplier with over two decades of linearity", CICC 2004. R: cited from
memory. Integrating on the lines instead of an amplifier that holds them, and the latch, are ours.
"""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.area import LAYOUT, SWITCH_AREA, cell_um2
from atis_jax.cells.device import Branch, Cell, Device, Size
from atis_jax.cells.library import SUPPLY_V
from atis_jax.cells.pulse import DRIVER_N, DRIVER_P, LATCH, LATCH_S, SWITCH_N, TRANSISTOR_UM2
from atis_jax.validation import SettingError

MIRROR_P = Size(4, 1)
"""Of a line's input transistor and of every switch."""
STEERED_N = Size(1, 2)
RESET_N = Size(1, 0.15)

LINE = Cell("line", (Device("XP1", "line line vdd vdd", MIRROR_P),), (Branch("input", 1.0),))
"""Ports line vdd: what makes a current the line's voltage."""
SWITCH = Cell("switch", (Device("XP1", "out gate vdd vdd", MIRROR_P),), (Branch("product", 1.0),))
"""Ports out gate vdd: a crossing of a line and an output; ``gate`` stands off the line by the stored charge."""
STEERED = Cell(
    "steered",
    (
        Device("XN1", "tail gate 0 0", STEERED_N),
        Device("XN2", "plus gp tail 0", SWITCH_N),
        Device("XN3", "minus gm tail 0", SWITCH_N),
        Device("XP4", "gm bit vdr vdr", DRIVER_P),
        Device("XN5", "gm bit 0 0", DRIVER_N),
        Device("XP6", "gp gm vdr vdr", DRIVER_P),
        Device("XN7", "gp gm 0 0", DRIVER_N),
    ),
    # From the lines, which the input transistors hold: no branch of its own.
    (),
)
"""Ports plus minus vdr gate bit: one bit of an input's converter, a floating gate's current to one of its two lines.
Their gates at the drivers' 0.9 V hold its drain, as cascodes."""
RESET = Cell(
    "reset",
    (
        Device("XN1", "plus on 0 0", RESET_N),
        Device("XN2", "minus on 0 0", RESET_N),
        Device("XN3", "plus on minus 0", RESET_N),
        Device("XP4", "off in vdd vdd", DRIVER_P),
        Device("XN5", "off in 0 0", DRIVER_N),
        Device("XP6", "on off vdd vdd", DRIVER_P),
        Device("XN7", "on off 0 0", DRIVER_N),
    ),
    (),
)
"""Ports plus minus vdd in: both outputs to ground while ``in`` is high."""

WIRE_F_PER_UM = 0.2e-15
"""Of a routed line. R: a rule of thumb for minimum pitch, whatever the process."""
WIRE_GATE_F, WIRE_OUTPUT_F = WIRE_F_PER_UM * 10.87 / 4, WIRE_F_PER_UM * 27.57 / 2
"""Wire that a crossing adds to an input's line, and to an output: pitches of that cell, 2.7 and 13.8 um."""

REST_A = 20e-9
"""I_0: an input's current on each of its two lines at x = 0. Chosen: a token near 1 us, weights still in weak
inversion. Joules a token hardly depend on it, for time goes as 1 / I_0."""
MODULATION = 0.5
"""m at full scale. Chosen: a line never has less than half its current, and the pole of a line is its current's; with
less m signals shrink, with more the last token's input is slow to leave. 1/2 costs least within 10 %."""
SETTLED_STEPS = 2.0
"""How far a line may still be from its current when outputs begin to rise, in steps of its converter, after the longest
way down. Chosen: random tokens lose well below a millivolt by it (``--hurried`` of the command below).
"""
DRIVE_V = 0.9
"""Of the converters' switches: the logic's own."""
MIDDLE_V = 0.9
"""To which both outputs rise on the mean. Chosen: the latch's n-channel pair has its current there."""
LEAST_WEIGHT, GREATEST_WEIGHT = 0.02, 5.0
"""That a switch is programmed to; below, it is off. Chosen: the law below is fitted within."""

GATE_F, DRAIN_F = 11.6e-15, 0.96e-15
"""What an input transistor or a switch adds to a line, and a switch to an output. These and the other constants below
are measured by ``python -m experiments.spice.fabric`` and its ``--law`` (ngspice, sky130), at 20 nA."""
RESET_LINE_F = 5.6e-15
"""Of an output's reset and latch."""
SLOPE = 0.508
"""kappa of the input transistor at its least current, (1 - m) I_0: U_T d ln I / dV."""
OUTPUT_V, HEADROOM_V, TRIODE_OUTPUT_V = 30.7, 1.44, 5.7
"""Early voltage of a switch; how far its output may rise for it; and what is left beyond."""
STATIC = (-0.0204, 0.0777, -0.0066)
"""ln of a switch's current at rest over w I_0, by powers of ln w: a weight is what moves with its input."""
SHAPE = (-0.0025, 0.0041)
"""c of the odd part of a product, w m x (1 + c (x^2 - 1)), by powers of ln w."""
DRIFT = (-0.0114, 0.3427, 0.1847, 0.0354)
"""d ln w over T_0 / T - 1, by powers of ln w. In weak inversion d ln w = ln w (T_0 kappa(T) / T kappa(T_0) - 1): the
second alone, and near one. At 20 nA kappa rises almost as T does, and a third of it is left."""
STEERED_F, ENDS_F = 1.5e-15, 40e-15
"""Charge from its supply over that supply: of a bit of a converter that changes; of reset and latch, a token."""


LATCH_OFFSET_SIGMA_V = 4.5e-3
"""Spread of the latch's offset with its inputs at ``MIDDLE_V``. V: ``--spread --latches 72`` of the same command."""
CAPACITANCE_SIGMA = 2e-3
"""Spread of an output's capacitance, relative: wire and drains of many crossings. C; the threshold's programming takes
it up on a chip that is calibrated."""
THRESHOLD_RANGE = 4.0
"""Switches that make a threshold, over the greatest weight. C."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """When a token's phases are.

    Attributes:
        bits: of an input, its sign one of them.
        settle_s: outputs held at ground while the lines find the token's currents, s.
        integrate_s: outputs rise, s.
        latch_s: the latch decides, s.
    """

    bits: int
    settle_s: float
    integrate_s: float
    latch_s: float = LATCH_S

    def __post_init__(self):
        if not 2 <= self.bits <= 10:
            raise SettingError(f"timing.bits = {self.bits} is outside 2..10; a sign and at least one bit of a size")

    @property
    def steps(self) -> int:
        """Codes at full scale: 2^(b-1) - 1."""
        return 2 ** (self.bits - 1) - 1

    @property
    def modulation(self) -> float:
        """M at full scale: the converter's 2^(b-1) steps are ``MODULATION``, and the last is not used."""
        return MODULATION * self.steps / (self.steps + 1)

    @property
    def latch_at_s(self) -> float:
        """From a token's start until the latch is clocked, s."""
        return self.settle_s + self.integrate_s

    @property
    def token_s(self) -> float:
        """All of a token, s."""
        return self.latch_at_s + self.latch_s


def line_f(rows: float = 1.0, extra_f: float = 0.0) -> float:
    """Capacitance of an input's line, F: its own gate, two crossings a row, one of them switched off, and wire.

    Args:
        rows: G.
        extra_f: of a line that is longer than its crossings, as in a field-programmable array, F.
    """
    return GATE_F * (1.0 + 2.0 * rows) + 2.0 * rows * WIRE_GATE_F + extra_f


def output_f(
    inputs: Float[Array, "*s"] | float, load_f: Float[Array, "*s"] | float = 0.0
) -> Float[Array, "*s"] | float:
    """Capacitance of an output, F: two crossings an input, the threshold's too, reset, latch and what is added.

    Args:
        inputs: N, without the threshold.
        load_f: of a longer line, or of a capacitor, F.
    """
    return 2.0 * (inputs + 1.0) * (DRAIN_F + WIRE_OUTPUT_F) + RESET_LINE_F + load_f


def settling_s(capacitance_f: float, bits: int, rest_a: float = REST_A, temperature_k: float = 300.15) -> float:
    """Time in which a line falls from its greatest current to its least but for ``SETTLED_STEPS``, s.

    C dV/dt = I_in - I with I = exp(kappa V / U_T) is a logistic curve of the current, dI/dt = (kappa / C U_T) I (I_in -
    I): a line's pole is that of its present current, and the way down is the slow one. With z = I / I_in,
    t = tau ln((1 - 1/z_0) / (1 - 1/z_1)), tau = C U_T / (kappa I_in).
    """
    least = 1.0 - MODULATION
    start, end = (1.0 + MODULATION) / least, 1.0 + SETTLED_STEPS * MODULATION / 2 ** (bits - 1) / least
    tau_s = capacitance_f * temperature_k * 8.617333e-5 / (SLOPE * least * rest_a)
    return tau_s * math.log((1.0 - 1.0 / start) / (1.0 - 1.0 / end))


def integration_s(
    static_a: Float[Array, "*s"] | float, capacitance_f: Float[Array, "*s"] | float
) -> Float[Array, "*s"] | float:
    """Time in which each output's current at rest, ``static_a``, takes it to ``MIDDLE_V``, s."""
    return MIDDLE_V * capacitance_f / static_a


def static_weight(weight: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """A switch's current at rest over I_0, of the weight that its input modulates; signed as the weight is.

    A mirror whose drains are at different voltages, and a power of the current that is not quite one: ``STATIC``.
    """
    weight = jnp.asarray(weight)
    return weight * jnp.exp(power_series(STATIC, jnp.abs(weight)))


def power_series(coefficients: tuple[float, ...], weight: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """sum_k c_k (ln w)^k; ln w stays within what a switch is programmed to."""
    log = jnp.log(jnp.clip(weight, LEAST_WEIGHT, GREATEST_WEIGHT))
    value = jnp.full_like(log, coefficients[-1])
    for one in reversed(coefficients[:-1]):
        value = value * log + one
    return value


def supply_current_a(
    inputs: Float[Array, "*s"] | float,
    static_a: Float[Array, "*s"] | float,
    rest_a: Float[Array, "*s"] | float = REST_A,
) -> Float[Array, "*s"]:
    """From the supply all the time, A: 2 (N + 1) I_0 of the lines, and both outputs' currents of every row.

    No token changes it: what one line has more the other has less. A line's current is its converter's too.

    Args:
        inputs: N, without the threshold.
        static_a: sum over all rows of each output's current at rest, the thresholds' included, A.
        rest_a: I_0, A; rows share the lines.
    """
    return 2.0 * (jnp.asarray(inputs) + 1.0) * rest_a + 2.0 * jnp.asarray(static_a)


def token_charge_c(
    supply_a: Float[Array, "*s"] | float, token_s: Float[Array, "*s"] | float, *, rows: float = 1.0
) -> Float[Array, "*s"]:
    """Charge a token from the 1.8 V supply, C: currents, resets and latches; converters' switches are apart."""
    return jnp.asarray(supply_a) * token_s + SUPPLY_V * rows * ENDS_F


def analog_area_um2(inputs: float, bits: int, rows: float = 1.0) -> float:
    """Crossings, input transistors, converters, resets and latches, um^2 of sky130; no wiring between blocks.

    A switch is a drawn one with our transistor's gate besides (``LAYOUT``), counted a little high. Each input meets
    both outputs of a row with both of its lines: four switches a weight, two of them off. A converter is a floating
    gate a bit, and one for what each line always has.

    Args:
        inputs: N.
        bits: of an input.
        rows: G.
    """
    switch_um2 = SWITCH_AREA.value + cell_um2(SWITCH)
    pairs = inputs + 1.0
    crossings = 4.0 * rows * pairs + 2.0 * pairs
    sources = inputs * (bits + 2.0) + 2.0
    steered = inputs * bits * (cell_um2(STEERED) - STEERED_N.area_um2 * LAYOUT.value + TRANSISTOR_UM2 * 6)
    sources_um2 = sources * (SWITCH_AREA.value + STEERED_N.area_um2 * LAYOUT.value)
    ends = sum(cell_um2(cell) + TRANSISTOR_UM2 * len(cell.devices) for cell in (RESET, LATCH))
    return crossings * switch_um2 + sources_um2 + steered + rows * ends
