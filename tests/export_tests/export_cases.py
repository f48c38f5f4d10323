"""Small bundles of random designs, made without training."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.circuits.hardware import Hardware
from atis_jax.circuits.presets import get_preset
from atis_jax.export.bundle import Bundle, Calibration
from atis_jax.scoring.atis.design import LARGEST_BIAS_A, Design
from atis_jax.scoring.atis.initial import initial_design
from atis_jax.scoring.atis.spec import ScorerSpec

WIDTH = 12


def bundle(
    inputs: int = 8,
    layers: int = 2,
    seed: int = 0,
    hardware: Hardware | str = "nominal",
    calibrated: bool = False,
    **spec,
) -> Bundle:
    """A design with random weights, currents up to 80 nA, thresholds within 0.2 V."""
    structure = ScorerSpec(inputs=inputs, **spec)
    made = get_preset(hardware) if isinstance(hardware, str) else hardware
    design = _drawn(seed, layers, structure, made)
    rng = np.random.default_rng(seed)
    design = dataclasses.replace(
        design,
        bias_scale=jnp.full((layers,), LARGEST_BIAS_A.inverse(80e-9)),
        threshold=jnp.asarray(rng.uniform(-0.8, 0.8, design.threshold.shape), jnp.float32),
    )
    found = Bundle(
        name="random",
        spec=structure,
        hardware=made,
        design=jax.tree.map(np.asarray, design),
        query=rng.normal(size=(layers, structure.groups, WIDTH)).astype(np.float32),
        scored=tuple(range(layers)),
        tokens=16,
        provenance={
            "run": "none",
            "config_sha256": "0" * 64,
            "config": {},
            "versions": {"numpy": "any"},
            "dataset": {"name": "none"},
        },
    )
    if not calibrated:
        return found
    trim_v = rng.normal(0, 0.01, (layers, structure.groups)).astype(np.float32)
    log_current = rng.normal(0, 0.05, (layers, structure.groups, inputs)).astype(np.float32)
    return dataclasses.replace(
        found, calibration=Calibration("chip 7", ("currents", "threshold"), 27.0, trim_v, log_current)
    )


@functools.cache
def _drawn(seed: int, layers: int, structure: ScorerSpec, hardware: Hardware) -> Design:
    """One program, and one run of it, for all bundles of a structure."""
    keys = jax.random.split(jax.random.key(seed), layers)
    design = jax.jit(jax.vmap(lambda key: initial_design(key, structure, hardware, WIDTH)))(keys)
    return jax.tree.map(np.asarray, design)


def with_weights(made: Bundle, weights: np.ndarray) -> Bundle:
    """The bundle with weights (L, G, N) between -1 and 1 in its design."""
    raw = np.arctanh(np.clip(np.asarray(weights, np.float64), -1 + 1e-7, 1 - 1e-7)).astype(np.float32)
    return dataclasses.replace(made, design=dataclasses.replace(made.design, prototype=raw))
