"""``design.json``: a bundle as a document, and back; the arrays that go beside it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from atis_jax.circuits.hardware import check_kind, flatten_hardware, unflatten_hardware
from atis_jax.circuits.presets import get_preset
from atis_jax.config import as_dict, from_config_dict
from atis_jax.export.bundle import Bundle, Calibration, leaves_of
from atis_jax.export.errors import ExportError
from atis_jax.export.quantities import layer_quantities
from atis_jax.export.units import unit_of
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.validation import SettingError

FORMAT, SCHEMA = "atis_jax design bundle", 4
INFINITE = "infinite"
_SYSTEMATIC = "ota.systematic."
_DESIGN, _QUERY = "design/", "query"
_TRIM_V, _TRIM_LOG = "calibration/threshold_v", "calibration/log_current"


def arrays_of(bundle: Bundle) -> dict[str, np.ndarray]:
    """What goes into ``arrays.npz``: the trained leaves to the bit, the query, the calibration."""
    arrays = {f"{_DESIGN}{name}": leaf for name, leaf in leaves_of(bundle.design).items()}
    arrays[_QUERY] = np.asarray(bundle.query)
    if bundle.calibration is not None:
        arrays[_TRIM_V] = np.asarray(bundle.calibration.threshold_v)
        arrays[_TRIM_LOG] = np.asarray(bundle.calibration.log_current)
    return arrays


def document_of(bundle: Bundle, files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What goes into ``design.json``.

    Args:
        bundle: the design.
        files: size and hash of the other files, by name.
    """
    calibration: dict[str, Any] = {"state": "as designed"}
    if bundle.calibration is not None:
        found = bundle.calibration
        calibration = {
            "state": "calibrated",
            "chip": found.chip,
            "methods": list(found.methods),
            "temperature": {"unit": "C", "value": found.temperature_c},
            "threshold": {"unit": "V", "array": _TRIM_V},
            "log_current": {"unit": "1", "array": _TRIM_LOG},
        }
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "name": bundle.name,
        "provenance": dict(bundle.provenance),
        "accuracy": dict(bundle.accuracy),
        "network": {
            "layers": bundle.layers,
            "tokens": bundle.tokens,
            "width": int(np.shape(bundle.design.projection)[-1]),
            "scored": [layer + 1 for layer in bundle.scored],
        },
        "scorer": as_dict(bundle.spec),
        "hardware": [
            {"field": path, "unit": unit_of(path), "value": encoded(value)}
            for path, value in flatten_hardware(bundle.hardware).items()
        ],
        "layers": [layer_quantities(bundle, layer) for layer in range(bundle.layers)],
        "calibration": calibration,
        "arrays": {
            name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in arrays_of(bundle).items()
        },
        "files": {name: dict(entry) for name, entry in files.items()},
    }


# Without effect: what no chip had before schema 3. Systematic terms are listed where there are any.
_NEW_FIELDS: dict[str, Any] = {
    "ota.offset_drift_sigma_v_per_k": 0.0,
    "ota.offset_lot_sigma_v": 0.0,
    "ota.kappa_lot_sigma": 0.0,
    "tia.offset_drift_sigma_v_per_k": 0.0,
    "comparator.offset_drift_sigma_v_per_k": 0.0,
    "ota.capacitance_per_decade": 0.0,
    "tia.readout": "amplifier",
    "token_time_s": INFINITE,
}
_NEW_SYSTEMATIC = ("log_current_per_v", "kappa_per_v", "offset_v_per_v", "additive_per_v")


def hardware_of_schema_3(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The list ``hardware`` of an earlier document with the fields that came with schema 3, each without effect."""
    given = {entry["field"] for entry in entries}
    new = dict(_NEW_FIELDS)
    if any(str(path).startswith(_SYSTEMATIC) for path in given):
        new |= {f"{_SYSTEMATIC}{name}": [] for name in _NEW_SYSTEMATIC}
    added = [{"field": path, "unit": unit_of(path), "value": value} for path, value in new.items() if path not in given]
    order = {path: place for place, path in enumerate(flatten_hardware(get_preset("sky130_fg")))}
    order[_SYSTEMATIC.rstrip(".")] = order[f"{_SYSTEMATIC}log_current"]
    return sorted([*entries, *added], key=lambda entry: order.get(entry["field"], len(order)))


def seal(document: Mapping[str, Any]) -> str:
    """The sha256 of a document without its own: as JSON in ASCII, keys sorted, no spaces."""
    rest = {name: value for name, value in document.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def with_seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its ``seal``: what no array confirms, such as an accuracy, is then not changed unseen."""
    return {**document, "sha256": seal(document)}


def bundle_of(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Bundle:
    """The bundle that a checked document and its arrays describe.

    Raises:
        ExportError: the scorer or the hardware is not one that this version can build.
    """
    try:
        spec = from_config_dict(ScorerSpec, document["scorer"], "scorer")
    except SettingError as error:
        raise ExportError(f"design.json: {error}") from error
    for name in as_dict(spec):
        if name not in document["scorer"]:  # its default would be another structure without a word
            raise ExportError(f"design.json: scorer lacks {name!r}; export it anew")
    for entry in document["hardware"]:
        if entry["unit"] != unit_of(entry["field"]):
            raise ExportError(
                f"design.json: hardware {entry['field']}: unit = {entry['unit']!r} must be {unit_of(entry['field'])!r}"
            )
    try:
        values = {entry["field"]: _decoded(entry["value"]) for entry in document["hardware"]}
        for path, value in values.items():
            check_kind(path, value)
        hardware = unflatten_hardware(values)
    except (ValueError, TypeError) as error:
        raise ExportError(f"design.json: hardware: {error}") from error
    names = {field.name for field in dataclasses.fields(Design)}
    leaves: dict[str, Any] = {
        name.removeprefix(_DESIGN): array for name, array in arrays.items() if name.startswith(_DESIGN)
    }
    for name in leaves:
        if name not in names:
            raise ExportError(f"arrays.npz: {_DESIGN}{name} is no part of a design; export it anew")
    _check_shapes(document, arrays, spec)
    layers, scored = document["network"]["layers"], document["network"]["scored"]
    if len(set(scored)) < len(scored) or any(layer > layers for layer in scored):
        raise ExportError(f"design.json: network.scored = {scored} must name layers 1 to {layers}, each once")
    calibration, state = None, document["calibration"]
    if state["state"] == "calibrated":
        calibration = Calibration(
            chip=state["chip"],
            methods=tuple(state["methods"]),
            temperature_c=state["temperature"]["value"],
            threshold_v=arrays[_TRIM_V],
            log_current=arrays[_TRIM_LOG],
        )
    return Bundle(
        name=document["name"],
        spec=spec,
        hardware=hardware,
        design=Design(**leaves),
        query=arrays[_QUERY],
        scored=tuple(layer - 1 for layer in scored),
        tokens=document["network"]["tokens"],
        calibration=calibration,
        provenance=document["provenance"],
        accuracy=document["accuracy"],
    )


def _check_shapes(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray], spec: ScorerSpec) -> None:
    """Raise ExportError unless every array has the shape that the network and the scorer give it."""
    layers, width, groups, inputs = *(document["network"][n] for n in ("layers", "width")), spec.groups, spec.inputs
    shapes = {
        f"{_DESIGN}projection": (inputs, width),
        f"{_DESIGN}input_gain": (),
        f"{_DESIGN}prototype": (groups, inputs),
        f"{_DESIGN}bias_scale": (),
        f"{_DESIGN}feedback": (groups,),
        f"{_DESIGN}threshold": (groups,),
        f"{_DESIGN}input_gate": (inputs,),
        f"{_DESIGN}dac_bits": (),
        f"{_DESIGN}full_scale": (),
        _QUERY: (groups, width),
        _TRIM_V: (groups,),
        _TRIM_LOG: (groups, inputs),
    }
    trained = {"input_gate": spec.input_gates, "dac_bits": spec.trainable_bits, "full_scale": spec.trainable_full_scale}
    for name, asked in trained.items():
        if asked and f"{_DESIGN}{name}" not in arrays:
            raise ExportError(f"arrays.npz: lacks {_DESIGN}{name}, which design.json's scorer has; export it anew")
    for name, array in arrays.items():
        if array.shape != (layers, *shapes.get(name, array.shape[1:])):
            raise ExportError(
                f"arrays.npz: {name} has shape {list(array.shape)}, but design.json has network.layers = {layers}, "
                f"network.width = {width}, scorer.inputs = {inputs} and scorer.groups = {groups}; this is not what the "
                "rest of the bundle gives: export it anew"
            )


def wanted_arrays(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Arrays that a bundle cannot do without."""
    wanted = [f"{_DESIGN}{field.name}" for field in dataclasses.fields(Design) if field.default is dataclasses.MISSING]
    if document["calibration"]["state"] == "calibrated":
        wanted += [_TRIM_V, _TRIM_LOG]
    return (*wanted, _QUERY)


def encoded(value: Any) -> Any:
    """A field's value in JSON's own types; JSON has no infinity."""
    if isinstance(value, tuple):
        return [encoded(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return INFINITE
    return value if value is None or isinstance(value, str | int | float) else float(value)


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decoded(item) for item in value)
    return math.inf if value == INFINITE else value
