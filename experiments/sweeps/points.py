"""The runs of a sweep: every point's overrides applied to the config, checked as a whole, and named."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import config_dict

from atis_jax.config import as_dict, from_config_dict
from atis_jax.validation import SettingError, unknown_field
from experiments import registry
from experiments.command_line import set_kinds

SEED = "seed"
"""The field that repeats a design."""
LONGEST_NAME = 200
"""Characters of a run's folder name: file systems take 255 bytes, and temporary files add an ending."""


@dataclasses.dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        name: of its folder below the sweep's.
        overrides: the swept fields it sets, dotted, with their checked values.
        settings: its complete settings.
        experiment: where its code is.
    """

    name: str
    overrides: Mapping[str, Any]
    settings: Any
    experiment: registry.Experiment


def points_of(config: config_dict.ConfigDict, space: Any) -> list[Point]:
    """The checked runs of ``space``, a list of overrides, on top of ``config``.

    Raises:
        SettingError: the space is empty or no list of overrides; a field does not exist (the nearest one is named)
            or its value is refused; two points are the same run, or would get the same folder.
    """
    if not isinstance(space, Sequence) or isinstance(space, str) or not all(isinstance(p, Mapping) for p in space):
        raise SettingError(
            f"get_sweep() returned {_short(space)}; return a list of overrides, as product({{'seed': [0, 1]}}) is"
        )
    if not space:
        raise SettingError("get_sweep() returned an empty sweep; give it at least one point")
    points = [_point(config, overrides, i) for i, overrides in enumerate(space)]
    _check_distinct(points)
    return points


def swept_fields(points: Sequence[Point]) -> list[str]:
    """Every field that some point sets, in the order of first mention."""
    return list(dict.fromkeys(name for point in points for name in point.overrides))


def value_of(settings: Any, name: str) -> Any:
    """The value of a dotted field, None where these settings have no such field."""
    holder: Any = as_dict(settings)
    for part in name.split("."):
        holder = holder.get(part) if isinstance(holder, Mapping) else None
    return holder


def check_not_overridden(points: Sequence[Point], names: Sequence[str]) -> None:
    """Refuse a command-line override of a swept field: the sweep would win, silently.

    Raises:
        SettingError: names the field.
    """
    for name in names:
        if name in swept_fields(points):
            raise SettingError(
                f"--config.{name} is a field that get_sweep() sets; leave it out, or take it out of the sweep"
            )


def _point(config: config_dict.ConfigDict, overrides: Mapping[str, Any], index: int) -> Point:
    where = f"point {index} of the sweep ({_shown(overrides)})"
    if not overrides:
        raise SettingError(f"{where} sets no field; give it at least one")
    # As on the command line, where every field begins with it.
    named = {str(name).removeprefix("config."): value for name, value in overrides.items()}
    if len(named) < len(overrides):
        raise SettingError(f"{where} sets a field twice, with and without 'config.'; leave one out")
    based = copy.deepcopy(config)
    try:
        set_kinds(based, named)
    except SettingError as error:
        raise SettingError(f"{where}: {error}") from error
    values = based.to_dict()
    for name, value in named.items():
        _assign(values, name, value, where)
    try:
        entry = registry.entry(values.get("experiment"))
        settings: Any = from_config_dict(registry.load(entry)[0], values)
    except SettingError as error:
        raise SettingError(f"{where}: {error}") from error
    checked = {name: value_of(settings, name) for name in named}
    return Point(_name(checked, where), checked, settings, entry)


def _assign(values: dict[str, Any], name: str, value: Any, where: str) -> None:
    """Set a dotted field of nested dicts; the field exists and is no section."""
    holder: Any = values
    *sections, last = name.split(".")
    for depth, part in enumerate([*sections, last]):
        section = ".".join(["config", *sections[:depth]])
        if not isinstance(holder, dict):
            raise SettingError(f"{where}: config.{name} does not exist: {section} is a value, not a section")
        if part not in holder:
            raise SettingError(f"{where}: {unknown_field(section, part, list(holder))}")
        if depth < len(sections):
            holder = holder[part]
    if isinstance(holder[last], dict):
        raise SettingError(
            f"{where}: config.{name} is a section; sweep its fields, as in '{name}.{next(iter(holder[last]))}'"
        )
    holder[last] = value


def name_of(overrides: Mapping[str, Any]) -> str:
    """Overrides as part of a folder's name: ``scorer.inputs=8,pruning.kept=0.65_0.58_0.55``."""
    return ",".join(f"{field}={_word(value)}" for field, value in overrides.items())


def _name(overrides: Mapping[str, Any], where: str) -> str:
    name = name_of(overrides)
    if len(name) > LONGEST_NAME:
        raise SettingError(
            f"{where}: its folder's name would have {len(name)} characters, more than {LONGEST_NAME}; sweep fewer "
            "fields at once, or shorter values"
        )
    return name


def _word(value: Any) -> str:
    """A value as part of a folder's name: no slashes, spaces, brackets or commas."""
    if isinstance(value, list):
        return "_".join(_word(item) for item in value) or "empty"
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text) or "empty"


def _check_distinct(points: Sequence[Point]) -> None:
    settings: dict[str, int] = {}
    folders: dict[str, int] = {}
    for i, point in enumerate(points):
        same = settings.setdefault(json.dumps(as_dict(point.settings), sort_keys=True), i)
        if same != i:
            raise SettingError(
                f"points {same} and {i} of the sweep are the same run ({_shown(point.overrides)}); give each once"
            )
        # Lower case: some file systems hold one folder for both spellings.
        same = folders.setdefault(point.name.lower(), i)
        if same != i:
            raise SettingError(
                f"points {same} and {i} of the sweep ({_shown(points[same].overrides)}; {_shown(point.overrides)}) "
                f"both want the folder {point.name!r}; give them values that differ in letters or digits"
            )


def _shown(overrides: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in overrides.items())


def _short(value: Any) -> str:
    text = repr(value)
    return f"a {type(value).__name__} ({text if len(text) < 80 else text[:77] + '...'})"
