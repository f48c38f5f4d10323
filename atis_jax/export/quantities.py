"""The physical quantities of a layer's design: wanted, achieved after quantisation, range, resolution, code."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from atis_jax.circuits.comparator import reference_v
from atis_jax.circuits.floating_gate import FloatingGateSpec, program_current_a
from atis_jax.export.bundle import Bundle
from atis_jax.scoring.atis.calibration.currents import grid_step
from atis_jax.scoring.atis.calibration.trim import Trim, trimmed
from atis_jax.scoring.atis.design import FEEDBACK_OHM, INPUT_GAIN, LARGEST_BIAS_A, threshold_range
from atis_jax.scoring.atis.knobs import FULL_SCALE_V, dac_bits, full_scale_v, input_gates
from atis_jax.scoring.atis.program import program

OFF_CODE = -1
"""Code of a current that is programmed to off."""


def layer_quantities(bundle: Bundle, layer: int) -> dict[str, Any]:
    """One layer as ``design.json`` holds it; every number is a Python float of what the model computes with.

    Args:
        bundle: the design; its calibration, if it has one, is in what is wanted.
        layer: from 0.
    """
    hardware, spec = bundle.layer_hardware(layer), bundle.spec
    design = calibrated_layer(bundle, layer)
    programmed = program(design, spec, bundle.hardware, jnp.asarray(bundle.query[layer]))
    gates = input_gates(design, spec)
    built = np.ones(spec.inputs, bool) if gates is None else np.asarray(gates) > 0
    bits = dac_bits(design, spec, bundle.hardware)
    gate, comparator, span = hardware.floating_gate, hardware.comparator, threshold_range(hardware)
    wanted_a, wanted_v = np.asarray(programmed.signed_current_a), np.asarray(programmed.threshold_v)
    achieved_a = np.asarray(program_current_a(programmed.signed_current_a, gate))
    achieved_v = np.asarray(reference_v(programmed.threshold_v, comparator))
    largest_a = float(LARGEST_BIAS_A.forward(design.bias_scale))
    step_v = None
    if comparator.reference_bits is not None:
        step_v = float(comparator.reference_span_v) / (2**comparator.reference_bits - 1)
    scores = [
        {
            "score": score,
            "bias_current": {
                "unit": "A",
                "low": float(gate.min_current_a),
                "high": _finite(gate.max_current_a),
                "resolution": current_resolution(gate),
                "wanted": _floats(wanted_a[score]),
                "achieved": _floats(achieved_a[score] * built),
                "code": codes_of(achieved_a[score] * built, gate),
            },
            "feedback": _quantity("ohm", float(programmed.feedback_ohm[score]), FEEDBACK_OHM.low, FEEDBACK_OHM.high),
            "threshold": {
                **_quantity("V", float(wanted_v[score]), span.low, span.high, step_v),
                "achieved": float(achieved_v[score]),
            },
        }
        for score in range(spec.groups)
    ]
    return {
        "layer": layer + 1,
        "scored": layer in bundle.scored,
        # One read for all: what follows is the array of another layer, the thresholds alone are this one's.
        **({"array_of": bundle.arrays[0] + 1} if layer in bundle.scored and layer not in bundle.arrays else {}),
        "projection": {
            "kind": spec.projection,
            "unit": "1",
            "array": "design/projection",
            "index": layer,
            "shape": list(np.shape(design.projection)),
            "selected": selected_dimensions(bundle, layer),
        },
        "input_gain": _quantity("1", float(INPUT_GAIN.forward(design.input_gain)), INPUT_GAIN.low, INPUT_GAIN.high),
        "largest_bias": _quantity("A", largest_a, LARGEST_BIAS_A.low, LARGEST_BIAS_A.high),
        "converter": {
            "bits": None if bits is None else int(bits),
            "full_scale": _quantity(
                "V",
                float(full_scale_v(design, spec, bundle.hardware)),
                *(
                    (FULL_SCALE_V.low, FULL_SCALE_V.high)
                    if spec.trainable_full_scale
                    else (float(hardware.dac.full_scale_v),) * 2
                ),
            ),
            "built": built.tolist(),
        },
        "scores": scores,
    }


def calibrated_layer(bundle: Bundle, layer: int):
    """One layer's design with the bundle's calibration in it: what that chip is programmed from."""
    design = bundle.layer(layer)
    if bundle.calibration is None:
        return design
    found = bundle.calibration
    trim = Trim(jnp.asarray(found.threshold_v[layer]), jnp.asarray(found.log_current[layer]))
    return trimmed(design, trim, bundle.spec, bundle.hardware)


def current_resolution(gate: FloatingGateSpec) -> dict[str, Any]:
    """How finely a current can be programmed: bits and the ratio of neighbours on the logarithmic grid."""
    if gate.resolution is None:
        return {"kind": "continuous", "bits": None, "ratio": None}
    return {"kind": "logarithmic", "bits": int(gate.resolution), "ratio": float(np.exp(float(grid_step(gate))))}


def codes_of(signed_current_a: np.ndarray, gate: FloatingGateSpec) -> list[int]:
    """Grid number of each magnitude, 0 for the smallest; ``OFF_CODE`` for off. A continuous cell has 0 throughout."""
    magnitude = np.abs(np.asarray(signed_current_a, np.float64))
    on = magnitude > 0
    if gate.resolution is None:
        return np.where(on, 0, OFF_CODE).tolist()
    ratio = np.log(np.where(on, magnitude, gate.min_current_a) / float(gate.min_current_a))
    return np.where(on, np.rint(ratio / float(grid_step(gate))), OFF_CODE).astype(int).tolist()


def selected_dimensions(bundle: Bundle, layer: int) -> list[int] | None:
    """Which of a token's numbers each input takes, from 0, of a selection; None for a projection with arithmetic."""
    if bundle.spec.projection != "selection":
        return None
    return np.argmax(np.abs(np.asarray(bundle.design.projection[layer])), axis=1).tolist()


def _quantity(unit: str, value: float, low: float, high: float, resolution: float | None = None) -> dict[str, Any]:
    """A number that is realised as it is; a grid's caller replaces ``achieved``."""
    return {"unit": unit, "wanted": value, "achieved": value, "low": low, "high": high, "resolution": resolution}


def _floats(values: np.ndarray) -> list[float]:
    return [float(value) for value in values]


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


@dataclasses.dataclass(frozen=True)
class Achieved:
    """What one layer's circuit is built with.

    Attributes:
        signed_current_a: (G, N) after quantisation, zero where an input is not built, A.
        feedback_ohm: (G,).
        threshold_v: (G,) after the reference's resolution, V.
        full_scale_v: of the converters, V.
        bits: of the converters, None for continuous ones.
    """

    signed_current_a: np.ndarray
    feedback_ohm: np.ndarray
    threshold_v: np.ndarray
    full_scale_v: float
    bits: int | None


def thresholds_v(bundle: Bundle, layer: int) -> np.ndarray:
    """(C,) achieved thresholds of every comparator behind a layer's array, V: G for each layer that it serves."""
    return np.concatenate([achieved(bundle, one).threshold_v for one in bundle.compared(layer)])


def achieved(bundle: Bundle, layer: int) -> Achieved:
    """The numbers that ``design.json`` calls achieved, of one layer."""
    found = layer_quantities(bundle, layer)
    scores = found["scores"]
    return Achieved(
        np.array([score["bias_current"]["achieved"] for score in scores]),
        np.array([score["feedback"]["achieved"] for score in scores]),
        np.array([score["threshold"]["achieved"] for score in scores]),
        found["converter"]["full_scale"]["achieved"],
        found["converter"]["bits"],
    )
