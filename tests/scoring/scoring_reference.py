"""The score in float64 NumPy, written from the definitions, and small designs to try it on."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.circuits import sample_chip
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.projection import gaussian
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.types import Context, initial_state

WIDTH, INPUTS, TOKENS = 24, 12, 10
QUICK_TO_COMPILE = {"xla_backend_optimization_level": 0}
"""Compiler options: slower code, made in half the time."""
THERMAL_V = 1.380649e-23 * 300.15 / 1.602176634e-19

# What the scorers are documented to use: the ranges of design.py, the ideal chip of presets.py.
INPUT_GAIN, FEEDBACK_OHM, BIAS_A = (0.01, 10.0), (1e3, 1e10), (4e-9, 100e-9)
HALF_SPAN_V, KAPPA, FULL_SCALE_V = 0.5, 0.7, 0.1


def between(raw, low: float, high: float):
    """Geometric interpolation between two bounds by a logistic."""
    return low * (high / low) ** (1.0 / (1.0 + np.exp(-np.asarray(raw, np.float64))))


def spec_for(arrangement: str, prototype: str = "static", projection: str = "learned", **more) -> ScorerSpec:
    groups = 1 if arrangement == "consensus" else 3
    return ScorerSpec(
        inputs=INPUTS, projection=projection, prototype=prototype, arrangement=arrangement, groups=groups, **more
    )


def random_design(seed: int, groups: int, projection, dtype=np.float32) -> Design:
    """A design with every leaf away from its start, thresholds in the midst of the scores."""
    rng = np.random.default_rng(seed)
    leaves = dict(
        projection=np.asarray(projection),
        input_gain=rng.normal(0.5, 0.3),
        prototype=rng.normal(0, 0.7, (groups, INPUTS)),
        bias_scale=rng.normal(0, 1),
        # The middle of the range is 3 megohm, into which 12 currents of a few nA make some tenths of a volt.
        feedback=rng.normal(0.2, 0.2, groups),
        threshold=rng.normal(0, 0.3, groups),
    )
    return Design(**{name: jnp.asarray(np.asarray(leaf, dtype)) for name, leaf in leaves.items()})


def reference(design: Design, tokens, query=None):
    """(voltage, threshold) in float64; the prototype comes from ``query`` (G, D) if one is given.

    Third: the sum of the magnitudes of each score's terms, the scale on which rounding acts.
    """
    d = {name: np.asarray(getattr(design, name), np.float64) for name in Design.__dataclass_fields__}
    x = np.asarray(tokens, np.float64)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    volts = FULL_SCALE_V * between(d["input_gain"], *INPUT_GAIN) * (x @ d["projection"].T)
    if query is None:
        weights = np.tanh(d["prototype"])
    else:
        mapped = np.asarray(query, np.float64) @ d["projection"].T
        weights = 0.95 * mapped / np.abs(mapped).max(-1, keepdims=True)
    current_a = between(d["bias_scale"], *BIAS_A) * weights
    terms = current_a[None] * KAPPA * volts[:, None, :] / (2 * THERMAL_V)
    feedback = between(d["feedback"], *FEEDBACK_OHM)
    threshold = HALF_SPAN_V * (2.0 / (1.0 + np.exp(-d["threshold"])) - 1.0)
    return terms.sum(-1) * feedback, threshold, np.abs(terms).sum(-1) * feedback


def context_for(groups: int, tokens: int = TOKENS, query=None, smoothing=0.0, **more) -> Context:
    fields = dict(
        alive=np.ones((tokens, groups), bool),
        position=np.arange(tokens),
        counted=np.arange(tokens) > 0,  # the first is CLS
        full=tokens - 1,
        state=initial_state(groups, WIDTH, query),
        smoothing=smoothing,
    )
    return Context(**(fields | more))


def tokens_for(seed: int, tokens: int = TOKENS):
    return jnp.asarray(np.random.default_rng(seed).normal(0.4, 1.7, (tokens, WIDTH)), jnp.float32)


def key(seed: int):
    return jax.random.key(seed)


quick_jit = functools.partial(jax.jit, compiler_options=QUICK_TO_COMPILE)
draw_chip = quick_jit(sample_chip)
"""A chip by one program for each array and kind of hardware: op by op it takes thirty of them."""


@functools.cache
def gaussian_projection(seed: int):
    """The Gaussian projection of the tests' size."""
    return np.asarray(quick_jit(lambda k: gaussian(k, INPUTS, WIDTH))(key(seed)))
