"""What a design asks the chip to hold: signed bias currents, feedback, thresholds, and which inputs are built."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits.frontend import Program
from atis_jax.circuits.hardware import Hardware
from atis_jax.scoring.atis.design import FEEDBACK_OHM, LARGEST_BIAS_A, Design, threshold_range
from atis_jax.scoring.atis.knobs import input_gates
from atis_jax.scoring.atis.prototype import query_weights, raw_from_weights, trained_weights
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.validation import choose


def signed_weights(design: Design, spec: ScorerSpec, query: Float[Array, "G D"]) -> Float[Array, "G N"]:
    """The prototype as fractions of the largest bias current, from wherever the spec takes it.

    Raises:
        SettingError: no such prototype.
    """
    found: dict[str, Callable[[], Float[Array, "G N"]]] = {
        "static": lambda: trained_weights(design.prototype),
        "extracted": lambda: trained_weights(design.prototype),
        "ema": lambda: query_weights(query, design.projection),
    }
    return choose(found, spec.prototype, "scorer.prototype")()


def with_extracted_prototype(design: Design, query: Float[Array, "G D"]) -> Design:
    """The design holding a prototype extracted from a trained network (``query`` as in ``query_weights``)."""
    return dataclasses.replace(design, prototype=raw_from_weights(query_weights(query, design.projection)))


def program(design: Design, spec: ScorerSpec, hardware: Hardware, query: Float[Array, "G D"]) -> Program:
    """What the design asks the chip to hold: signed bias currents, feedback, threshold, and which inputs are built."""
    largest_a = LARGEST_BIAS_A.forward(design.bias_scale)
    return Program(
        signed_current_a=largest_a * signed_weights(design, spec, query),
        feedback_ohm=FEEDBACK_OHM.forward(design.feedback),
        threshold_v=threshold_range(hardware).forward(design.threshold),
        built=input_gates(design, spec),
    )


def array_program(design: Design, spec: ScorerSpec, hardware: Hardware, query: Float[Array, "G D"]) -> Program:
    """``program`` for the arrays that are really there: itself, or for a differential scorer its halves w and -w.

    Returns:
        Leaves of ``spec.geometry.prototypes`` rows, H G: the rows of weights w, then those of -w. Both halves are on
        the same converters: an input is built in both or in neither.
    """
    programmed = program(design, spec, hardware, query)
    if not spec.differential:
        return programmed
    return Program(
        signed_current_a=jnp.concatenate([programmed.signed_current_a, -programmed.signed_current_a]),
        feedback_ohm=jnp.tile(programmed.feedback_ohm, 2),
        threshold_v=jnp.tile(programmed.threshold_v, 2),
        built=programmed.built,
    )
