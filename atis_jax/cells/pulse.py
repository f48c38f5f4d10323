"""The circuit with pulse-width inputs: currents steered onto two capacitors for a time each, and a clocked latch.

A weight is a current source whose gate is held (a floating gate). Three switches steer its current onto the plus line,
the minus line or the supply; with their gates at the supply they hold its drain still, as cascodes, while the lines
stay above about 1.2 V. Both lines are precharged to the supply, so no reference is needed. An input is a number of
clock steps, its sign the line. After the last pulse a latch compares the lines, and they are charged again. The
threshold is one branch more, on for the full time. The OTA's tanh is gone: the score is linear.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.area import FLOATING_GATE, capacitor_um2, cell_um2
from atis_jax.cells.device import Branch, Cell, Device, Size
from atis_jax.cells.library import SUPPLY_V
from atis_jax.validation import SettingError

SOURCE_N = Size(1, 4)
SWITCH_N = Size(0.42, 0.15)
DRIVER_N, DRIVER_P = Size(0.42, 0.15), Size(0.84, 0.15)
PAIR_N, LATCH_N, LATCH_P, RESET_P = Size(4, 0.5), Size(2, 0.15), Size(2, 0.15), Size(1, 0.15)
PRECHARGE_P = Size(2, 0.15)
BUFFER_N, BUFFER_P = Size(1, 0.15), Size(2, 0.15)

BRANCH = Cell(
    "branch",
    (
        Device("XN1", "tail gate 0 0", SOURCE_N),
        Device("XN2", "plus gp tail 0", SWITCH_N),
        Device("XN3", "minus gm tail 0", SWITCH_N),
        Device("XN4", "vdd gd tail 0", SWITCH_N),
        # Drivers: to the plus line while pn is low, to the minus line while mn is low, else to the supply.
        Device("XP5", "gp pn vdp vdp", DRIVER_P),
        Device("XN6", "gp pn 0 0", DRIVER_N),
        Device("XP7", "gm mn vdp vdp", DRIVER_P),
        Device("XN8", "gm mn 0 0", DRIVER_N),
        Device("XP9", "nor gp vdp vdp", DRIVER_P),
        Device("XP10", "gd gm nor vdp", DRIVER_P),
        Device("XN11", "gd gp 0 0", DRIVER_N),
        Device("XN12", "gd gm 0 0", DRIVER_N),
    ),
    # Whichever way it is steered: a line is charged from the supply again.
    (Branch("current source", 1.0),),
)
"""Ports plus minus vdd vdp gate pn mn: a weight, its switches and their drivers."""
LATCH = Cell(
    "latch",
    (
        Device("XN1", "a inp tail 0", PAIR_N),
        Device("XN2", "b inn tail 0", PAIR_N),
        Device("XN3", "tail clk 0 0", LATCH_N),
        Device("XN4", "x y a 0", LATCH_N),
        Device("XN5", "y x b 0", LATCH_N),
        Device("XP6", "x y vdd vdd", LATCH_P),
        Device("XP7", "y x vdd vdd", LATCH_P),
        Device("XP8", "x clk vdd vdd", RESET_P),
        Device("XP9", "y clk vdd vdd", RESET_P),
        Device("XP10", "a clk vdd vdd", RESET_P),
        Device("XP11", "b clk vdd vdd", RESET_P),
        Device("XP12", "clk clkn vdd vdd", BUFFER_P),
        Device("XN13", "clk clkn 0 0", BUFFER_N),
        Device("XP14", "keep x vdd vdd", DRIVER_P),
        Device("XN15", "keep x 0 0", DRIVER_N),
        Device("XP16", "drop y vdd vdd", DRIVER_P),
        Device("XN17", "drop y 0 0", DRIVER_N),
    ),
    (),
)
"""Ports inp inn keep drop clkn vdd: a StrongARM latch with its clock buffer; keep rises if inp is above inn."""
PRECHARGE = Cell(
    "precharge",
    (
        Device("XP1", "plus pre vdd vdd", PRECHARGE_P),
        Device("XP2", "minus pre vdd vdd", PRECHARGE_P),
        Device("XP3", "plus pre minus vdd", PRECHARGE_P),
        Device("XP4", "pre on vdp vdp", BUFFER_P),
        Device("XN5", "pre on 0 0", BUFFER_N),
    ),
    (),
)
"""Ports plus minus vdd vdp on: both lines to the supply and to each other while ``on`` is high."""

STEP_S = 10e-9
"""Of the clock that times the pulses: 100 MHz. Chosen."""
PRECHARGE_S, SETTLE_S, LATCH_S = 20e-9, 5e-9, 15e-9
"""Of a token: lines to the supply; between the last pulse and the latch, and before the first; the latch. Chosen."""

SWING_V = 1.5
"""A row's whole current for the full time, over a line's capacitor. Chosen."""
BRANCH_LINE_F, LINE_F = 0.164e-15, 5.74e-15
"""What hangs on a line beside its capacitor: of each branch; of latch and precharge. With the other constants below
measured by ``python -m experiments.spice.pulse`` (ngspice, sky130)."""
OUTPUT_V, HEADROOM_V, TRIODE_OUTPUT_V = 196.0, 0.76, 11.0
"""Early voltage of a branch; how far its line may fall for it; and what is left beyond, where the switch no longer
holds the source's drain."""
PULSE_F, PRECHARGE_F, LATCH_F = 4.4e-15, 9.5e-15, 40e-15
"""Charge from the supply over the supply: of the drivers for one pulse, of precharge and latch for one token. Their
gates, and the nodes behind them."""
LATCH_OFFSET_SIGMA_V, SWITCH_OFFSET_SIGMA_V = 8.5e-3, 0.33e-3
"""Spread of the latch's offset, and of what the switches leave on 80 fF. V: ``--spread --latches 168`` of the same
command."""
THRESHOLD_RANGE = 4.0
"""A threshold's largest current over a weight's. C: on for the full time, it is to reach what many weights add up to;
with a range of one the quickstart's second and third layers stood at its end."""
CAPACITOR_LOW_F, CAPACITOR_HIGH_F = 8e-15, 10e-12
"""A line's capacitor: from a plate of 2 um x 2 um, the least that sky130 has, to 70 um x 70 um. C."""
TRANSISTOR_UM2 = 0.9
"""Layout of a small transistor, its share of contacts, wells and wires: 3.75 um^2 for the 4 of a NAND gate and 20 um^2
for the 24 of a flip-flop in sky130's standard cells. R: that library's cell sizes."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """When a token's phases are.

    Attributes:
        bits: of an input, its sign one of them.
        step_s: of the clock, s.
        slots: whether an input's bits open windows of 16, 8, 4, 2, 1 steps each, one after the other, instead of one
            window that a counter closes.
        precharge_s: both lines to the supply, s.
        settle_s: before the first pulse, and between the last and the latch, s.
        latch_s: the latch decides, s.
    """

    bits: int = 6
    step_s: float = STEP_S
    slots: bool = False
    precharge_s: float = PRECHARGE_S
    settle_s: float = SETTLE_S
    latch_s: float = LATCH_S

    def __post_init__(self):
        if not 2 <= self.bits <= 10:
            raise SettingError(f"timing.bits = {self.bits} is outside 2..10; a sign and at least one bit of a pulse")

    @property
    def steps(self) -> int:
        """Clock steps at full scale: 2^(b-1) - 1."""
        return 2 ** (self.bits - 1) - 1

    @property
    def full_time_s(self) -> float:
        """The longest pulse, s."""
        return self.steps * self.step_s

    @property
    def pulses_at_s(self) -> float:
        """From a token's start until its pulses begin, s."""
        return self.precharge_s + self.settle_s

    @property
    def latch_at_s(self) -> float:
        """Until the latch is clocked, s."""
        return self.pulses_at_s + self.full_time_s + self.settle_s

    @property
    def token_s(self) -> float:
        """All of a token, s."""
        return self.latch_at_s + self.latch_s

    def windows(self, steps: int) -> list[tuple[int, int]]:
        """First and last step of each pulse that is ``steps`` long together; neighbours are one."""
        if not self.slots:
            return [(0, steps)] if steps else []
        found: list[tuple[int, int]] = []
        at = 0
        for bit in reversed(range(self.bits - 1)):
            if steps >> bit & 1:
                first = found.pop()[0] if found and found[-1][1] == at else at
                found.append((first, at + 2**bit))
            at += 2**bit
        return found

    def mean_pulses(self, inputs: float) -> float:
        """Pulses a token of ``inputs`` numbers that take every value of their steps equally often."""
        counts = [len(self.windows(steps)) for steps in range(self.steps + 1)]
        # Zero is one of 2 steps + 1 values, every other length two.
        return inputs * 2.0 * sum(counts) / (2 * self.steps + 1)


def pulse_charge_c(
    array_current_a: Float[Array, "*s"] | float,
    pulses: Float[Array, "*s"] | float,
    token_s: float,
    *,
    rows: float = 1.0,
    supply_v: float = SUPPLY_V,
) -> Float[Array, "*s"]:
    """Charge a token from the supply, C: sum(I) T + V (pulses C_p + rows (C_pre + C_latch)).

    A current comes from the supply all the time: what it takes off a line comes back at the precharge, and else it is
    steered to the supply. So it does not matter how long the pulses are, nor how large the capacitors.

    Args:
        array_current_a: sum of all branches' currents, thresholds included, A.
        pulses: that begin and end in a token.
        token_s: all of a token, s.
        rows: pairs of lines, each with its precharge and latch.
        supply_v: of lines, drivers and latches, V.
    """
    switched_f = jnp.asarray(pulses) * PULSE_F + rows * (PRECHARGE_F + LATCH_F)
    return jnp.asarray(array_current_a) * token_s + supply_v * switched_f


def line_capacitor_f(array_current_a: float, full_time_s: float, swing_v: float = SWING_V) -> float:
    """Capacitor of a line: all of its row's current for the full time moves it by ``swing_v``, F.

    Tokens use both lines and short pulses: of 1.5 V a mean token takes each line down by 0.26 V. The lines' own
    capacitance is on top.
    """
    return array_current_a * full_time_s / swing_v


def analog_area_um2(inputs: float, capacitance_f: float, rows: float = 1.0) -> float:
    """Cells by ``area``, each transistor's least layout, floating gates, both lines' capacitors, um^2 of sky130.

    A row has one branch more, for its threshold. Gates as small as a switch's are less than the layout of a transistor:
    ``TRANSISTOR_UM2`` is added for each, so that long gates are counted a little high.

    Args:
        inputs: N.
        capacitance_f: of each line's capacitor, F.
        rows: G.
    """
    branches = rows * (inputs + 1.0)
    cells = ((BRANCH, branches), (LATCH, rows), (PRECHARGE, rows))
    transistors = sum(count * (cell_um2(cell) + TRANSISTOR_UM2 * len(cell.devices)) for cell, count in cells)
    return transistors + branches * FLOATING_GATE.value + 2.0 * rows * capacitor_um2(capacitance_f)
