"""What a run reads of a text: its windows, and the network that reads them."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.data.dataset import Split
from atis_jax.data.registry import load_split
from atis_jax.models.backbone import Model
from atis_jax.models.weights.files import file_digest, find_weights
from atis_jax.models.weights.load import load_weights
from atis_jax.typing import Key, PyTree
from atis_jax.validation import UserError
from experiments.inputs import Input

WEIGHTS = "weights"
"""Name of pretrained weights among a run's inputs."""


class TextSettings(Protocol):
    """Sections and numbers of windows that any run on a text has."""

    @property
    def data(self) -> Any:
        """Section ``data``."""
        ...

    @property
    def model(self) -> Any:
        """Section ``model``."""
        ...

    @property
    def windows(self) -> int:
        """Evaluation windows."""
        ...

    @property
    def fit_windows(self) -> int:
        """Training windows."""
        ...


def load_few(settings: TextSettings) -> tuple[Split, Split]:
    """Training and evaluation windows.

    Raises:
        UserError: there are fewer than are asked for.
    """
    data = settings.data
    if data.eval_examples is None:
        data = dataclasses.replace(data, eval_examples=settings.windows)
    train, test = load_split(data, "train"), load_split(data, data.evaluation)
    for name, split in (("fit_windows", train), ("windows", test)):
        if getattr(settings, name) > len(split):
            raise UserError(
                f"config.{name} = {getattr(settings, name)} is above the {len(split)} windows that there are; lower it"
            )
    return train, test


def network(settings: TextSettings, model: Model, key: Key) -> tuple[PyTree, dict[str, Input], str]:
    """The network's parameters, what was read for them, and one line that says what they are."""
    where = settings.model.weights
    if where is None:
        return jax.jit(model.init)(key), {}, "weights: none, the network is untrained"
    file = find_weights(where)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(model.init, key))
    params, line = load_weights(model, empty, file)
    return params, {WEIGHTS: Input(file, sha256=file_digest(file))}, line


def fit_tokens(settings: TextSettings, train: Split, key: Key) -> np.ndarray:
    """Training windows from all over the text."""
    chosen = jax.random.choice(key, len(train), (settings.fit_windows,), replace=False)
    return train.at(np.sort(np.asarray(chosen)))["token"]
