"""The built cells as subcircuits of a netlist, with the options their nanoamperes need."""

from __future__ import annotations

from atis_jax.cells.device import Cell, Size
from atis_jax.cells.library import CELLS
from atis_jax.spice.models import Process

OPTIONS = ".options gmin=1e-16 abstol=1e-17 reltol=1e-6 vntol=1e-9 itl1=40 itl2=40"
"""Of the reference data, for nanoamperes need a gmin far below the simulator's own; but where Newton has not converged
after 40 iterations it never does, and stepping gmin (which finds the same point) may begin."""

TRANSIENT_OPTIONS = ".options gmin=1e-16 abstol=1e-15 reltol=1e-4 vntol=1e-7 itl1=40 itl2=40 itl4=50 method=gear"
"""In time: tighter tolerances end in time steps that are too small; scores differ by 0.04 mV RMS."""


def cells_text(process: Process, *, mismatch: bool = False, cells: tuple[Cell, ...] = CELLS) -> str:
    """The models and a subcircuit a cell, ports inp inn out ib vdd.

    Args:
        process: of the transistors.
        mismatch: whether each transistor draws its own deviations (seed: ``.option seed=N``).
        cells: to write.
    """
    n_sizes, p_sizes = (
        tuple(dict.fromkeys(size for cell in cells for size in cell.sizes(n_channel=which))) for which in (True, False)
    )
    return process.text(n_sizes, p_sizes, mismatch) + "".join(_subcircuit(process, cell) for cell in cells)


def transistor(process: Process, name: str, nodes: str, size: Size) -> str:
    """One line: ``name`` is X and N or P and a label, as in ``XN1``; nodes are drain gate source bulk."""
    model = process.nmos if name.startswith("XN") else process.pmos
    return f"{name} {nodes} {model} w={size.width_um:g} l={size.length_um:g}\n"


def _subcircuit(process: Process, cell: Cell) -> str:
    body = "".join(transistor(process, one.name, one.nodes, one.size) for one in cell.devices)
    resistor, capacitor = cell.joined
    if cell.resistance_ohm:
        body += f"Rz {resistor} {cell.resistance_ohm:g}\n"
    if cell.capacitance_f:
        body += f"Cc {capacitor} {cell.capacitance_f:g}\n"
    return f".subckt {cell.name} inp inn out ib vdd\n{body}.ends\n"
