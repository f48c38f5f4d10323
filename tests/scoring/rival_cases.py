"""A tiny network, the same with padding behind its tokens, and the passes and steps that every rival goes through."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from atis_jax.circuits import get_preset
from atis_jax.data.dataset import Facts
from atis_jax.energy.baselines import energy_ratio
from atis_jax.energy.spec import EnergySpec
from atis_jax.models.forward import masked_forward, opened_for
from atis_jax.models.layers import run_layers
from atis_jax.models.passes import Pass, Relaxation, ScorerInputs
from atis_jax.models.vit import ModelSpec, VisionTransformer
from atis_jax.pruning.stream import PARTS
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Survey
from atis_jax.scoring.registry import make_method
from atis_jax.scoring.rivals.attention import AttentionSpec
from atis_jax.scoring.rivals.dtem import DtemSpec
from atis_jax.scoring.rivals.dynamicvit import DynamicVitSpec
from atis_jax.scoring.rivals.evit import EvitSpec
from atis_jax.scoring.rivals.linear import LinearSpec
from atis_jax.scoring.rivals.ltp import LtpSpec
from atis_jax.scoring.rivals.norm import NormSpec
from atis_jax.scoring.rivals.position import PositionSpec
from atis_jax.scoring.rivals.random import RandomSpec
from atis_jax.scoring.rivals.spatten import SpattenSpec
from atis_jax.scoring.rivals.tome import TomeSpec
from atis_jax.scoring.rivals.zerotprune import ZeroTPruneSpec
from atis_jax.training.spec import CodesignSpec, LossSpec, PruningSpec, StageSpec
from atis_jax.training.state import create_state
from atis_jax.training.step import Codesign, codesign_step
from atis_jax.training.survey import survey
from atis_jax.training.task import Classify

GOLDEN = Path(__file__).parent.parent / "data" / "golden"
BATCH, DEPTH, CLASSES, PADDING = 3, 3, 3, 4
FACTS = Facts(classes=CLASSES, rows=8, columns=8, channels=1, mean=(0.5,), std=(0.3,))
MODEL = VisionTransformer(ModelSpec(width=16, depth=DEPTH, heads=2, mlp_width=16, patch=2, stem="linear"), FACTS)
SHALLOW = VisionTransformer(dataclasses.replace(MODEL.spec, depth=2), FACTS)
"""Its first two layers, which compile quicker."""
WANTED = jnp.full(DEPTH, 0.5)
CASES: dict[str, Any] = {
    "random": RandomSpec(),
    "attention_received": AttentionSpec(),
    "ltp": LtpSpec(final_threshold=0.12, temperature=0.02),
    "tome": TomeSpec(merged=3),
    "dynamicvit": DynamicVitSpec(),
    "zerotprune": ZeroTPruneSpec(votes=(1, 1, 1)),
    "spatten": SpattenSpec(accumulates=True),
    "linear": LinearSpec(),
    "norm": NormSpec(),
    "position": PositionSpec(),
    "dtem": DtemSpec(merged=3),
    "evit": EvitSpec(),
}


@dataclasses.dataclass(frozen=True)
class Padded:
    """A network with room for ``PADDING`` tokens that are not there, full of numbers."""

    network: Any = MODEL

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)

    @property
    def length(self) -> int:
        return self.network.length + PADDING

    def embed(self, params, batch, raw=False):
        stream = self.network.embed(params, batch, raw)
        return dataclasses.replace(
            stream,
            x=jnp.pad(stream.x, ((0, 0), (0, PADDING), (0, 0)), constant_values=3.0),
            position=jnp.pad(stream.position, ((0, 0), (0, PADDING)), mode="edge"),
            protected=jnp.pad(stream.protected, ((0, 0), (0, PADDING))),
            real=jnp.arange(self.length)[None] < self.network.length,
        )


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return dict(file)


@functools.cache
def params(seed: int = 0):
    """Random everywhere, the head included, which starts at zero."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.3, leaf.shape), jnp.float32), shapes)


def batch(seed: int = 0) -> dict[str, jnp.ndarray]:
    rng = np.random.default_rng(seed)
    examples = jnp.asarray(rng.random((BATCH, 8, 8, 1)), jnp.float32)
    return {"image": examples, "label": jnp.asarray(rng.integers(0, CLASSES, BATCH))}


def method_of(spec):
    return make_method(spec, get_preset("nominal"))


@functools.cache
def surveyed() -> Survey:
    """What the tiny network shows of the batch: every part of its attention."""
    asks = make_method(AttentionSpec(), get_preset("nominal"))
    return jax.jit(lambda params, batch: survey(MODEL, params, asks, batch, more=PARTS))(params(), batch())


def shown(depth: int = DEPTH) -> Survey:
    """``surveyed`` of the first layers."""
    seen, attended = jax.tree.map(lambda leaf: leaf[:depth], (surveyed().seen, surveyed().attended))
    return dataclasses.replace(surveyed(), seen=seen, attended=attended)


def start(method, wanted=WANTED, **design):
    """What the method begins with on as many layers as shares are wanted; fields of ``design`` replaced."""
    made, memory = jax.jit(method.begin)(jax.random.key(0), shown(len(wanted)), wanted)
    return ScorerInputs(dataclasses.replace(made, **design) if design else made, None, None, memory)


def of_layers(depth: int, seed: int = 0):
    """``params`` of the first layers."""
    parts = params(seed)["params"]
    return {"params": parts | {"blocks": jax.tree.map(lambda leaf: leaf[:depth], parts["blocks"])}}


def keys(seed: int = 0):
    """One an example, for methods that leave something to chance."""
    return jax.random.split(jax.random.key(seed), BATCH)


def masked(method, inputs, model=MODEL, hardness: float = 1.0):
    return _masked(model, method, params(), batch(), inputs, keys(), jnp.float32(0.1), jnp.float32(hardness))


def evaluated(method, inputs, examples, keys):
    """Masked, decisions hard, nothing relaxed; of ``SHALLOW``."""
    return _masked(
        SHALLOW, method, of_layers(SHALLOW.depth), examples, inputs, keys, jnp.float32(0.0), jnp.float32(1.0)
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _masked(model, method, params, examples, inputs, keys, smoothing, hardness):
    return masked_forward(model, params, method, examples, inputs, keys, relaxation=Relaxation(smoothing, hardness))


def packed(method, inputs, capacities, model):
    """Tokens really removed, in as many layers as there are capacities.

    Returns:
        The stream behind the last layer, what the layers decided, and the logits.
    """

    @jax.jit
    def run(params, examples, inputs, keys):
        stream = opened_for(method, model.embed(params, examples))
        out, (trail, _) = run_layers(Pass(model, method=method), params, stream, inputs, keys, capacities)
        return out, trail, model.read_out(params, out)

    return run(of_layers(len(capacities)), batch(), inputs, keys())


def room(out) -> tuple[int, ...]:
    """Tokens that each layer needs room for."""
    return tuple(int(most) for most in np.asarray(out.alive[..., 0]).sum(-1).max(-1))


def tiny_bill(tokens: str = "none", **shape) -> Bill:
    energy = EnergySpec(preset="horowitz_45nm", tokens=tokens)
    return Bill(energy, dataclasses.replace(MODEL.shape(), **shape), (True,) * DEPTH)


def gradient_step(method) -> dict[str, Any]:
    """Metrics of the first co-design step in the first two layers, and the design a gradient further down.

    The optimiser that trains has a rate of 0 then; here every leaf is moved.
    """
    stage, pruning, codesign = StageSpec(steps=2), PruningSpec(kept=(0.5,), hard_from=0.5), CodesignSpec()
    costs = dataclasses.replace(tiny_bill(), network=SHALLOW.shape(), layers=(True, True))
    setup = Codesign(
        SHALLOW, method, Classify(), stage, pruning, LossSpec(), codesign,
        lambda kept, design, state: energy_ratio(method.bill(costs, kept, design, state), costs.dense()),
    )  # fmt: skip
    transform, inputs = optax.sgd(1.0), start(method, WANTED[:2])
    state = create_state(of_layers(2), inputs.design, inputs.state, jax.random.key(0), transform)
    state, metrics = jax.jit(codesign_step(setup, transform))(state, batch(), of_layers(2, seed=1))
    return jax.device_get(metrics | {"design": state.design})
