"""Hardware: what a designer picks. One frozen pytree of the devices' specifications, bounds, sweeps."""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from atis_jax.circuits.comparator import ComparatorSpec
from atis_jax.circuits.dac import DacSpec
from atis_jax.circuits.floating_gate import FloatingGateSpec
from atis_jax.circuits.ota import OtaSpec
from atis_jax.circuits.systematic import Polynomial, Systematic
from atis_jax.circuits.thermal import ThermalSpec
from atis_jax.circuits.tia import TiaSpec
from atis_jax.numerics import pytree, static
from atis_jax.typing import Real
from atis_jax.validation import annotations_of


@pytree
class Hardware:
    """The scoring circuit of one layer as designed.

    Floats are leaves (to differentiate, vmap, sweep); the rest is static.

    Attributes:
        name: of the preset it came from. Static.
        max_inputs: OTAs that one array has. Static.
        supply_v: nominal supply, V.
        dac: input converters.
        ota: the array's cell.
        floating_gate: programming of bias currents.
        tia: read-out amplifier.
        comparator: decision.
        thermal: bias against temperature.
        token_time_s: time the circuit is given for a token, s: what the token before leaves is then simulated
            (``transient``). Infinite: every token is read settled. Static.
    """

    name: str = static()
    max_inputs: int = static()
    supply_v: Real
    dac: DacSpec
    ota: OtaSpec
    floating_gate: FloatingGateSpec
    tia: TiaSpec
    comparator: ComparatorSpec
    thermal: ThermalSpec
    token_time_s: float = static(default=math.inf)


_POSITIVE = (0.0, math.inf, "positive")
_FINITE_POSITIVE = (0.0, 1e30, "positive and finite")
_SPREAD = (-1e-30, 10.0, "zero or more, and below 10")
_CORRELATION = (-1.0 - 1e-9, 1.0 + 1e-9, "between -1 and 1")

# Open below, closed above. What is not listed has no bound.
_BOUNDS: dict[str, tuple[float, float, str]] = {
    "supply_v": _FINITE_POSITIVE,
    "token_time_s": _POSITIVE,
    "dac.full_scale_v": _FINITE_POSITIVE,
    "dac.unit_sigma": _SPREAD,
    "dac.unit_capacitance_f": _POSITIVE,
    "ota.kappa": (0.0, 1.0, "above 0 and at most 1 (a gate couples to its channel by a capacitive divider)"),
    "ota.kappa_current_a": _FINITE_POSITIVE,
    "ota.kappa_sigma": _SPREAD,
    "ota.kappa_chip_sigma": _SPREAD,
    "ota.offset_sigma_v": _SPREAD,
    "ota.additive_sigma": _SPREAD,
    "ota.offset_drift_sigma_v_per_k": _SPREAD,
    "ota.offset_lot_sigma_v": _SPREAD,
    "ota.kappa_lot_sigma": _SPREAD,
    "ota.log_current_sigma": _SPREAD,
    "ota.log_current_kappa_correlation": _CORRELATION,
    "ota.offset_additive_correlation": _CORRELATION,
    "ota.early_voltage_v": _POSITIVE,
    "ota.specific_current_a": _FINITE_POSITIVE,
    "ota.attenuation": (0.0, 1.0, "above 0 and at most 1"),
    "ota.capacitance_f": (-1e-30, 1e30, "zero or more"),
    "ota.capacitance_per_decade": (-1.0, 1.0, "between -1 and 1"),
    "floating_gate.error_sigma": _SPREAD,
    "floating_gate.min_current_a": (-1e-30, 1e30, "zero or more"),
    "floating_gate.max_current_a": _POSITIVE,
    "tia.swing_v": _POSITIVE,
    "tia.gain_sigma": _SPREAD,
    "tia.offset_sigma_v": _SPREAD,
    "tia.offset_drift_sigma_v_per_k": _SPREAD,
    "tia.open_loop_gain": _POSITIVE,
    "tia.bandwidth_hz": (-1e-30, 1e30, "zero or more"),
    "tia.shot_noise_factor": (-1e-30, 1e30, "zero or more"),
    "comparator.reference_span_v": _FINITE_POSITIVE,
    "comparator.offset_sigma_v": _SPREAD,
    "comparator.offset_drift_sigma_v_per_k": _SPREAD,
    "comparator.noise_v": _SPREAD,
    "comparator.hysteresis_fraction": (-1e-30, 1.0, "between 0 and 1"),
    "comparator.trim_span_v": (-1e-30, 1e30, "zero or more"),
    "thermal.nominal_temperature_k": _FINITE_POSITIVE,
    "thermal.specific_current_a": _FINITE_POSITIVE,
    "thermal.junction_v": _FINITE_POSITIVE,
}

SPREADS = (
    "dac.unit_sigma",
    "ota.kappa_sigma",
    "ota.kappa_chip_sigma",
    "ota.offset_sigma_v",
    "ota.additive_sigma",
    "ota.log_current_sigma",
    "ota.offset_drift_sigma_v_per_k",
    "ota.offset_lot_sigma_v",
    "ota.kappa_lot_sigma",
    "floating_gate.error_sigma",
    "tia.gain_sigma",
    "tia.offset_sigma_v",
    "tia.offset_drift_sigma_v_per_k",
    "comparator.offset_sigma_v",
    "comparator.offset_drift_sigma_v_per_k",
    "comparator.noise_v",
)
"""Every field that is a standard deviation: what a noise sweep scales."""


def field(hardware: Hardware, path: str) -> Any:
    """The value at a dotted ``path`` such as ``ota.kappa``.

    Raises:
        ValueError: no such field; the message names the nearest.
    """
    value: Any = hardware
    for name in path.split("."):
        names = [f.name for f in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
        if name not in names:
            near = difflib.get_close_matches(path, [*_BOUNDS, *SPREADS], 1, 0.0)
            raise ValueError(f"hardware has no field {path!r}; the nearest is {near[0]!r}")
        value = getattr(value, name)
    return value


def with_fields(hardware: Hardware, values: Mapping[str, Any]) -> Hardware:
    """``hardware`` with the fields at dotted paths replaced, checked by ``check_hardware``.

    Raises:
        ValueError: unknown field or value out of bounds.
    """
    for path, value in values.items():
        field(hardware, path)
        head, _, tail = path.partition(".")
        if tail:
            value = dataclasses.replace(getattr(hardware, head), **{tail: value})
        hardware = dataclasses.replace(hardware, **{head: value})
    return check_hardware(hardware)


def check_kind(path: str, value: Any) -> None:
    """Raise ValueError unless a value read from a file is of the kind of the field at ``path``.

    A name is a text, a count a whole number, the rest a number; True is none of them, and NaN is no number. None
    passes where the field may have none.

    Args:
        path: dotted, such as ``dac.bits`` or, for a polynomial, ``ota.systematic.kappa``.
        value: as JSON gives it, polynomials as tuples of tuples.

    Raises:
        ValueError: another kind, or no such field.
    """
    kinds = _kinds(path)
    if any(kind in _PARTS.values() for kind in kinds):
        raise ValueError(f"{path} = {value!r} must be a table of its own fields, given one by one")
    if value is None and type(None) in kinds:
        return
    if kinds == (Polynomial,):
        if not isinstance(value, tuple) or not all(isinstance(row, tuple) and all(map(_finite, row)) for row in value):
            raise ValueError(f"{path} = {value!r} must be a list of lists of numbers")
        return
    if Systematic in kinds:
        raise ValueError(f"{path} = {value!r} must be null, or given polynomial by polynomial")
    if str in kinds:
        right, words = isinstance(value, str), "a name"
    elif int in kinds:
        right, words = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    else:
        right, words = isinstance(value, int | float) and not isinstance(value, bool) and value == value, "a number"
    if not right:
        raise ValueError(f"{path} = {value!r} must be {words}")


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _kinds(path: str) -> tuple[Any, ...]:
    """The types of the field at ``path``, None among them where it may have none."""
    owner: Any = Hardware
    *parts, last = path.split(".")
    for part in parts:
        owner = _PARTS.get(part) if owner is Hardware else Systematic if part == "systematic" else None
    hints = annotations_of(owner) if owner is not None else {}
    if last not in hints:
        near = difflib.get_close_matches(path, [*_BOUNDS, *SPREADS], 1, 0.0)
        raise ValueError(f"hardware has no field {path!r}; the nearest is {near[0]!r}")
    return (hints[last],) if hints[last] == Polynomial else typing.get_args(hints[last]) or (hints[last],)


def scale_spreads(hardware: Hardware, factor: Real | Mapping[str, Real]) -> Hardware:
    """``hardware`` with its standard deviations multiplied, for noise sweeps.

    A traced factor may be vmapped over.

    Args:
        hardware: the design.
        factor: one factor for every field in ``SPREADS``, or a mapping from some of them to factors.

    Raises:
        ValueError: a field that is not a spread.
    """
    factors = factor if isinstance(factor, Mapping) else dict.fromkeys(SPREADS, factor)
    for path in factors:
        if path not in SPREADS:
            near = difflib.get_close_matches(path, SPREADS, 1, 0.0)[0]
            raise ValueError(f"{path!r} is not a spread of the hardware; the nearest is {near!r}")
    return with_fields(hardware, {path: field(hardware, path) * by for path, by in factors.items()})


def _is_array(value: Any) -> bool:
    """Whether a bound cannot be checked: a traced value, or a sweep of several."""
    return isinstance(value, jax.core.Tracer) or np.ndim(value) > 0


def check_hardware(hardware: Hardware) -> Hardware:
    """``hardware`` itself, once every concrete scalar was found within its bounds.

    Traced values and arrays of several are not looked at.

    Raises:
        ValueError: naming the field, its value and the bound.
    """
    for path, (low, high, words) in _BOUNDS.items():
        value = field(hardware, path)
        if _is_array(value):
            continue
        if not low < float(value) <= high:
            raise ValueError(f"hardware {hardware.name!r}: {path} = {value} must be {words}")
    for path, lowest in (("dac", 1), ("floating_gate", 2)):
        bits, used = field(hardware, f"{path}.bits"), field(hardware, f"{path}.used_bits")
        if used is None or _is_array(used):
            continue
        if bits is None or not lowest <= float(used) <= bits or not float(used).is_integer():
            raise ValueError(
                f"hardware {hardware.name!r}: {path}.used_bits = {used} must be a whole number between {lowest} and "
                f"{path}.bits = {bits}"
            )
    gate = hardware.floating_gate
    ends = (gate.min_current_a, gate.max_current_a)
    if not any(_is_array(end) for end in ends):
        if not ends[0] < ends[1]:
            raise ValueError(
                f"hardware {hardware.name!r}: floating_gate.min_current_a = {ends[0]} must be below "
                f"max_current_a = {ends[1]}"
            )
        if gate.bits is not None and not (ends[0] > 0 and math.isfinite(ends[1])):
            raise ValueError(
                f"hardware {hardware.name!r}: floating_gate.bits = {gate.bits} spaces ln I evenly, so "
                f"min_current_a = {ends[0]} must be above zero and max_current_a = {ends[1]} finite"
            )
    if hardware.max_inputs < 1:
        raise ValueError(f"hardware {hardware.name!r}: max_inputs = {hardware.max_inputs} must be 1 or more")
    return hardware


_PARTS = {
    "dac": DacSpec,
    "ota": OtaSpec,
    "floating_gate": FloatingGateSpec,
    "tia": TiaSpec,
    "comparator": ComparatorSpec,
    "thermal": ThermalSpec,
}
_SYSTEMATIC = "ota.systematic"


def flatten_hardware(hardware: Hardware) -> dict[str, Any]:
    """Dotted field -> value, for every field of the hardware."""
    found: dict[str, Any] = {}

    def walk(part: Any, prefix: str) -> None:
        for entry in dataclasses.fields(part):
            value = getattr(part, entry.name)
            if dataclasses.is_dataclass(value):
                walk(value, f"{prefix}{entry.name}.")
            else:
                found[f"{prefix}{entry.name}"] = value

    walk(hardware, "")
    return found


def unflatten_hardware(values: Mapping[str, Any]) -> Hardware:
    """The hardware whose ``flatten_hardware`` is ``values``, checked.

    Raises:
        ValueError: a field is missing, unknown, or out of bounds.
    """
    left = dict(values)
    built: dict[str, Any] = {}
    for part, cls in _PARTS.items():
        taken: dict[str, Any] = {}
        for entry in dataclasses.fields(cls):
            path = f"{part}.{entry.name}"
            inside = {name: left.pop(name) for name in list(left) if name.startswith(f"{path}.")}
            if path == _SYSTEMATIC and inside:
                taken[entry.name] = Systematic(**{name.rpartition(".")[2]: value for name, value in inside.items()})
            elif path in left:
                taken[entry.name] = left.pop(path)
            else:
                raise ValueError(f"hardware lacks the field {path!r}")
        built[part] = cls(**taken)
    for entry in dataclasses.fields(Hardware):
        if entry.name not in _PARTS:
            if entry.name not in left:
                raise ValueError(f"hardware lacks the field {entry.name!r}")
            built[entry.name] = left.pop(entry.name)
    if left:
        raise ValueError(f"hardware has no field {next(iter(left))!r}")
    return check_hardware(Hardware(**built))
