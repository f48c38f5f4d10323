"""A tiny network and design on tiny data as an arm of cells: compiles in seconds."""

from __future__ import annotations

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
from atis_jax.training.calibrate import starting_design

from atis_jax.circuits.imperfections import IMPERFECTIONS
from atis_jax.circuits.presets import get_preset
from atis_jax.models.vit import ModelSpec, VisionTransformer
from atis_jax.scoring.atis.calibration import no_trim
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.registry import make_method
from atis_jax.scoring.types import initial_state
from atis_jax.training.evaluate import Evaluator
from atis_jax.training.montecarlo import Cells
from atis_jax.training.state import TrainState
from experiments.montecarlo.engine import Arm

SIDE, CLASSES, EXAMPLES = 8, 3, 20
MODEL = ModelSpec(width=16, depth=2, heads=2, mlp_width=16, patch=2, stem="linear")
SPEC = ScorerSpec(inputs=8)
TARGET = (0.6, 0.6)
QUICK = {"xla_backend_optimization_level": 0}
"""Compiler options: slower code, made in half the time."""


@contextlib.contextmanager
def optimised(wanted: bool):
    """Whether the compiler takes its time for what is compiled within."""
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, not wanted)
    try:
        yield
    finally:
        jax.config.update(name, before)


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (EXAMPLES, SIDE, SIDE, 1), dtype=np.uint8)
    return images, rng.integers(0, CLASSES, EXAMPLES).astype(np.int32)


@functools.cache
def evaluator(preset: str = "nominal") -> tuple[Evaluator, TrainState]:
    """An untrained network whose head is random, and a design whose thresholds cut through the scores."""
    model = VisionTransformer(MODEL, classes=CLASSES, tokens=(SIDE // MODEL.patch) ** 2)
    hardware = get_preset(preset)
    images = jnp.asarray(data()[0], jnp.float32) / 255.0

    def start():
        # Large weights: what is pruned must matter to the answer of an untrained network.
        params = jax.tree.map(lambda leaf: 3.0 * leaf, model.init(jax.random.key(0), images[:1]))
        head = jax.random.normal(jax.random.key(5), params["params"]["head"]["kernel"].shape)
        params = {"params": {**params["params"], "head": {**params["params"]["head"], "kernel": head}}}
        design, query = starting_design(jax.random.key(1), model, params, SPEC, hardware, images)
        design = type(design)(**{**vars(design), "threshold": jnp.full_like(design.threshold, -0.1)})
        state = jax.vmap(lambda q: initial_state(SPEC.groups, MODEL.width, q))(query)
        return params, jax.tree.map(jnp.asarray, design), state

    params, design, state = jax.jit(start, compiler_options=QUICK)()
    trained = TrainState(jnp.asarray(1), params, design, state, (), jax.random.key(0))
    scorer = make_method(SPEC, hardware, jnp.asarray(TARGET))
    return Evaluator(model, params, scorer, SPEC, hardware, range(MODEL.depth)), trained


def arm(chips: int = 3, temperature_c: tuple[float, ...] = (0.0, 70.0), factor: float = 1.0, preset: str = "nominal"):
    found, state = evaluator(preset)
    rows = [{"chip": chip, "temperature_c": t} for chip in range(chips) for t in temperature_c]
    trim = jax.tree.map(lambda leaf: np.zeros((len(rows), MODEL.depth, *leaf.shape), np.float32), no_trim(SPEC))
    cells = Cells(
        chip=np.asarray([row["chip"] for row in rows], np.int32),
        temperature_k=np.asarray([row["temperature_c"] + 273.15 for row in rows], np.float32),
        factors=np.full((len(rows), len(IMPERFECTIONS)), factor, np.float32),
        trim=trim,
    )
    return Arm({"arm": "tiny"}, found, found, state, TARGET, cells, rows)
