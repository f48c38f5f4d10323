"""Two agreements: of the masked with the gathered pass, decision by decision; and of the score with attention."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from atis_jax.models.forward import Pruned
from atis_jax.models.kernels.circuit import fitted
from atis_jax.models.layers import kernel_of
from atis_jax.models.passes import Batch, Layer, Pass, ScorerInputs
from atis_jax.numerics import layer_of
from atis_jax.scoring.atis.method import Atis
from atis_jax.training.evaluate import Evaluator, example_keys
from atis_jax.typing import Key, PyTree

ROUNDING_V = 1e-5
"""Scores this near the threshold may fall either side of it by rounding alone (scores are of the order of 0.1 V)."""
ROUNDING_CODE = 1e-4
"""A converter input this near the edge between two codes (in codes) may round to either."""


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far two ways to run the same design agree.

    Attributes:
        decisions: keep decisions compared (alive tokens of scored layers).
        inside: of these, how many lie within the rounding margin of the threshold.
        unequal_outside: decisions outside the margin that differ: a fault if not 0.
        equal: decisions that are equal, wherever they lie.
        max_abs_logit: largest difference of a logit over examples whose decisions are all equal.
        examples_compared: number of such examples.
        overflow: tokens that found no room.
    """

    decisions: int
    inside: int
    unequal_outside: int
    equal: int
    max_abs_logit: float
    examples_compared: int
    overflow: int


def added(found: Sequence[Agreement]) -> Agreement:
    """What several comparisons on parts of a data set add up to."""
    names = ("decisions", "inside", "unequal_outside", "equal", "examples_compared", "overflow")
    sums = {name: sum(getattr(one, name) for one in found) for name in names}
    return Agreement(max_abs_logit=max(one.max_abs_logit for one in found), **sums)


def masked_against_gathered(
    evaluator: Evaluator, capacities: tuple[int, ...], batches, inputs: ScorerInputs, key: Key | None
) -> Agreement:
    """Compare every decision and the logits of the two passes, noise and all.

    A decision lies inside the rounding margin if its score is within ``ROUNDING_V`` of the threshold, or if some
    converter input is within ``ROUNDING_CODE`` of the edge between two codes and the steps of those converters
    reach from the score to the threshold. Once an example's decisions differ, its later layers are not compared.
    """
    masked, gathered = evaluator.masked(), evaluator.gathered(capacities)
    margins = jax.jit(lambda *given: _margins(evaluator, *given))
    totals = np.zeros(5)
    largest = 0.0
    overflow = 0
    for batch in batches:
        batch_key = example_keys(key, batch["number"])
        a, b = masked(batch, inputs, batch_key), gathered(batch, inputs, batch_key)
        near = margins(evaluator.params, batch, inputs, a, batch_key)
        *sums, logit, lost = jax.device_get(_compare(a, b, near, batch["weight"] > 0, evaluator.scored))
        totals += np.asarray(sums, dtype=float)
        largest, overflow = max(largest, float(logit)), overflow + int(lost)
    decisions, inside, unequal_outside, equal, examples = (int(total) for total in totals)
    return Agreement(decisions, inside, unequal_outside, equal, largest, examples, overflow)


@partial(jax.jit, static_argnums=4)
def _compare(a: Pruned, b: Pruned, near: Bool[Array, "L B N G"], real: Bool[Array, "B"], scored: range):
    same = a.alive == b.alive
    lost = jnp.sum(b.overflow * real)
    example_same_so_far = jnp.cumprod(jnp.all(same, axis=(2, 3)), axis=0).astype(bool)
    real = real & jnp.all(b.overflow == 0, axis=0)  # what found no room is counted as such
    reached = jnp.concatenate([jnp.ones_like(example_same_so_far[:1]), example_same_so_far[:-1]]) & real
    has_scorer = jnp.asarray([layer in scored for layer in range(a.alive.shape[0])])[:, None, None, None]
    compared = a.before & reached[:, :, None, None] & has_scorer & a.counted[..., None]
    untouched = example_same_so_far[-1] & real
    difference = jnp.max(jnp.abs(a.logits - b.logits), axis=tuple(range(1, a.logits.ndim)))  # of every word, too
    return (
        jnp.sum(compared),
        jnp.sum(compared & near),
        jnp.sum(compared & ~near & ~same),
        jnp.sum(compared & same),
        jnp.sum(untouched),
        jnp.max(jnp.where(untouched, difference, 0.0)),
        lost,
    )


def _margins(
    evaluator: Evaluator, params: PyTree, batch: Batch, inputs: ScorerInputs, pruned: Pruned, key: Key | None
) -> Bool[Array, "L B N G"]:
    """Which decisions of the masked pass rounding could turn; none of a method that has no threshold."""
    model, method = evaluator.model, evaluator.method
    if not isinstance(method, Atis):
        return jnp.zeros(pruned.alive.shape, bool)
    stream, blocks = model.embed(params, batch, raw=method.raw).opened(method.groups), model.blocks(params)
    run, length = Pass(model, evaluator.kernel), stream.x.shape[1]
    near, read = [], None
    for layer in range(model.depth):
        design, chip, state = (layer_of(part, layer) for part in (inputs.design, inputs.chip, inputs.state))
        seen = method.sees(stream)[0] if read is None else read
        read = seen if method.reads_once and layer in evaluator.scored else None
        near.append(
            method.near_threshold(
                design, chip, inputs.environment, state, pruned.voltage[layer], seen, ROUNDING_V, ROUNDING_CODE
            )
        )
        alive = pruned.alive[layer]
        stream = dataclasses.replace(stream, alive=alive, gate=alive.astype(stream.x.dtype))
        block, attention = layer_of((blocks, inputs.attention), layer)
        here = Layer(layer, block, dataclasses.replace(inputs, attention=attention), layer_of(fitted(params), layer))
        stream, _ = model.attend(block, stream, kernel_of(run, here, stream, length, key))
        stream = model.feed(block, stream)
    return jnp.stack(near)


def attention_agreement(
    score: Float[np.ndarray, "*s T"],
    keep: Bool[np.ndarray, "*s T"],
    received: Float[np.ndarray, "*s T"],
    counted: Bool[np.ndarray, "*#s T"] | None = None,
) -> tuple[Float[np.ndarray, "*s"], Float[np.ndarray, "*s"]]:
    """Rank agreement between score and attention: the paper's Phase 1 question.

    Args:
        score: scores of all unprotected tokens.
        keep: which of them are kept after that layer.
        received: attention each receives in the dense network, averaged over heads and query rows.
        counted: which tokens are a method's to judge, the others are left out; None: all.

    Returns:
        Spearman rank correlation, and recall: of the k most attended tokens, the share that is among the k kept
        ones (k differs from example to example). Recall of an example that keeps nothing is 0.
    """
    counted = np.broadcast_to(True if counted is None else counted, score.shape)
    # Tokens left out come last, and lend no one a rank.
    a, b, last = (ranks(np.where(counted, values, np.inf)) for values in (score, received, -received))
    total = np.maximum(counted.sum(axis=-1, keepdims=True), 1)
    a, b = (np.where(counted, r - np.where(counted, r, 0.0).sum(axis=-1, keepdims=True) / total, 0.0) for r in (a, b))
    norm = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    spearman = (a * b).sum(axis=-1) / np.maximum(norm, 1e-12)
    keep = keep & counted
    kept = keep.sum(axis=-1)
    attended = last < kept[..., None]
    recall = (attended & keep).sum(axis=-1) / np.maximum(kept, 1)
    return spearman, recall


def ranks(values: Float[np.ndarray, "*s T"]) -> Float[np.ndarray, "*s T"]:
    """Ranks along the last axis, from 0, in order of value (ties in order of position)."""
    order = np.argsort(values, axis=-1, kind="stable")
    found = np.empty(values.shape)
    np.put_along_axis(found, order, np.broadcast_to(np.arange(values.shape[-1], dtype=float), values.shape), axis=-1)
    return found
