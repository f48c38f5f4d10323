"""A fitted hardware preset on disk: which preset it starts from, which fields the fit set, where they come from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atis_jax.circuits.hardware import Hardware, check_kind, with_fields
from atis_jax.circuits.presets import PRESETS, get_preset
from atis_jax.circuits.systematic import Systematic
from atis_jax.strict_json import JsonError, parse_json, read_bytes
from atis_jax.validation import SettingError, check_choice, did_you_mean

FORMAT = "atis_jax fitted hardware"
SCHEMA = 2
_EARLIER = {1: ("log_current", "kappa", "offset_v", "additive")}
"""Systematic terms that files of an earlier schema have; the others are without effect."""
_MARK = "#sha256:"
_DIGITS = 12
_LARGEST_BYTES = 2**20
"""Of a preset file; ours have a few thousand."""


def fitted_hardware(base: Hardware, name: str, fields: Mapping[str, Any]) -> Hardware:
    """``base`` under the fit's name with the fit's fields, checked."""
    return with_fields(base, {"name": name, **fields})


def preset_json(base: str, name: str, fields: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """The text of a preset file.

    Args:
        base: name of the preset that gives every field the fit did not set.
        name: of the fitted hardware.
        fields: dotted fields of ``Hardware`` and their values.
        provenance: where the curves come from and how well they were fitted; told, not used.
    """
    plain = {path: dataclasses.asdict(v) if isinstance(v, Systematic) else v for path, v in fields.items()}
    content = {
        "format": FORMAT,
        "schema": SCHEMA,
        "name": name,
        "base": base,
        "fields": plain,
        "provenance": dict(provenance),
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def read_preset(path: str | Path) -> Hardware:
    """The hardware that a preset file describes.

    Raises:
        SettingError: no such file, another format, a newer schema, an unknown base or field, or a value out of bounds.
    """
    path = Path(path)
    try:
        content = parse_json(read_bytes(path, _LARGEST_BYTES))
    except (OSError, ValueError) as error:
        raise SettingError(
            f"{str(path)!r} holds no fitted hardware ({error}); give one of the presets {', '.join(PRESETS)}, or the "
            "file that configs/fit.py wrote"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SettingError(f"{str(path)!r} is no fitted hardware: its 'format' is not {FORMAT!r}")
    if content.get("schema") not in (*_EARLIER, SCHEMA) or isinstance(content["schema"], bool):
        raise SettingError(
            f"{str(path)!r} has schema {content.get('schema')!r}, this version reads {SCHEMA}; update atis_jax, or "
            "fit anew"
        )
    for field in ("name", "base", "fields"):
        if field not in content:
            raise SettingError(f"{str(path)!r} lacks {field!r}; fit anew")
    for field, kind, words in (("name", str, "a text"), ("base", str, "a text"), ("fields", dict, "a table")):
        if not isinstance(content[field], kind):
            raise SettingError(f"{str(path)!r}: {field} = {content[field]!r} must be {words}; fit anew")
    if content["base"] not in PRESETS:
        raise SettingError(
            f"{str(path)!r}: base = {content['base']!r} is not one of: {', '.join(PRESETS)}"
            f"{did_you_mean(content['base'], PRESETS)}"
        )
    try:
        base = get_preset(content["base"])
        fields = {field: _value(field, value, content["schema"]) for field, value in content["fields"].items()}
        return fitted_hardware(base, content["name"], fields)
    except ValueError as error:
        raise SettingError(f"{str(path)!r}: {error}") from error


def _value(path: str, value: Any, schema: int) -> Any:
    """``value`` as the hardware has it, if it is of the kind of the field at ``path``."""
    if path != "ota.systematic" or value is None:
        check_kind(path, value)
        return value
    known = _EARLIER.get(schema) or tuple(field.name for field in dataclasses.fields(Systematic))
    if not isinstance(value, dict) or set(value) - set(known):
        raise ValueError(f"ota.systematic must be a table with {', '.join(known)}")
    read = {name: _tuples(rows) for name, rows in value.items()}
    for name, rows in read.items():
        check_kind(f"ota.systematic.{name}", rows)
    return Systematic(**read)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def named_hardware(preset: str) -> Hardware:
    """A preset by name, or a fitted one by the path of its file, with or without the mark of ``preset_with_digest``.

    Raises:
        SettingError: neither, or the file is not the one with that digest.
    """
    path, mark, digest = preset.partition(_MARK)
    if not (mark or path.endswith(".json")):
        return get_preset(check_choice(preset, PRESETS, "hardware.preset", "or the .json that configs/fit.py wrote"))
    if mark and _digest(path) != digest:
        raise SettingError(
            f"hardware.preset = {path!r} has changed since this run was made (its content was {digest}, it is "
            f"{_digest(path)}); put the old file back, or start a new run"
        )
    return read_preset(path)


def preset_with_digest(preset: str) -> str:
    """``preset`` itself for a name; a path with the hash of the file's content, so that a run notices another file."""
    if preset in PRESETS or _MARK in preset or not preset.endswith(".json"):
        return preset
    return f"{preset}{_MARK}{_digest(preset)}"


def _digest(path: str) -> str:
    try:
        return hashlib.sha256(read_bytes(path, _LARGEST_BYTES)).hexdigest()[:_DIGITS]
    except JsonError as error:
        raise SettingError(f"hardware.preset = {path!r} {error}; give the file that configs/fit.py wrote") from error
    except OSError as error:
        raise SettingError(f"hardware.preset = {path!r} cannot be read ({error.strerror}); give its file") from error
