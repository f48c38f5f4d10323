"""Transistors and the cells they make: sizes, connections, branches that carry current."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Size:
    """Gate of a transistor, um."""

    width_um: float
    length_um: float

    @property
    def area_um2(self) -> float:
        """Of the gate alone."""
        return self.width_um * self.length_um


@dataclasses.dataclass(frozen=True)
class Device:
    """One transistor of a cell.

    Attributes:
        name: XN or XP, for its channel, and a number.
        nodes: drain, gate, source and bulk.
        size: of its gate.
    """

    name: str
    nodes: str
    size: Size

    @property
    def n_channel(self) -> bool:
        """Whether it is an n-channel transistor."""
        return self.name.startswith("XN")


@dataclasses.dataclass(frozen=True)
class Branch:
    """A path from the supply to ground.

    Attributes:
        what: its purpose.
        share: current in it over the cell's bias current, a mean over inputs. Counted on the schematic: a mirror of
            equal sizes carries the same current, half a balanced pair carries a half.
        sets_bias: whether it does nothing but set the cell's bias; a floating gate has none.
    """

    what: str
    share: float
    sets_bias: bool = False


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell with ports inp inn out ib vdd; ``ib`` takes its bias current.

    Attributes:
        name: of its subcircuit.
        devices: its transistors.
        branches: everything that draws from the supply.
        resistance_ohm: of its one resistor, 0 for none.
        capacitance_f: of its one capacitor, 0 for none.
        joined: nodes of the resistor and of the capacitor, as a netlist writes them.
    """

    name: str
    devices: tuple[Device, ...]
    branches: tuple[Branch, ...]
    resistance_ohm: float = 0.0
    capacitance_f: float = 0.0
    joined: tuple[str, str] = ("", "")

    def supply_share(self, *, bias_branch: bool = True) -> float:
        """Current from the supply over the bias current; without the branch that sets it, if a floating gate does."""
        return sum(branch.share for branch in self.branches if bias_branch or not branch.sets_bias)

    @property
    def gate_area_um2(self) -> float:
        """Sum over its transistors' gates."""
        return sum(device.size.area_um2 for device in self.devices)

    def sizes(self, *, n_channel: bool) -> tuple[Size, ...]:
        """The sizes in use, each once."""
        return tuple(dict.fromkeys(device.size for device in self.devices if device.n_channel == n_channel))
