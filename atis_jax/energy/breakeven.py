"""Break-even maps: where the analog scorer costs as much as what it is compared with, over two numbers at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from atis_jax.energy.constants import paper
from atis_jax.energy.deployments import (
    DeploymentSpec,
    PointSpec,
    contender,
    deployment_network,
    spending_ratio,
)
from atis_jax.energy.presets import (
    DIGITAL_ENTRIES,
    NODE_RANGE_NM,
    EnergyPreset,
    energy_preset,
    nodes_nm,
    preset_at_node,
)
from atis_jax.energy.shapes import NetworkShape
from atis_jax.units import MICRO, NANO
from atis_jax.validation import SettingError, check_choice


@dataclasses.dataclass(frozen=True)
class Place:
    """What a map moves: a deployment, its network, prices and the co-designed point; the paper's stays where it is."""

    spec: DeploymentSpec
    network: NetworkShape
    preset: EnergyPreset
    point: PointSpec
    paper: PointSpec


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


def _inputs(place: Place, value: float) -> Place:
    pixels = place.network.pixel_values
    if place.spec.source == "pixels" and value > pixels:
        raise SettingError(f"{value:g} inputs of a patch of {pixels} pixel values; give at most {pixels}")
    return _point(inputs=round)(place, value)


def _width(place: Place, value: float) -> Place:
    """Width with everything that goes with it: MLP, stem; the heads' count plays no part.

    A patch embedding has a d-vector for each pixel, a pooler d x d numbers.
    """
    old, width = place.network, round(value)
    times = width / old.width
    return _network(
        place,
        width=width,
        mlp_width=round(old.mlp_width * times),
        stem_macs=round(old.stem_macs * (times if old.pixel_values else times**2)),
    )


def _length(place: Place, value: float) -> Place:
    """Tokens, and the patches to embed; a pooler reads one token however many there are."""
    old, tokens = place.network, round(value)
    stem = round(old.stem_macs * tokens / old.tokens) if old.pixel_values else old.stem_macs
    return _network(place, tokens=tokens, stem_macs=stem)


def _pruned(place: Place, value: float) -> Place:
    return dataclasses.replace(place, spec=dataclasses.replace(place.spec, kept=1.0 - value))


def _node(place: Place, value: float) -> Place:
    if place.preset.name == "paper_4_2":
        raise SettingError(
            "map axis 'node' with preset 'paper_4_2', whose digital prices are not from the tables that are scaled; "
            "choose a horowitz or jouppi preset for the deployment, or another axis"
        )
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
        Axis("inputs", "array inputs N", "", sizes, True, _inputs, lambda at: at.point.inputs),
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


def ratios(place: Place, against: tuple[str, ...]) -> dict[str, float]:
    """``spending_ratio`` of the co-designed circuit to each rival at one place."""
    preset = place.preset
    if place.point.dac_j_per_bit is not None:
        preset = dataclasses.replace(preset, dac_j_per_bit=place.point.dac_j_per_bit)
    points = {"paper": place.paper, "codesigned": place.point}
    ours = contender("codesigned", place.spec, place.network, points, preset)
    return {
        rival: spending_ratio(ours, contender(rival, place.spec, place.network, points, preset), rival)
        for rival in against
    }


@dataclasses.dataclass(frozen=True)
class Map:
    """Ratios over two axes.

    Attributes:
        x: along the columns.
        y: along the rows.
        place: what it starts from.
        ratio: by rival, (rows, columns) energy of the co-designed circuit over the rival's, ``spending_ratio``; NaN
            where no design can be.
    """

    x: Axis
    y: Axis
    place: Place
    ratio: dict[str, np.ndarray]


def map_start(
    spec: DeploymentSpec,
    points: dict[str, PointSpec],
    x: str,
    y: str,
    resolution: int,
    own: NetworkShape | None = None,
    against: tuple[str, ...] = ("dense", "digital", "folded"),
) -> tuple[Axis, Axis, Place]:
    """The axes across and up of ``break_even_map`` and where it starts; the arguments are its own.

    Raises:
        SettingError: an axis that does not exist, or one that changes nothing here.
    """
    every = axes(resolution)
    across, up = (every[check_choice(name, every, "map")] for name in (x, y))
    network = deployment_network(spec, own)
    start = Place(spec, network, energy_preset(spec.preset), points["codesigned"], points["paper"])
    ratios(start, against)  # what is wrong before anything is moved is a mistake, not a hole in the map
    for axis in (across, up):
        _check_moves(axis, start)
    return across, up, start


def break_even_map(
    spec: DeploymentSpec,
    points: dict[str, PointSpec],
    x: str,
    y: str,
    resolution: int,
    own: NetworkShape | None = None,
    against: tuple[str, ...] = ("dense", "digital", "folded"),
) -> Map:
    """The co-designed circuit over its rivals, with two numbers moved.

    Args:
        spec: the deployment.
        points: design points ``paper`` and ``codesigned``; the first gives the paper's rivals, the second moves.
        x: name of the axis across.
        y: name of the axis up.
        resolution: values along a continuous axis.
        own: the shape of network ``own``.
        against: contenders to hold it against.

    Raises:
        SettingError: an axis that does not exist, or one that changes nothing here.
    """
    across, up, start = map_start(spec, points, x, y, resolution, own, against)
    ratio = {rival: np.full((len(up.values), len(across.values)), np.nan) for rival in against}
    for row, of_row in enumerate(up.values):
        for column, of_column in enumerate(across.values):
            try:
                found = ratios(across.move(up.move(start, of_row), of_column), against)
            except SettingError:
                continue
            for rival in against:
                ratio[rival][row, column] = found[rival]
    return Map(across, up, start, ratio)


def _check_moves(axis: Axis, start: Place) -> None:
    """Raise SettingError if ``axis`` is a number that the design point has no use for, or cannot move anywhere."""
    point, sensor = start.point, start.spec.source == "pixels"
    if axis.name == "node":
        axis.move(start, axis.values[0])
    unused = {
        "dac_energy": sensor or point.dac not in ("per_bit", "sar_8b"),
        "bits": sensor or point.dac == "none",
        "token_time": point.core != "bias",
    }
    if unused.get(axis.name):
        raise SettingError(
            f"map axis {axis.name!r} changes nothing in this deployment at this design point (dac = {point.dac!r}, "
            f"core = {point.core!r}, source = {start.spec.source!r}); choose another axis, or another design point"
        )
