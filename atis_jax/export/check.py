"""Whether a ``design.json`` is one: schema version, schema, ranges, arrays. The first fault is named."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from atis_jax.export.bundle import Bundle
from atis_jax.export.document import (
    FORMAT,
    SCHEMA,
    document_of,
    hardware_of_schema_3,
    seal,
    wanted_arrays,
    with_seal,
)
from atis_jax.export.errors import ExportError
from atis_jax.strict_json import JsonError, parse_json

SCHEMA_FILE = Path(__file__).with_name("design.schema.json")
_SHOWN = 5
_SLACK = 1e-6
"""Relative; a bound and a value at it may differ by a rounding to float32."""


def parse(content: bytes | str) -> dict[str, Any]:
    """The content of ``design.json`` as a document of the newest schema.

    Raises:
        ExportError: it is no JSON (see ``parse_json``), is of another format, or of a newer schema.
    """
    try:
        document = parse_json(content)
    except JsonError as error:
        raise ExportError(f"design.json: {error}; it was cut off or edited: export it anew") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ExportError(f"design.json: its 'format' is not {FORMAT!r}: this is no design bundle")
    version = document.get("schema")
    if isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA:
        raise ExportError(
            f"design.json: has schema {version}, this version of atis_jax reads {SCHEMA}; update atis_jax, or export "
            "it anew with this version"
        )
    return _newest(document) if version in range(1, SCHEMA) and not isinstance(version, bool) else document


def _newest(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document of an earlier schema as one of the newest.

    Schema 1 had no checksum of itself, that of a later one is looked at here: the document gets that of what it is now.
    Before schema 4 no prototype started anywhere but at random.
    """
    version, hardware, scorer = document["schema"], document.get("hardware"), document.get("scorer")
    if version == 1 and "sha256" in document:
        raise ExportError("design.json: has schema 1, which has no 'sha256'; it was edited: export it anew")
    if version > 1:
        if "sha256" not in document:
            raise ExportError("design.json: lacks 'sha256'; it was edited: export it anew")
        check_seal(document)
    new = {"start": "random"}
    if version < 3:
        new |= {"reads": "every_layer"}
        if isinstance(hardware, list) and all(
            isinstance(one, dict) and isinstance(one.get("field"), str) for one in hardware
        ):
            document = {**document, "hardware": hardware_of_schema_3(hardware)}
    if isinstance(scorer, Mapping):
        document = {**document, "scorer": {**new, **scorer}}
    return with_seal({**document, "schema": SCHEMA})


def check_seal(document: Mapping[str, Any]) -> None:
    """Raise ExportError unless the document is the one that its checksum was made of."""
    if document["sha256"] != seal(document):
        raise ExportError(
            "design.json: is not what its sha256 was made of: a name, an accuracy or the provenance was edited or "
            "damaged; export it anew"
        )


def check_document(document: Mapping[str, Any]) -> None:
    """Raise ExportError unless the document keeps the JSON Schema and every quantity its range."""
    errors = sorted(_validator().iter_errors(document), key=lambda error: list(map(str, error.absolute_path)))
    if errors:
        lines = [_told(error) for error in errors[:_SHOWN]]
        more = f"\n  and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
        raise ExportError("design.json: does not keep its schema:\n  " + "\n  ".join(lines) + more)
    for where, quantity in _quantities(document["layers"], "layers"):
        _check_range(where, quantity)


def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


def _told(error: ValidationError) -> str:
    """One fault in words: where, what was found, what is wanted."""
    if error.context:  # of several forms, the one whose constants are met
        forms = [[e for e in error.context if e.schema_path[0] == form] for form in range(len(error.validator_value))]
        return _told(min(forms, key=lambda faults: (sum(e.validator == "const" for e in faults), len(faults)))[0])
    where = error.json_path.removeprefix("$.") or "design.json"
    if error.validator == "const":
        return f"{where} = {error.instance!r} must be {error.validator_value!r}"
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{'' if where == '$' else where + ' '}lacks {', '.join(map(repr, missing))}"
    message = error.message if len(error.message) < 200 else error.message[:200] + "..."
    return f"{'the document' if where == '$' else where}: {message}"


def _quantities(value: Any, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every table with a wanted and an achieved value, with its place in the document."""
    if isinstance(value, Mapping):
        if "achieved" in value:
            yield where, value
        for name, inner in value.items():
            yield from _quantities(inner, f"{where}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _quantities(inner, f"{where}[{index}]")


def _check_range(where: str, quantity: Mapping[str, Any]) -> None:
    low = quantity["low"]
    high = math.inf if quantity["high"] is None else quantity["high"]
    several = isinstance(quantity["achieved"], list)
    values = quantity["achieved"] if several else [quantity["achieved"]]
    for index, value in enumerate(values):
        # A current is signed, and may be off; its range is that of the magnitude.
        size = abs(value) if several else value
        if several and size == 0:
            continue
        if not low - _SLACK * abs(low) <= size <= high + _SLACK * abs(high):
            place = f"{where}.achieved[{index}]" if several else f"{where}.achieved"
            raise ExportError(
                f"design.json: {place} = {value} {quantity['unit']} is outside {low} to {high} {quantity['unit']}; "
                "export it anew, do not edit it"
            )


def check_arrays(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ExportError unless the arrays are those that the document lists."""
    for name in (*wanted_arrays(document), *arrays):
        if name not in document["arrays"]:
            raise ExportError(f"design.json: arrays lacks {name!r}; export it anew")
    for name, entry in document["arrays"].items():
        if name not in arrays:
            raise ExportError(f"arrays.npz: lacks the array {name!r}; it was cut off or edited: export it anew")
        found = arrays[name]
        if list(found.shape) != entry["shape"] or str(found.dtype) != entry["dtype"]:
            raise ExportError(
                f"arrays.npz: {name!r} is {found.dtype}{list(found.shape)}, design.json says "
                f"{entry['dtype']}{entry['shape']}; export it anew"
            )
        if not np.all(np.isfinite(found)):
            raise ExportError(f"arrays.npz: {name!r} holds a number that is not finite; export it anew")


def check_agreement(document: Mapping[str, Any], bundle: Bundle) -> None:
    """Raise ExportError where ``design.json`` tells anything else than its own arrays, structure and hardware give."""
    again = {**document_of(bundle, document["files"]), "sha256": document["sha256"]}
    for where, mine, theirs in _differences(again, document, ""):
        raise ExportError(
            f"design.json: {where} = {_shown(theirs)} is not what the rest of the bundle gives, {_shown(mine)}; one of "
            "them was edited: export it anew"
        )


def _differences(mine: Any, theirs: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """Places in which two documents differ by more than a rounding on another machine."""
    if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
        for name in {**mine, **theirs}:
            place = f"{where}.{name}" if where else str(name)
            if name in mine and name in theirs:
                yield from _differences(mine[name], theirs[name], place)
            else:
                yield place, mine.get(name), theirs.get(name)
    elif isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        for index, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            yield from _differences(one, other, f"{where}[{index}]")
    elif isinstance(mine, float) and isinstance(theirs, int | float) and not isinstance(theirs, bool):
        if not math.isclose(mine, theirs, rel_tol=1e-4):
            yield where, mine, theirs
    elif isinstance(mine, bool) != isinstance(theirs, bool) or mine != theirs:  # in Python 1 == True
        yield where, mine, theirs


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:80]}..."
