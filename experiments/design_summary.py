"""What co-design chose of the hardware, layer by layer, as the summary reports it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from atis_jax.scoring.atis.design import LARGEST_BIAS_A, Design
from atis_jax.scoring.atis.knobs import active_inputs, dac_bits, full_scale_v
from atis_jax.scoring.atis.latched import Latched
from atis_jax.scoring.atis.method import Atis
from atis_jax.scoring.method import Method


def design_summary(design: Any, method: Method, scored: range) -> dict[str, Any]:
    """Inputs, bits, full scale and largest current of every layer's array; how long a token of pulses takes.

    The entry of a layer without a scorer is None. Converters and currents are an analog scorer's alone, and a
    continuous converter has no bits: what does not exist is left out.

    Args:
        design: leaves (L, ...).
        method: that it is a design of; one without arrays has nothing to tell.
        scored: layers that have a scorer.
    """
    if not isinstance(method, Atis):
        return {}
    spec, hardware, depth = method.spec, method.hardware, len(design.threshold)

    def per_layer(value: Callable[[Design], Any], kind: type) -> list[Any]:
        found = np.broadcast_to(np.asarray(jax.jit(jax.vmap(value, axis_size=depth))(design)), depth)
        return [kind(one) if layer in scored else None for layer, one in enumerate(found)]

    summary: dict[str, Any] = {
        "inputs_per_layer": per_layer(lambda one: active_inputs(one, spec), int),
        "shared": spec.shared,
        "projection": spec.projection,
    }
    if isinstance(method, Latched):
        summary |= method.input_facts()
        summary["largest_current_a_per_layer"] = per_layer(lambda one: LARGEST_BIAS_A.forward(one.bias_scale), float)
    elif method.fabricated:
        if hardware.dac.resolution is not None:
            summary["dac_bits_per_layer"] = per_layer(lambda one: dac_bits(one, spec, hardware), int)
        summary["full_scale_v_per_layer"] = per_layer(lambda one: full_scale_v(one, spec, hardware), float)
        summary["largest_bias_a_per_layer"] = per_layer(lambda one: LARGEST_BIAS_A.forward(one.bias_scale), float)
    return summary
