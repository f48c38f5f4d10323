"""What really removing tokens gains in long sequences: ATIS and its rivals at equal operations.

The blocks of a network alone, from embedded tokens on, as an evaluation runs them: chips, read noise, and everything
that a pass tells. Weights, tokens and designs are drawn: what an untrained method keeps does not change the time, for
shapes are static and room without a token is computed like a token.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from atis_jax.circuits.chip import nominal_environment
from atis_jax.config import from_config_dict, to_config_dict
from atis_jax.data.dataset import Facts
from atis_jax.models.forward import gathered_layers
from atis_jax.models.layers import run_layers
from atis_jax.models.passes import Pass, ScorerInputs
from atis_jax.models.registry import make_model
from atis_jax.numerics import layer_of
from atis_jax.pruning.gather import choose_capacity
from atis_jax.pruning.stream import Stream
from atis_jax.scoring.operations import operations
from atis_jax.training.evaluate import capacities_for, chips_for, example_keys
from atis_jax.typing import PyTree
from experiments.benchmark_case import Case
from experiments.ledgers import Begun, kept_for
from experiments.settings import CodesignSettings


@dataclasses.dataclass(frozen=True)
class Shape:
    """Of the network and of what is removed.

    Attributes:
        tokens: of a sequence, without the protected one.
        width, heads, mlp_width, depth: of the blocks.
        kept: share of the tokens that ATIS lets pass in front of the first block.
        inputs: of its array.
    """

    tokens: int = 1024
    width: int = 192
    heads: int = 3
    mlp_width: int = 768
    depth: int = 12
    kept: float = 0.3
    inputs: int = 64

    @property
    def facts(self) -> Facts:
        """Pictures one patch high: any number of tokens."""
        return Facts(rows=4, columns=4 * self.tokens, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3, classes=1000)

    @property
    def left(self) -> int:
        """Tokens that ATIS leaves, without the protected one."""
        return round(self.kept * self.tokens)


DEIT_TI = Shape()
"""Blocks of DeiT-Ti (Touvron et al. 2021, arXiv 2012.12877)."""


def config_of(shape: Shape, kind: str, **pruning: Any) -> ConfigDict:
    """The config of a method; ``pruning`` is its section."""
    config = to_config_dict(CodesignSettings)
    for name in ("width", "heads", "mlp_width", "depth"):
        config.model[name] = getattr(shape, name)
    config.model.stem = "linear"
    config.model.rotary = False
    config.hardware.preset = "sky130_fg"
    config.energy.preset = "horowitz_45nm"
    config.scorer.kind = kind
    config.pruning.update(pruning)
    return config


def atis(shape: Shape) -> ConfigDict:
    """An analog scorer in front of every block; what it removes, it removes in front of the first."""
    config = config_of(shape, "analog", kept=(shape.kept,))
    config.scorer.inputs = shape.inputs
    return config


def tome(shape: Shape, share: float) -> ConfigDict:
    """Every layer merges as large a part of its tokens, which its published r, the same number in each, does not."""
    config = config_of(shape, "tome", kept=tuple(0.5 ** (1 + layer) for layer in range(shape.depth)))
    config.scorer.merged = None
    config.pruning.kept = kept_for(config, share, shape.facts)
    return config


def dynamicvit(shape: Shape, share: float) -> ConfigDict:
    """One predictor, in front of the first block: its published three stages begin too late for few operations."""
    config = config_of(shape, "dynamicvit", kept=(shape.kept,), scored_layers=1)
    config.pruning.kept = kept_for(config, share, shape.facts)
    return config


def removal(batch: int, shape: Shape = DEIT_TI) -> dict[str, Case]:
    """Dense, ATIS, and rivals at the operations of ATIS; dense on sequences already short.

    As short as the room that ATIS gives the tokens it leaves, and as short as these tokens themselves.
    """
    of_params, of_tokens = jax.random.split(jax.random.key(0))
    model = make_model(from_config_dict(CodesignSettings, atis(shape)).model, shape.facts)
    params = jax.jit(model.init)(of_params)
    x = jax.random.normal(of_tokens, (batch, model.length, shape.width))

    def dense(params: PyTree, stream: Stream):
        return model.read_out(params, run_layers(Pass(model), params, stream, None, None)[0])

    ours = gathered(shape, atis(shape), params, stream_of(x))
    assert ours.operations is not None

    def short(length: int) -> Case:
        return Case(dense, (params, stream_of(x[:, :length])))

    return {
        "dense": Case(dense, (params, stream_of(x)), 1.0),
        "already short": short(choose_capacity(shape.left, shape.tokens)),
        "ATIS": ours,
        "as short as what is kept": short(shape.left + 1),
        "ToMe": gathered(shape, tome(shape, ours.operations), params, stream_of(x)),
        "DynamicViT": gathered(shape, dynamicvit(shape, ours.operations), params, stream_of(x)),
    }


def stream_of(x: jax.Array) -> Stream:
    """Tokens in order, the first protected."""
    position = jnp.arange(x.shape[1])[None]
    return Stream(x, position, position < 1)


def gathered(shape: Shape, config: ConfigDict, params: PyTree, stream: Stream) -> Case:
    """The gathered pass of a config's method on one chip, with room for what the method keeps."""
    settings, begun = from_config_dict(CodesignSettings, config), Begun.of(config, shape.facts)
    model, method, batch = make_model(settings.model, shape.facts), begun.method, len(stream.x)
    scored, left = settings.pruning.scored(model.depth), method.realised(begun.kept, model.tokens)
    capacities = capacities_for(np.round(np.asarray(left) * model.tokens), model, scored)
    chip = layer_of(chips_for(jax.random.key(1), method, model.depth, 1), 0)
    inputs = ScorerInputs(begun.design, chip, nominal_environment(method.hardware), begun.state)
    keys = example_keys(jax.random.key(2), np.arange(batch))
    done, dense = operations(method, begun.costs, begun.design, begun.state, left)

    def removed(params, stream, inputs, keys):
        return gathered_layers(model, params, method, stream, inputs, keys, capacities=capacities, scored=scored)

    return Case(removed, (params, stream, inputs, keys), float(done / dense))
