"""A tiny network and design on tiny data as an arm of cells: compiles in seconds."""

from __future__ import annotations

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.circuits.imperfections import IMPERFECTIONS
from atis_jax.circuits.presets import get_preset
from atis_jax.data.dataset import Facts, Split
from atis_jax.data.images import Images, ImagesSpec
from atis_jax.models.registry import make_model
from atis_jax.models.vit import ModelSpec
from atis_jax.scoring.atis.calibration import no_trim
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.registry import make_method
from atis_jax.training.cells import Cells
from atis_jax.training.evaluate import Evaluator
from atis_jax.training.state import TrainState
from atis_jax.training.survey import survey
from atis_jax.training.task import Classify
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


DATASET = Images(ImagesSpec())
FACTS = Facts(classes=CLASSES, rows=SIDE, columns=SIDE, channels=1, mean=(0.0,), std=(1.0,))


def data() -> Split:
    """Examples as stored."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (EXAMPLES, SIDE, SIDE, 1), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, EXAMPLES).astype(np.int32)
    return Split(columns={"image": images}, labels=labels, class_names=(), facts=FACTS)


@functools.cache
def evaluator(preset: str = "nominal") -> tuple[Evaluator, TrainState]:
    """An untrained network whose head is random, and a design whose thresholds cut through the scores."""
    model, method = make_model(MODEL, FACTS), make_method(SPEC, get_preset(preset), jnp.asarray(TARGET))
    batch = DATASET.feed(data().columns)

    def start():
        # Large weights: what is pruned must matter to the answer of an untrained network.
        params = jax.tree.map(lambda leaf: 3.0 * leaf, model.init(jax.random.key(0)))
        head = jax.random.normal(jax.random.key(5), params["params"]["head"]["kernel"].shape)
        params = {"params": {**params["params"], "head": {**params["params"]["head"], "kernel": head}}}
        shown = survey(model, params, method, batch)
        design, state = method.begin(jax.random.key(1), shown, jnp.asarray(TARGET))
        design = type(design)(**{**vars(design), "threshold": jnp.full_like(design.threshold, -0.1)})
        return params, jax.tree.map(jnp.asarray, design), state

    params, design, state = jax.jit(start, compiler_options=QUICK)()
    trained = TrainState(jnp.asarray(1), params, design, state, (), jax.random.key(0))
    return Evaluator(model, params, method, range(MODEL.depth), Classify()), trained


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
