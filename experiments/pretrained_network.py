"""A network whose weights an experiment reads and does not train."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from atis_jax.models.backbone import Model
from atis_jax.models.weights.files import file_digest, find_weights
from atis_jax.models.weights.load import load_weights
from atis_jax.typing import Key, PyTree
from experiments.inputs import Input

WEIGHTS = "weights"
"""Name of pretrained weights among a run's inputs."""


def network(section: Any, model: Model, key: Key) -> tuple[PyTree, dict[str, Input], str]:
    """The network's parameters, what was read for them, and one line that says what they are.

    Args:
        section: ``config.model``.
        model: what it describes.
        key: of untrained parameters.
    """
    where = getattr(section, "weights", None)
    if where is None:
        return jax.jit(model.init)(key), {}, "weights: none, the network is untrained"
    file = find_weights(where)
    # What no file of weights has is the classifier, which nothing here reads.
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(model.init, key))
    params, line = load_weights(model, empty, file)
    return params, {WEIGHTS: Input(file, sha256=file_digest(file))}, line
