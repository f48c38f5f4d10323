"""Silicon of the built circuit: cells, floating gates, resistors and capacitors, um^2 of sky130.

None of it is drawn. A cell is its gates times ``LAYOUT``; a floating gate is one that others have drawn.
"""

from __future__ import annotations

import dataclasses

from atis_jax.cells.device import Cell
from atis_jax.cells.library import COMPARATOR, OP_AMP, OTA


@dataclasses.dataclass(frozen=True)
class Factor:
    """One number behind an area.

    Attributes:
        name: for the table.
        value: in ``unit``.
        unit: of it.
        source: where it is from.
        evidence: measured (drawn by others, or of the process's own files), or chosen.
        low: lower end of its range.
        high: upper end.
    """

    name: str
    value: float
    unit: str
    source: str
    evidence: str
    low: float
    high: float


_HILAS = "hilas-pdk, README: "
FLOATING_GATE = Factor(
    "floating gate of a weight",
    10.52 * 16.54 / 2,
    "um^2",
    f"{_HILAS}sky130_hilas_FGBias2x1cell, 10.52 x 16.54 um for two p-channel current sources, each with its floating "
    "gate, its tunnelling capacitor and its select; low: an earlier bias cell of 11.05 x 6.05 um for four",
    "measured",
    low=11.05 * 6.05 / 4,
    high=10.52 * 16.54 / 2,
)
SWITCH_AREA = Factor(
    "floating-gate switch of a fabric",
    10.87 * 27.57 / 8,
    "um^2",
    f"{_HILAS}sky130_hilas_swc4x2cellOverlap, 10.87 x 27.57 um for eight switches, each with its floating "
    "gate; low: its first draft of 17.97 x 6.05 um; high: swc4x2cell with varactors, 14.72 x 45.72 um",
    "measured",
    low=17.97 * 6.05 / 8,
    high=14.72 * 45.72 / 8,
)
LAYOUT = Factor(
    "layout over gates",
    2.5,
    "",
    "contacts, spacing, wells, guard rings and supply lines of long gates. With it an OTA and its floating gate are "
    f"227 um^2; drawn, one with its bias gate is 246 ({_HILAS}sky130_hilas_TA2Cell_NoFG, 24.01 x 20.50 um for two)",
    "chosen",
    low=1.5,
    high=4.0,
)
SHEET_OHM = Factor(
    "sheet resistance of high poly",
    2000.0,
    "ohm",
    "sky130_fd_pr__res_xhigh_po, 2 kohm a square",
    "measured",
    low=2000.0,
    high=2000.0,
)
RESISTOR_WIDTH_UM = Factor(
    "width of a resistor",
    0.69,
    "um",
    "second of the widths of sky130_fd_pr__res_xhigh_po (0.35 to 5.73 um)",
    "chosen",
    low=0.35,
    high=1.41,
)
RESISTOR_PITCH = Factor(
    "pitch of a resistor's legs over its width",
    2.0,
    "",
    "as much between two legs as a leg",
    "chosen",
    low=1.7,
    high=3.0,
)
CAPACITOR_F_PER_UM2 = Factor(
    "capacitance of a plate",
    2e-15,
    "F/um^2",
    "camimc of sky130_fd_pr__model__cap_mim, its corners as range",
    "measured",
    low=1.778e-15,
    high=2.231e-15,
)
FACTORS = (FLOATING_GATE, SWITCH_AREA, LAYOUT, SHEET_OHM, RESISTOR_WIDTH_UM, RESISTOR_PITCH, CAPACITOR_F_PER_UM2)


@dataclasses.dataclass(frozen=True)
class Area:
    """Of a scorer, um^2, part by part.

    Attributes:
        otas: of the array.
        floating_gates: one a weight.
        read_out: op-amps with their own resistor and capacitor.
        feedback: resistors of the TIAs.
        comparators: one a prototype.
    """

    otas: float
    floating_gates: float
    read_out: float
    feedback: float
    comparators: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.otas + self.floating_gates + self.read_out + self.feedback + self.comparators


def resistor_um2(resistance_ohm: float) -> float:
    """A folded strip: R / R_sheet squares of its width, at its pitch."""
    return resistance_ohm / SHEET_OHM.value * RESISTOR_WIDTH_UM.value**2 * RESISTOR_PITCH.value


def capacitor_um2(capacitance_f: float) -> float:
    """A plate between two metals. It lies above a circuit, but no circuit is put below it here."""
    return capacitance_f / CAPACITOR_F_PER_UM2.value


def cell_um2(cell: Cell, *, bias_branch: bool = True) -> float:
    """Gates times ``LAYOUT``, with its resistor and capacitor.

    Args:
        cell: whose area.
        bias_branch: whether the diode that sets its bias is there; a floating gate has none.
    """
    gates = cell.gate_area_um2 if bias_branch else cell.gate_area_um2 - bias_diode_um2(cell)
    return gates * LAYOUT.value + resistor_um2(cell.resistance_ohm) + capacitor_um2(cell.capacitance_f)


def bias_diode_um2(cell: Cell) -> float:
    """Gate of the transistor that takes the bias current: its drain and its gate are ``ib``."""
    return sum(device.size.area_um2 for device in cell.devices if device.nodes.split()[:2] == ["ib", "ib"])


def scorer_um2(
    inputs: int,
    rows: int,
    comparators: int,
    feedback_ohm: float,
    bias: str = "floating_gate",
    *,
    amplifier: bool = True,
) -> Area:
    """A scorer of N inputs and G rows: N G OTAs, an op-amp and a resistor a row, comparators.

    Args:
        inputs: N of a row.
        rows: G, twice the prototypes where scores are differential.
        comparators: one a prototype.
        feedback_ohm: of each row's TIA.
        bias: one of ``supply.BIASES``: a floating gate an OTA, or the netlist's diode. Converters, thresholds and what
            programs the gates are not in it.
        amplifier: whether a row has an op-amp; else its resistor alone.
    """
    weights = inputs * rows
    netlisted = bias == "netlisted"
    return Area(
        otas=weights * cell_um2(OTA, bias_branch=netlisted),
        floating_gates=0.0 * weights if netlisted else weights * FLOATING_GATE.value,
        read_out=rows * cell_um2(OP_AMP) if amplifier else 0.0,
        feedback=rows * resistor_um2(feedback_ohm),
        comparators=comparators * cell_um2(COMPARATOR),
    )
