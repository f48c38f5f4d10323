"""Designs, known tokens and chips to calibrate."""

from __future__ import annotations

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
from scoring_reference import WIDTH, gaussian_projection, quick_jit, random_design, spec_for, tokens_for

from atis_jax.circuits import nominal_chip, nominal_environment, realise
from atis_jax.scoring.atis.analog import read_scores
from atis_jax.scoring.atis.calibration import CalibrationTokens
from atis_jax.scoring.atis.design import inputs_of
from atis_jax.scoring.atis.program import array_program
from atis_jax.scoring.atis.projection import normalise

SPEC = spec_for("grouped")
GROUPS = SPEC.groups
TOKENS = 200


def design_for(seed: int = 1, groups: int = GROUPS):
    """Thresholds within a standard deviation of the scores, so that each keeps some tokens and drops others."""
    design = random_design(seed, groups, gaussian_projection(8))
    rng = np.random.default_rng(seed)
    return dataclasses.replace(design, threshold=jnp.asarray(rng.uniform(-0.08, 0.08, groups), jnp.float32))


def exact_scores(spec, hardware, design, chip, inputs, environment=None):
    """(scores, thresholds) of a chip as they really are: for judging, never for calibrating."""
    query = jnp.zeros((spec.groups, WIDTH))
    environment = nominal_environment(hardware) if environment is None else environment
    realised = realise(array_program(design, spec, hardware, query), hardware, chip, environment)
    return read_scores(realised, spec, inputs, None), realised.threshold_v[: spec.groups]


@functools.cache
def _scores(spec, hardware):
    return quick_jit(functools.partial(exact_scores, spec, hardware))


def compiled_scores(spec, hardware, design, chip, inputs):
    """``exact_scores`` by one program for each spec and hardware."""
    return _scores(spec, hardware)(design, chip, inputs)


def known_tokens(spec, hardware, design, count: int = TOKENS, seed: int = 5) -> CalibrationTokens:
    inputs = quick_jit(lambda design, tokens: inputs_of(design, normalise(tokens)))(design, tokens_for(seed, count))
    scores, threshold = compiled_scores(spec, hardware, design, nominal_chip(hardware, spec.geometry), inputs)
    kept = np.mean(np.asarray(scores > threshold), axis=0, dtype=np.float32)
    return CalibrationTokens(inputs, scores, jnp.asarray(kept))
