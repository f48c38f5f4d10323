"""Break-even maps: where the analog scorer costs as much as what it is compared with, over two numbers at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from atis_jax.energy.constants import paper
from atis_jax.energy.presets import (
    DIGITAL_ENTRIES,
    NODE_RANGE_NM,
    EnergyPreset,
    energy_preset,
    nodes_nm,
    preset_at_node,
)
from atis_jax.energy.scenarios import (
    ANALOG,
    PointSpec,
    ScenarioSpec,
    contender,
    scenario_network,
)
from atis_jax.energy.shapes import NetworkShape
from atis_jax.units import MICRO, NANO
from atis_jax.validation import check_choice


@dataclasses.dataclass(frozen=True)
class Place:
    """What a map moves: a scenario, its network, prices and one analog design point."""

    spec: ScenarioSpec
    network: NetworkShape
    preset: EnergyPreset
    point: PointSpec


@dataclasses.dataclass(frozen=True)
class Axis:
    """One number of a map.

    Attributes:
        name: key in ``axes``.
        label: what it is, without its unit.
        unit: SI without prefix; "nm", and "of 1" for a share, where people say it otherwise; "" for a count.
        values: in that unit, ascending.
        log: whether its axis is logarithmic.
        move: ``(place, value) -> place``.
        at: the number as it stands at a place; None where the place does not say.
    """

    name: str
    label: str
    unit: str
    values: tuple[float, ...]
    log: bool
    move: Callable[[Place, float], Place]
    at: Callable[[Place], float | None]


def _geometric(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(float(v) for v in np.geomspace(low, high, count))


def _point(**fields: Callable[[float], float]) -> Callable[[Place, float], Place]:
    def move(place: Place, value: float) -> Place:
        changes: dict[str, Any] = {name: to(value) for name, to in fields.items()}
        return dataclasses.replace(place, point=dataclasses.replace(place.point, **changes))

    return move


def _network(place: Place, **changes) -> Place:
    return dataclasses.replace(place, network=dataclasses.replace(place.network, **changes))


def _width(place: Place, value: float) -> Place:
    """Width with everything that goes with it: MLP, stem, heads' count plays no part."""
    old, width = place.network, round(value)
    return _network(
        place,
        width=width,
        mlp_width=round(old.mlp_width * width / old.width),
        stem_macs=round(old.stem_macs * width / old.width),
    )


def _length(place: Place, value: float) -> Place:
    return _network(place, tokens=round(value))


def _pruned(place: Place, value: float) -> Place:
    return dataclasses.replace(place, spec=dataclasses.replace(place.spec, kept=1.0 - value))


def _node(place: Place, value: float) -> Place:
    network = "int8" if place.preset.network_bytes == 1.0 else "fp16"
    scaled = preset_at_node(value, network)
    return dataclasses.replace(place, preset=scaled)


def _dac_j_per_bit(place: Place) -> float:
    own = place.point.dac_j_per_bit
    return float(place.preset.dac_j_per_bit) if own is None else own


def _node_nm(place: Place) -> float | None:
    """The node of a named preset's digital entries, where all of them have one and the same."""
    found = nodes_nm(str(place.spec.preset))
    nodes = {node for entry in DIGITAL_ENTRIES for node in found[entry]}
    (node,) = nodes if len(nodes) == 1 else (None,)
    return None if node is None else float(node)


def _whole(values: Iterable[int]) -> tuple[float, ...]:
    return tuple(map(float, values))


LENGTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
WIDTHS = (64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096)


def axes(resolution: int) -> dict[str, Axis]:
    """Every number a map can move, with ``resolution`` values along a continuous one."""
    sizes = tuple(sorted({float(round(v)) for v in np.geomspace(2, 1024, resolution)}))
    shares = tuple(float(v) for v in np.linspace(0.0, 0.95, resolution))
    dac = _geometric(paper.DAC.low or paper.DAC.value, paper.DAC.value, resolution)
    bias, times = _geometric(1 * NANO, 100 * NANO, resolution), _geometric(0.1 * MICRO, 100 * MICRO, resolution)
    every = (
        Axis("dac_energy", "DAC energy", "J/bit", dac, True, _point(dac_j_per_bit=float), _dac_j_per_bit),
        Axis("inputs", "array inputs N", "", sizes, True, _point(inputs=round), lambda at: at.point.inputs),
        Axis("bits", "DAC bits", "", _whole(range(1, 11)), False, _point(bits=round), lambda at: at.point.bits),
        Axis("bias", "bias current of an OTA", "A", bias, True, _point(bias_a=float), lambda at: at.point.bias_a),
        Axis(
            "token_time",
            "token time",
            "s",
            times,
            True,
            _point(token_time_s=float),
            lambda at: at.point.token_time_s,
        ),
        Axis("node", "node of the digital part", "nm", _geometric(*NODE_RANGE_NM, resolution), True, _node, _node_nm),
        Axis("length", "tokens of the sequence", "", _whole(LENGTHS), True, _length, lambda at: at.network.tokens),
        Axis("width", "width of the network d", "", _whole(WIDTHS), True, _width, lambda at: at.network.width),
        Axis("pruned", "share pruned in the last layer", "of 1", shares, False, _pruned, lambda at: 1.0 - at.spec.kept),
    )
    return {axis.name: axis for axis in every}


def energies(place: Place, analog: str, against: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """Total and scoring energy, J, of one analog contender and of its rivals at one place."""
    points = {name: place.point for name in ANALOG}
    found = {}
    for name in (analog, *against):
        preset = place.preset
        if place.point.dac_j_per_bit is not None:
            preset = dataclasses.replace(preset, dac_j_per_bit=place.point.dac_j_per_bit)
        result = contender(name, place.spec, place.network, points, preset)
        found[name] = float(result.total_j), float(result.scoring_j)
    return found


@dataclasses.dataclass(frozen=True)
class Map:
    """Ratios over two axes.

    Attributes:
        x: along the columns.
        y: along the rows.
        place: what it starts from.
        ratio: by rival, (rows, columns) energy of the analog contender over the rival's: of the whole image against
            ``dense``, of scoring alone against a digital scorer, with which it shares all the rest.
    """

    x: Axis
    y: Axis
    place: Place
    ratio: dict[str, np.ndarray]


def break_even_map(
    spec: ScenarioSpec,
    point: PointSpec,
    x: str,
    y: str,
    resolution: int,
    own: NetworkShape | None = None,
    against: tuple[str, ...] = ("dense", "digital", "folded"),
) -> Map:
    """The analog scorer at ``point`` over its rivals, with two numbers moved.

    Raises:
        SettingError: an axis that does not exist.
    """
    every = axes(resolution)
    across, up = (every[check_choice(name, every, "map")] for name in (x, y))
    start = Place(spec, scenario_network(spec, own), energy_preset(spec.preset), point)
    ratio = {rival: np.empty((len(up.values), len(across.values))) for rival in against}
    for row, of_row in enumerate(up.values):
        moved = up.move(start, of_row)
        for column, of_column in enumerate(across.values):
            found = energies(across.move(moved, of_column), "codesigned", against)
            total, scoring = found["codesigned"]
            for rival in against:
                ratio[rival][row, column] = total / found[rival][0] if rival == "dense" else scoring / found[rival][1]
    return Map(across, up, start, ratio)
