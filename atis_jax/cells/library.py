"""The scorer's cells at transistor level: the OTA, the op-amp of the TIA, the comparator; what each is biased with.

Supply 1.8 V, common mode 0.9 V. The OTA is the one of the reference data (tests/data/spice); op-amp and comparator are
plain designs of ours, there to be simulated with it and not drawn as a layout.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.device import Branch, Cell, Device, Size

SUPPLY_V = 1.8
COMMON_MODE_V = 0.9
OTA_N, OTA_P = Size(4, 2), Size(4, 4)
"""Input pair, tail and bias diode; mirror."""
AMPLIFIER_N, AMPLIFIER_P = Size(8, 1), Size(8, 1)
OUTPUT_P = Size(16, 1)
"""Twice the mirror's width for twice its current: the input pair is balanced at the output's rest."""
INVERTER_N, INVERTER_P = Size(1, 0.5), Size(2, 0.5)

_DIODE = Branch("source of the bias current, into a diode", 1.0, sets_bias=True)

OTA = Cell(
    "ota",
    (
        Device("XN1", "x inp tail 0", OTA_N),
        Device("XN2", "out inn tail 0", OTA_N),
        Device("XP3", "x x vdd vdd", OTA_P),
        Device("XP4", "out x vdd vdd", OTA_P),
        Device("XN5", "tail ib 0 0", OTA_N),
        Device("XN6", "ib ib 0 0", OTA_N),
    ),
    # The mirror draws twice what the side of the diode carries: the bias current on the mean of both signs.
    (_DIODE, Branch("pair and mirror", 1.0)),
)
"""Five transistors and the diode of the tail's mirror."""
OP_AMP = Cell(
    "opamp",
    (
        Device("XN1", "x inn tail 0", AMPLIFIER_N),
        Device("XN2", "y inp tail 0", AMPLIFIER_N),
        Device("XP3", "x x vdd vdd", AMPLIFIER_P),
        Device("XP4", "y x vdd vdd", AMPLIFIER_P),
        Device("XN5", "tail ib 0 0", AMPLIFIER_N),
        Device("XN6", "ib ib 0 0", AMPLIFIER_N),
        Device("XP7", "out y vdd vdd", OUTPUT_P),
        Device("XN8", "out ib 0 0", AMPLIFIER_N),
    ),
    (_DIODE, Branch("pair and mirror", 1.0), Branch("output stage", 1.0)),
    resistance_ohm=20e3,
    # With 2 pF it slews at 0.4 V/us: after a large step of its input it loses its virtual ground, and then the token.
    capacitance_f=0.5e-12,
    joined=("y z", "z out"),
)
"""Two stages, Miller compensated."""
COMPARATOR = Cell(
    "comparator",
    (
        Device("XN1", "a inp tail 0", AMPLIFIER_N),
        Device("XN2", "b inn tail 0", AMPLIFIER_N),
        Device("XN3", "tail ib 0 0", AMPLIFIER_N),
        Device("XN4", "ib ib 0 0", AMPLIFIER_N),
        Device("XP5", "c inp head vdd", AMPLIFIER_P),
        Device("XP6", "d inn head vdd", AMPLIFIER_P),
        Device("XP7", "head bp vdd vdd", AMPLIFIER_P),
        Device("XP8", "bp bp vdd vdd", AMPLIFIER_P),
        Device("XN9", "bp ib 0 0", AMPLIFIER_N),
        Device("XP10", "a a vdd vdd", AMPLIFIER_P),
        Device("XP11", "b b vdd vdd", AMPLIFIER_P),
        Device("XP12", "c b vdd vdd", AMPLIFIER_P),
        Device("XN13", "c c 0 0", AMPLIFIER_N),
        Device("XN14", "d d 0 0", AMPLIFIER_N),
        Device("XN15", "a d 0 0", AMPLIFIER_N),
        Device("XP16", "y a vdd vdd", AMPLIFIER_P),
        Device("XN17", "y c 0 0", AMPLIFIER_N),
        Device("XP18", "w y vdd vdd", INVERTER_P),
        Device("XN19", "w y 0 0", INVERTER_N),
        Device("XP20", "out w vdd vdd", INVERTER_P),
        Device("XN21", "out w 0 0", INVERTER_N),
    ),
    (
        _DIODE,
        Branch("n-channel pair", 1.0),
        Branch("bias of the p-channel pair", 1.0),
        Branch("p-channel pair", 1.0),
        # One of the two carries the pairs' whole current once a token is decided, both a half at the threshold.
        Branch("sum of the two pairs", 1.0),
        # Measured, python -m experiments.spice.power: mirrors of 1 um length give more than they are asked for, and a
        # comparator near its threshold draws in its output stage too.
        Branch("finite output resistance, output stage", 0.75),
    ),
)
"""An n-channel and a p-channel pair, so that a reference anywhere from 0.4 to 1.4 V is compared; diodes hold the drains
of both, and their sum is mirrored to two inverters."""
CELLS = (OTA, OP_AMP, COMPARATOR)

COMPARATOR_CURRENT_A = 100e-9
"""Bias of a comparator: of each of its two pairs."""
COMPARATOR_TIME_S, COMPARATOR_RANGE_V = 0.71e-6, 17.9e-3
"""Pole of its output node, and how far that node is from its trip point at a rail, referred to the input: through the
2.4 to 0.25 us in which it decides 1 to 50 mV in ngspice (``python -m experiments.spice.timing``)."""
OTA_MIRROR_F, OTA_MIRROR_PER_DECADE = 0.113e-12, 0.38
"""Capacitance at an OTA's mirror at 10 nA, F, and its relative change a decade of bias current: by the last tenth of
the way after a step, from 3 to 100 nA (``python -m experiments.spice.timing``)."""
OTA_OUTPUT_F, COMPARATOR_INPUT_F = 2.4e-15, 41e-15
"""What an OTA's output and a comparator's input add to a node, F (``python -m experiments.spice.timing``); no wire."""
OP_AMP_LEAST_A, OP_AMP_PER_ARRAY = 0.5e-6, 2.0


def op_amp_current_a(array_current_a: Float[Array, "*s"] | float) -> Float[Array, "*s"]:
    """Bias of an op-amp, A: twice what its array can draw, at least 0.5 uA.

    Its output is a class A stage that sinks no more than this, and must carry the array's whole current. Four times as
    much, and 1 uA, settle no sooner (ngspice, the quickstart's second layer at 1.6 us a token).

    Args:
        array_current_a: sum of the bias currents of the OTAs at its node, A.
    """
    return jnp.maximum(OP_AMP_LEAST_A, OP_AMP_PER_ARRAY * jnp.asarray(array_current_a))
