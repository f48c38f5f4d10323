"""Published weights in a network's own parameters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from atis_jax.models.backbone import Model
from atis_jax.models.weights.bert import read_bert
from atis_jax.models.weights.causal import read_decoder
from atis_jax.models.weights.files import WeightsFile, read_weights
from atis_jax.models.weights.tensors import Reading
from atis_jax.models.weights.vit import read_vit
from atis_jax.typing import PyTree
from atis_jax.validation import choose

READERS: dict[str, Callable[[Any, WeightsFile], Reading]] = {
    "bert": read_bert,
    "decoder": read_decoder,
    "vit": read_vit,
}
"""By ``model.kind``: what makes parameters of a network from a file."""


def load_weights(model: Model, params: PyTree, path: Path) -> tuple[PyTree, str]:
    """Untrained parameters with what a file of weights has in their place; leaves of the same types and shapes.

    Args:
        model: the network, of a kind that published weights are read for.
        params: untrained, from ``Model.init``.
        path: of the file.

    Returns:
        The parameters, and one line: what was used, what not and why, what stays untrained, and what of the network's
        shape the file does not say, so that nothing was held against it.

    Raises:
        SettingError: the network has another shape than the weights.
        WeightsError: the file cannot be read, or has more or less in it than the network.
    """
    return fill_weights(model, params, read_weights(path))


def fill_weights(model: Model, params: PyTree, file: WeightsFile) -> tuple[PyTree, str]:
    """``load_weights`` from a file that is read already."""
    spec: Any = model.spec  # type: ignore[attr-defined]
    found, account, unsaid = choose(READERS, spec.kind, "model.kind with weights")(model, file)
    nested = "params" in params  # as Flax has them
    fresh = params["params"] if nested else params
    untrained = sorted(set(fresh) - set(found))
    assert set(found) <= set(fresh), sorted(found)
    # One after the other, so that what was read is let go as it comes to its place.
    left = jax.tree_util.tree_leaves_with_path({name: found.get(name, part) for name, part in fresh.items()})
    del found
    filled = []
    for path, old in jax.tree_util.tree_leaves_with_path(fresh):
        place, new = left.pop(0)
        assert (place, new.shape) == (path, old.shape), (jax.tree_util.keystr(path), place, new.shape, old.shape)
        filled.append(jnp.asarray(new, old.dtype))
    assert not left, left
    params = jax.tree.unflatten(jax.tree.structure(fresh), filled)
    line = f"weights: {account}; untrained: {', '.join(untrained) or 'nothing'}"
    return {"params": params} if nested else params, line + (f"; not said: {', '.join(unsaid)}" if unsaid else "")
