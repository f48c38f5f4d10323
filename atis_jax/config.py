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
    CODE_MARK,
    Kinds,
    Rule,
    SettingError,
    alternatives,
    annotations_of,
    check_value,
    field_names,
    rule_of,
    short_repr,
    unknown_field,
)

_T = TypeVar("_T")
_ABSENT = "(absent)"


def from_config_dict(cls: type[_T], config: Mapping | config_dict.ConfigDict, path: str = "config") -> _T:
    """``config`` as an instance of the dataclass ``cls``, sections and all.

    A tagged section becomes the dataclass that its ``kind`` names; without one it is of the default's kind. Nothing
    is imported for it: a stored config cannot name code to run.

    Args:
        cls: a frozen dataclass whose fields may be dataclasses themselves.
        config: a ConfigDict or a plain mapping (as read back from ``config.json``); fields left out take
            their defaults.
        path: dotted name of ``config``, for messages.

    Raises:
        SettingError: for an unknown field (with the nearest real one), one of another kind, a wrong type, or a value
            out of range.
        UnknownKind: for a section of a kind that is not registered.
    """
    if not _is_section(config):
        raise SettingError(
            f"{path} = {short_repr(config)} must be a section with the fields: {', '.join(field_names(cls))}"
        )
    hints = annotations_of(cls)
    values: dict[str, Any] = {}
    given = dict(config.items())
    for name in given:
        if name not in field_names(cls):
            raise unknown_field(path, name if isinstance(name, str) else short_repr(name), field_names(cls))
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        where = f"{path}.{field.name}"
        if field.name in given:
            value = given[field.name]
            section = _section_class(hints[field.name])
            kinds = rule_of(field).kinds
            if kinds is not None and _is_section(value):
                values[field.name] = section_of_kind(kinds, value, where)
            elif section is not None and not isinstance(value, section) and value is not None:
                values[field.name] = from_config_dict(section, value, where)
            else:
                values[field.name] = check_value(value, hints[field.name], rule_of(field), where)
                _check_chosen(values[field.name], rule_of(field), where)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SettingError(f"{where} has no default; set it in the config file or by --{where}=...")
        else:
            _check_chosen(field.default, rule_of(field), where)
    return cls(**values)


def section_of_kind(kinds: Kinds, config: Mapping | config_dict.ConfigDict, path: str) -> Any:
    """A tagged section as the dataclass of its kind. Nothing is imported.

    Args:
        kinds: what it may be.
        config: its fields; without ``kind`` it is of the default's.
        path: dotted name of the section, for messages.

    Raises:
        SettingError: see ``from_config_dict``; a field of another kind is said to be one.
        UnknownKind: its kind is not registered.
    """
    kind = config.get("kind", kinds.default)
    section, given = kinds.section(kind, f"{path}.kind"), dict(config.items())
    for name in given:
        others = () if name in field_names(section) else kinds.of(name)
        if others:
            raise SettingError(
                f"{path}.{name} is a field of kind {' or '.join(map(repr, others))}, and {path}.kind = {kind!r} has "
                f"none; leave it out, or choose another kind\nThe fields of {path} are: "
                f"{', '.join(field_names(section))}"
            )
    return from_config_dict(section, {**given, "kind": kind}, path)


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
    A field that may be None accepts any type here and is checked by ``from_config_dict``. A tagged section changes
    its fields with its kind (``TaggedSection``).
    """
    config = _unlocked(settings() if isinstance(settings, type) else settings)
    return config.lock()


def _unlocked(settings: Any) -> config_dict.ConfigDict:
    hints = annotations_of(type(settings))
    config = config_dict.ConfigDict()
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        kinds = rule_of(field).kinds
        if kinds is not None:
            config[field.name] = TaggedSection(_unlocked(value), kinds, f"config.{field.name}")
        elif dataclasses.is_dataclass(value):
            config[field.name] = _unlocked(value)
        elif len(alternatives(hints[field.name])) > 1:
            config[field.name] = config_dict.FieldReference(value, field_type=object)
        else:
            config[field.name] = value
    return config


class TaggedSection(config_dict.ConfigDict):
    """A tagged section: assigning its ``kind`` gives it the fields of that kind, at their defaults.

    Kinds that share a dataclass share its fields, which then stay as they are. A kind ``package.module:Class`` is
    imported and registered: who assigns it is a config file or the command line, never a stored config, which is read
    as a plain mapping.
    """

    def __init__(self, section: Any = None, kinds: Kinds | None = None, path: str = "config"):
        object.__setattr__(self, "_kinds", None)
        super().__init__(section)
        object.__setattr__(self, "_kinds", kinds)
        object.__setattr__(self, "_path", path)

    def __setitem__(self, key, value):
        if key != "kind" or self._kinds is None or value == self.kind:
            super().__setitem__(key, value)
            return
        if self._kinds.load is not None and isinstance(value, str) and CODE_MARK in value:
            self._kinds.load(value)
        wanted = self._kinds.section(value, f"{self._path}.kind")
        if wanted is not self._kinds.sections.get(self.kind):
            fresh = _unlocked(wanted(kind=value))
            self._fields.clear()
            self._fields.update(fresh._fields)
        super().__setitem__(key, value)

    def __setstate__(self, state):
        super().__setstate__(state)
        object.__setattr__(self, "_kinds", state["_kinds"])
        object.__setattr__(self, "_path", state["_path"])


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
    fields, out = _fields(cls), {}
    for name, value in stored.items():
        if name in fields and not rule_of(fields[name]).affects_result:
            continue
        section = _stored_section(cls, fields.get(name), value)
        out[name] = results_part(section, value) if section else value
    return out


def as_stored_now(cls: type, stored: Mapping) -> dict[str, Any]:
    """``stored`` (the content of a ``config.json``) as settings of ``cls`` are written today.

    An older version wrote the ``~`` of a path as given, had no kinds of data and networks, and fewer settings: what it
    lacks is what it meant, ``Rule.earlier`` or the default.
    """
    fields = _fields(cls)
    out = dict(stored)
    for name, field in fields.items():
        rule = rule_of(field)
        if name not in stored and rule.affects_result and field.default is not dataclasses.MISSING:
            meant = field.default if rule.earlier is None else rule.earlier
            out[name] = as_dict(meant) if dataclasses.is_dataclass(meant) else json.loads(json.dumps(meant))
    for name, value in stored.items():
        section = _stored_section(cls, fields.get(name), value)
        if section:
            kinds = rule_of(fields[name]).kinds
            out[name] = as_stored_now(section, value if kinds is None else {"kind": kinds.default, **value})
        elif name in fields and rule_of(fields[name]).path:
            out[name] = _expanded(value)
    return out


def _fields(cls: type) -> dict[str, dataclasses.Field]:
    return {field.name: field for field in dataclasses.fields(cls)}


def _stored_section(cls: type, field: dataclasses.Field | None, value: Any) -> type | None:
    """The dataclass of a stored section; None for a plain value, and where its kind is not known here."""
    if field is None or not isinstance(value, Mapping):
        return None
    kinds = rule_of(field).kinds
    if kinds is None:
        return _section_class(annotations_of(cls)[field.name])
    kind = value.get("kind", kinds.default)
    return kinds.sections.get(kind) if isinstance(kind, str) else None


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


__all__ = [
    "TaggedSection",
    "as_dict",
    "as_stored_now",
    "config_hash",
    "differing_fields",
    "from_config_dict",
    "results_part",
    "section_of_kind",
    "stored_hash",
    "to_config_dict",
    "to_json",
]
