"""From a ConfigDict to frozen, checked dataclasses and back; the hash that says two runs are the same."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, TypeVar

from ml_collections import config_dict

from atis_jax.validation import (
    Rule,
    SettingError,
    alternatives,
    annotations_of,
    check_value,
    rule_of,
    short_repr,
    unknown_field,
)

_T = TypeVar("_T")
_ABSENT = "(absent)"


def from_config_dict(cls: type[_T], config: Mapping | config_dict.ConfigDict, path: str = "config") -> _T:
    """``config`` as an instance of the dataclass ``cls``, sections and all.

    Args:
        cls: a frozen dataclass whose fields may be dataclasses themselves.
        config: a ConfigDict or a plain mapping (as read back from ``config.json``); fields left out take
            their defaults.
        path: dotted name of ``config``, for messages.

    Raises:
        SettingError: for an unknown field (with the nearest real one), a wrong type, or a value out of range.
    """
    if not _is_section(config):
        raise SettingError(f"{path} = {short_repr(config)} must be a section with the fields: {', '.join(_names(cls))}")
    hints = annotations_of(cls)
    values: dict[str, Any] = {}
    given = dict(config.items())
    for name in given:
        if name not in _names(cls):
            raise unknown_field(path, name if isinstance(name, str) else short_repr(name), _names(cls))
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        where = f"{path}.{field.name}"
        if field.name in given:
            value = given[field.name]
            section = _section_class(hints[field.name])
            if section is not None and not isinstance(value, section) and value is not None:
                values[field.name] = from_config_dict(section, value, where)
            else:
                values[field.name] = check_value(value, hints[field.name], rule_of(field), where)
                _check_chosen(values[field.name], rule_of(field), where)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SettingError(f"{where} has no default; set it in the config file or by --{where}=...")
        else:
            _check_chosen(field.default, rule_of(field), where)
    return cls(**values)


def _check_chosen(value: Any, rule: Rule, where: str) -> None:
    """Raise SettingError where a choice that nothing is assumed for was not made."""
    if rule.required and value is None:
        choices = "" if rule.choices is None else f"; it is one of: {', '.join(map(str, rule.choices))}"
        raise SettingError(
            f"{where} is not chosen, and nothing is assumed ({rule.doc}); set it in the config file or by "
            f"--{where}=...{choices}"
        )


def to_config_dict(settings: Any) -> config_dict.ConfigDict:
    """A locked ConfigDict holding the settings of a dataclass instance, or the defaults of a dataclass type.

    A config file starts from this and assigns what differs; a misspelt assignment fails there and then.
    A field that may be None accepts any type here and is checked by ``from_config_dict``.
    """
    config = _unlocked(settings() if isinstance(settings, type) else settings)
    return config.lock()


def _unlocked(settings: Any) -> config_dict.ConfigDict:
    hints = annotations_of(type(settings))
    config = config_dict.ConfigDict()
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            config[field.name] = _unlocked(value)
        elif len(alternatives(hints[field.name])) > 1:
            config[field.name] = config_dict.FieldReference(value, field_type=object)
        else:
            config[field.name] = value
    return config


def as_dict(settings: Any, *, results_only: bool = False) -> dict[str, Any]:
    """Nested plain dict of a dataclass instance, ready for JSON.

    Args:
        settings: the dataclass instance.
        results_only: leave out the fields that cannot change what a run computes.
    """
    out: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        if results_only and not rule_of(field).affects_result:
            continue
        value = getattr(settings, field.name)
        out[field.name] = as_dict(value, results_only=results_only) if dataclasses.is_dataclass(value) else value
    # tuples become lists, as they are in the file
    return json.loads(json.dumps(out, allow_nan=False))


def results_part(cls: type, stored: Mapping) -> dict[str, Any]:
    """``stored`` (the content of a ``config.json``) without the fields that cannot change a result.

    Fields that ``cls`` no longer has stay in, so that they show up as a difference.
    """
    hints = annotations_of(cls)
    rules = {field.name: rule_of(field) for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    out: dict[str, Any] = {}
    for name, value in stored.items():
        if name in rules and not rules[name].affects_result:
            continue
        section = _section_class(hints[name]) if name in rules else None
        out[name] = results_part(section, value) if section and isinstance(value, Mapping) else value
    return out


def paths_expanded(cls: type, stored: Mapping) -> dict[str, Any]:
    """``stored`` with the ``~`` of its paths as settings of ``cls`` have them; an older version stored it as given."""
    hints = annotations_of(cls)
    rules = {field.name: rule_of(field) for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    out: dict[str, Any] = dict(stored)
    for name, value in stored.items():
        section = _section_class(hints[name]) if name in rules else None
        if section and isinstance(value, Mapping):
            out[name] = paths_expanded(section, value)
        elif name in rules and rules[name].path:
            out[name] = _expanded(value)
    return out


def _expanded(value: Any) -> Any:
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    return os.path.expanduser(value) if isinstance(value, str) else value


def to_json(settings: Any) -> str:
    """The complete settings as the text of ``config.json``."""
    return json.dumps(as_dict(settings), indent=2) + "\n"


def config_hash(settings: Any) -> str:
    """SHA-256 of every setting that can change the result; the same on any machine and in any field order."""
    return stored_hash(as_dict(settings, results_only=True))


def stored_hash(results: Mapping) -> str:
    """``config_hash`` of a stored config (its ``results_part``), also if fields have been added since."""
    canonical = json.dumps(results, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def differing_fields(stored: Mapping, current: Mapping, path: str = "config") -> list[str]:
    """Lines ``config.a.b: 1 there, 2 now`` for each field in which two nested dicts differ."""
    lines: list[str] = []
    for name in [*current, *(name for name in stored if name not in current)]:
        old, new = stored.get(name, _ABSENT), current.get(name, _ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += differing_fields(old, new, f"{path}.{name}")
        elif old != new:
            lines.append(f"{path}.{name}: {_shown(old)} there, {_shown(new)} now")
    return lines


def _shown(value: Any) -> str:
    return value if value is _ABSENT else json.dumps(value)


def _is_section(value: Any) -> bool:
    return isinstance(value, (Mapping, config_dict.ConfigDict))


def _section_class(annotation: Any) -> type | None:
    """The dataclass that a field holds, or None for a plain value."""
    kinds = [kind for kind in alternatives(annotation) if kind is not type(None)]
    if len(kinds) == 1 and dataclasses.is_dataclass(kinds[0]):
        return kinds[0] if isinstance(kinds[0], type) else None
    return None


def _names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))  # type: ignore[arg-type]


__all__ = [
    "as_dict",
    "config_hash",
    "differing_fields",
    "from_config_dict",
    "paths_expanded",
    "results_part",
    "to_config_dict",
    "to_json",
]
