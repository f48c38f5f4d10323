"""The scorer's cells at transistor level: the OTA, the op-amp of the TIA, the comparator.

Gates in um, supply 1.8 V, common mode 0.9 V. The OTA is the one of the reference data (tests/data/spice); op-amp and
comparator are plain designs of ours, there to be simulated with it and not drawn as a layout.
"""

from __future__ import annotations

from atis_jax.spice.models import Process, Size

SUPPLY_V = 1.8
COMMON_MODE_V = 0.9
OTA_N, OTA_P = Size(4, 2), Size(4, 4)
"""Input pair, tail and bias diode; mirror."""
AMPLIFIER_N, AMPLIFIER_P = Size(8, 1), Size(8, 1)
OUTPUT_P = Size(16, 1)
"""Twice the mirror's width for twice its current: the input pair is balanced at the output's rest."""
INVERTER_N, INVERTER_P = Size(1, 0.5), Size(2, 0.5)
OPTIONS = ".options gmin=1e-16 abstol=1e-17 reltol=1e-6 vntol=1e-9 itl1=40 itl2=40"
"""Of the reference data, for nanoamperes need a gmin far below the simulator's own; but where Newton has not converged
after 40 iterations it never does, and stepping gmin (which finds the same point) may begin."""

OTA = "ota"
"""Subcircuit: inp inn out ib vdd. Five transistors and the diode of its tail mirror; ``ib`` takes the bias current."""
OP_AMP = "opamp"
"""Subcircuit: inp inn out ib vdd. Two stages, Miller compensated; ``ib`` takes the current of each stage."""
COMPARATOR = "comparator"
"""Subcircuit: inp inn out ib vdd. An n-channel and a p-channel pair, so that a reference anywhere from 0.4 to 1.4 V is
compared; diodes hold the drains of both, and their sum is mirrored to two inverters; ``ib`` takes the current of each
pair."""


def cells_text(process: Process, *, mismatch: bool = False) -> str:
    """The models and the three subcircuits.

    Args:
        process: of the transistors.
        mismatch: whether each transistor draws its own deviations (seed: ``.option seed=N``).
    """
    n_sizes = (OTA_N, AMPLIFIER_N, INVERTER_N)
    p_sizes = (OTA_P, AMPLIFIER_P, OUTPUT_P, INVERTER_P)
    return process.text(n_sizes, p_sizes, mismatch) + "".join(
        part(process) for part in (_ota_text, _op_amp_text, _comparator_text)
    )


def transistor(process: Process, name: str, nodes: str, size: Size) -> str:
    """One line: ``name`` is X and N or P and a label, as in ``XN1``; nodes are drain gate source bulk."""
    model = process.nmos if name.startswith("XN") else process.pmos
    return f"{name} {nodes} {model} w={size.width_um:g} l={size.length_um:g}\n"


def _subcircuit(process: Process, name: str, devices: tuple[tuple[str, str, Size], ...], rest: str = "") -> str:
    body = "".join(transistor(process, label, nodes, size) for label, nodes, size in devices)
    return f".subckt {name} inp inn out ib vdd\n{body}{rest}.ends\n"


def _ota_text(process: Process) -> str:
    return _subcircuit(
        process,
        OTA,
        (
            ("XN1", "x inp tail 0", OTA_N),
            ("XN2", "out inn tail 0", OTA_N),
            ("XP3", "x x vdd vdd", OTA_P),
            ("XP4", "out x vdd vdd", OTA_P),
            ("XN5", "tail ib 0 0", OTA_N),
            ("XN6", "ib ib 0 0", OTA_N),
        ),
    )


def _op_amp_text(process: Process) -> str:
    return _subcircuit(
        process,
        OP_AMP,
        (
            ("XN1", "x inn tail 0", AMPLIFIER_N),
            ("XN2", "y inp tail 0", AMPLIFIER_N),
            ("XP3", "x x vdd vdd", AMPLIFIER_P),
            ("XP4", "y x vdd vdd", AMPLIFIER_P),
            ("XN5", "tail ib 0 0", AMPLIFIER_N),
            ("XN6", "ib ib 0 0", AMPLIFIER_N),
            ("XP7", "out y vdd vdd", OUTPUT_P),
            ("XN8", "out ib 0 0", AMPLIFIER_N),
        ),
        "Rz y z 20k\nCc z out 2p\n",
    )


def _comparator_text(process: Process) -> str:
    return _subcircuit(
        process,
        COMPARATOR,
        (
            ("XN1", "a inp tail 0", AMPLIFIER_N),
            ("XN2", "b inn tail 0", AMPLIFIER_N),
            ("XN3", "tail ib 0 0", AMPLIFIER_N),
            ("XN4", "ib ib 0 0", AMPLIFIER_N),
            ("XP5", "c inp head vdd", AMPLIFIER_P),
            ("XP6", "d inn head vdd", AMPLIFIER_P),
            ("XP7", "head bp vdd vdd", AMPLIFIER_P),
            ("XP8", "bp bp vdd vdd", AMPLIFIER_P),
            ("XN9", "bp ib 0 0", AMPLIFIER_N),
            ("XP10", "a a vdd vdd", AMPLIFIER_P),
            ("XP11", "b b vdd vdd", AMPLIFIER_P),
            ("XP12", "c b vdd vdd", AMPLIFIER_P),
            ("XN13", "c c 0 0", AMPLIFIER_N),
            ("XN14", "d d 0 0", AMPLIFIER_N),
            ("XN15", "a d 0 0", AMPLIFIER_N),
            ("XP16", "y a vdd vdd", AMPLIFIER_P),
            ("XN17", "y c 0 0", AMPLIFIER_N),
            ("XP18", "w y vdd vdd", INVERTER_P),
            ("XN19", "w y 0 0", INVERTER_N),
            ("XP20", "out w vdd vdd", INVERTER_P),
            ("XN21", "out w 0 0", INVERTER_N),
        ),
    )
