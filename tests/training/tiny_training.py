"""A network of one thousand parameters, sixteen tokens and a scorer: training that compiles in seconds."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.data.dataset import Facts, Split
from atis_jax.data.images import ImagesSpec
from atis_jax.energy.spec import EnergySpec
from atis_jax.models.backbone import Model
from atis_jax.models.vit import ModelSpec
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.atis.start import starting_design
from atis_jax.scoring.method import Method
from atis_jax.scoring.types import initial_state
from atis_jax.training.spec import CodesignSpec, LossSpec, PruningSpec, StageSpec
from atis_jax.training.state import stacked
from atis_jax.training.survey import survey
from atis_jax.training.task import Classify
from experiments.settings import CodesignSettings, EvaluationSpec

SIDE, CLASSES, BATCH, EXAMPLES = 8, 3, 8, 40
QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}
"""Compiler options: slower code, made in a quarter of the time."""
TASK = Classify()

SETTINGS = CodesignSettings(
    data=ImagesSpec(name="numbered", augmentation="none", batch_size=BATCH, eval_batch_size=BATCH),
    model=ModelSpec(width=16, depth=2, heads=2, mlp_width=16, patch=2, stem="linear"),
    scorer=ScorerSpec(inputs=8),
    energy=EnergySpec(preset="horowitz_45nm", weights="sram_1m", tokens="sram_32k"),
    dense=StageSpec(steps=6, warmup=0.2, learning_rate=3e-3),
    tune=StageSpec(steps=40, warmup=0.1, learning_rate=1e-3),
    pruning=PruningSpec(kept=(0.6, 0.4), ramp=0.0, hard_from=1.0, smoothing_start=0.3, smoothing_end=0.05),
    loss=LossSpec(distill=0.5, keep=10.0, swing=0.05, energy=0.1, attention=0.2),
    codesign=CodesignSpec(threshold="gradient", threshold_learning_rate=0.1, temperature_c=(0.0, 70.0)),
    evaluation=EvaluationSpec(chips=2),
    checkpoint_every=2,
)


def changed(settings=SETTINGS, **sections) -> CodesignSettings:
    """The settings with fields of some sections replaced: ``changed(scorer=dict(inputs=4))``."""
    new = {
        name: dataclasses.replace(getattr(settings, name), **fields) if isinstance(fields, dict) else fields
        for name, fields in sections.items()
    }
    return dataclasses.replace(settings, **new)


def split() -> Split:
    rng = np.random.default_rng(0)
    return Split(
        columns={"image": rng.integers(0, 256, (EXAMPLES, SIDE, SIDE, 1), dtype=np.uint8)},
        labels=rng.integers(0, CLASSES, EXAMPLES).astype(np.int32),
        class_names=tuple("abc"),
        facts=Facts(classes=CLASSES, rows=SIDE, columns=SIDE, channels=1, mean=(0.5,), std=(float(np.float32(0.3)),)),
    )


def batch(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "image": rng.random((BATCH, SIDE, SIDE, 1), dtype=np.float32),
        "label": rng.integers(0, CLASSES, BATCH).astype(np.int32),
    }


def weighted(seed: int = 0, real: int = BATCH) -> dict[str, np.ndarray]:
    """An evaluation batch of which the first ``real`` examples count; batches of other seeds have other numbers."""
    weight = (np.arange(BATCH) < real).astype(np.float32)
    return batch(seed) | {"weight": weight, "number": BATCH * seed + np.arange(BATCH, dtype=np.int32)}


def lively_params(model: Model, seed: int = 0):
    """Random everywhere, the head included, which starts at zero. A copy, which the loop may donate to a step."""
    return jax.tree.map(jnp.array, _lively(model, seed))


@functools.cache
def _lively(model: Model, seed: int):
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        matrix = leaf.ndim - stacked(path) == 2
        scale = 1.0 / np.sqrt(leaf.shape[-2]) if matrix else 0.3
        return rng.normal(0, scale, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def design_for(settings: CodesignSettings = SETTINGS, seed: int = 0, threshold: float = 0.0) -> Design:
    """A design for every layer, scores of a tenth of a volt or two."""
    rng, depth, width = np.random.default_rng(seed), settings.model.depth, settings.model.width
    groups, inputs = settings.scorer.groups, settings.scorer.inputs
    leaves = dict(
        projection=rng.normal(0, 1 / np.sqrt(width), (depth, inputs, width)),
        input_gain=rng.normal(0.3, 0.1, depth),
        prototype=rng.normal(0, 0.7, (depth, groups, inputs)),
        bias_scale=rng.normal(1.0, 0.1, depth),
        feedback=rng.normal(0.0, 0.1, (depth, groups)),
        threshold=rng.normal(threshold, 0.01, (depth, groups)),
    )
    return Design(**{name: jnp.asarray(leaf, jnp.float32) for name, leaf in leaves.items()})


def started_on(key, model: Model, params, method: Method, images):
    """``starting_design`` of an ATIS method on images, and what of them it was made from."""
    told = survey(model, params, method, {"image": images})
    return *starting_design(key, method.spec, method.hardware, told), told


def memory_for(settings: CodesignSettings = SETTINGS, seed: int = 0):
    rng = np.random.default_rng(seed)
    shape = settings.model.depth, settings.scorer.groups, settings.model.width
    query = jnp.asarray(rng.normal(size=shape), jnp.float32)
    return _states(settings.scorer.groups, settings.model.width, query)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _states(groups: int, width: int, query):
    return jax.vmap(lambda q: initial_state(groups, width, q))(query)
