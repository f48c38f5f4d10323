"""What the front of a sweep compares: two numbers of the summary, and the design all others are held against."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from atis_jax.validation import SettingError, check_settings, setting
from experiments.sweeps.points import SEED, Point


@dataclasses.dataclass(frozen=True)
class Front:
    """Two numbers of the summary, and the design that all others are held against."""

    reference: str = setting("", doc="name of a run of the reference design")
    cost: str = setting("energy.scoring_j", doc="number of the summary that should be small")
    value: str = setting("accuracy.hardware_mean", doc="number of the summary that should be large")
    tolerance: float = setting(0.005, low=0.0, high=1.0, doc="how much less of the value still counts as equal")

    def __post_init__(self):
        check_settings(self, "front")


def front_of(asked: Any, points: Sequence[Point]) -> Front:
    """The front that ``get_front()`` of a config asks for.

    Args:
        asked: a dict with ``reference``, the overrides of one of the sweep's points with or without its seed, and where
            they differ from the defaults of ``Front`` its ``cost``, ``value`` and ``tolerance``.
        points: of the sweep.

    Raises:
        SettingError: not such a dict, or the reference is none of the points.
    """
    names = [field.name for field in dataclasses.fields(Front)]
    if not isinstance(asked, Mapping) or set(asked) - set(names) or "reference" not in asked:
        raise SettingError(
            f"get_front() returned {asked!r}; return a dict with 'reference', the overrides of one of the sweep's "
            f"points, and if wanted {', '.join(names[1:])}"
        )
    wanted = asked["reference"]
    named = [(point.name, dict(point.overrides)) for point in points]
    # The point itself before one that has a seed more.
    named += [(name, {field: value for field, value in given.items() if field != SEED}) for name, given in named]
    found = [name for name, given in named if isinstance(wanted, Mapping) and given == dict(wanted)]
    if not found:
        raise SettingError(
            f"get_front(): reference = {wanted!r} is none of the sweep's {len(points)} points; give the overrides of "
            "one of them"
        )
    return Front(**{**asked, "reference": found[0]})
