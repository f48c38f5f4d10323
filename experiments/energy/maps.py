"""The break-even maps of a run: worked out, described for its page, and as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from atis_jax.energy.breakeven import Axis, Map, Place, break_even_map, map_start
from atis_jax.energy.shapes import NetworkShape
from experiments.energy.settings import ScenariosSettings

AGAINST = ("dense", "digital", "folded", "codesigned_digital")


def maps_of(settings: ScenariosSettings, own: NetworkShape) -> list[Map]:
    """Every map of ``config.maps``: the co-designed point in ``config.map_scenario`` with two numbers moved."""
    return [break_even_map(*one) for one in _arguments(settings, own)]


def check_maps(settings: ScenariosSettings, own: NetworkShape) -> None:
    """Whether every map of ``config.maps`` can be drawn; takes seconds, where drawing takes a minute.

    Raises:
        SettingError: an axis changes nothing in ``config.map_scenario``.
    """
    for one in _arguments(settings, own):
        map_start(*one)


def _arguments(settings: ScenariosSettings, own: NetworkShape) -> Iterator[tuple[Any, ...]]:
    spec, points = settings.scenario(settings.map_scenario), settings.points(settings.map_scenario)
    for pair in settings.maps:
        x, _, y = pair.partition("/")
        yield spec, points, x, y, settings.resolution, own, AGAINST


def map_summary(one: Map, scenario: str) -> dict[str, Any]:
    """A map's entry in ``summary.json``; its numbers are in ``artifacts.npz``."""
    return {
        "scenario": scenario,
        "x": _axis(one.x, one.place),
        "y": _axis(one.y, one.place),
        "against": list(one.ratio),
    }


def _axis(axis: Axis, place: Place) -> dict[str, Any]:
    own = axis.at(place)
    return {
        "name": axis.name,
        "label": axis.label,
        "unit": axis.unit,
        "log": axis.log,
        "own": None if own is None else float(own),
    }


def map_arrays(maps: list[Map]) -> dict[str, np.ndarray]:
    """Arrays of ``artifacts.npz``: axes and ratios of each map, 0 where no design can be."""
    arrays: dict[str, np.ndarray] = {}
    for number, one in enumerate(maps):
        arrays[f"map{number}_x"] = np.asarray(one.x.values)
        arrays[f"map{number}_y"] = np.asarray(one.y.values)
        for rival, ratio in one.ratio.items():
            arrays[f"map{number}_{rival}"] = np.where(np.isnan(ratio), 0.0, ratio)
    return arrays
