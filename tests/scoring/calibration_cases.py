"""Designs, known tokens and chips to calibrate."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from scoring_reference import INPUTS, WIDTH, key, random_design, spec_for, tokens_for

from atis_jax.circuits import nominal_chip, nominal_environment, realise
from atis_jax.scoring.analog import read_scores
from atis_jax.scoring.calibration import CalibrationTokens
from atis_jax.scoring.design import inputs_of
from atis_jax.scoring.program import array_program
from atis_jax.scoring.projection import gaussian, normalise

SPEC = spec_for("grouped")
GROUPS = SPEC.groups
TOKENS = 200


def design_for(seed: int = 1, groups: int = GROUPS):
    """Thresholds within a standard deviation of the scores, so that each keeps some tokens and drops others."""
    design = random_design(seed, groups, gaussian(key(8), INPUTS, WIDTH))
    rng = np.random.default_rng(seed)
    return dataclasses.replace(design, threshold=jnp.asarray(rng.uniform(-0.08, 0.08, groups), jnp.float32))


def exact_scores(spec, hardware, design, chip, inputs, environment=None):
    """(scores, thresholds) of a chip as they really are: for judging, never for calibrating."""
    query = jnp.zeros((spec.groups, WIDTH))
    environment = nominal_environment(hardware) if environment is None else environment
    realised = realise(array_program(design, spec, hardware, query), hardware, chip, environment)
    return read_scores(realised, spec, inputs, None), realised.threshold_v[: spec.groups]


def known_tokens(spec, hardware, design, count: int = TOKENS, seed: int = 5) -> CalibrationTokens:
    inputs = inputs_of(design, normalise(tokens_for(seed, count)))
    scores, threshold = exact_scores(spec, hardware, design, nominal_chip(hardware, spec.geometry), inputs)
    return CalibrationTokens(inputs, scores, jnp.mean(scores > threshold, axis=0))


def with_axis(tree, count: int):
    """The same tree ``count`` times along a new leading axis."""
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * count), tree)
