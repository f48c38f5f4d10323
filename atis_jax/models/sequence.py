"""Examples in time through one network, one after another, what the scorers remember handed from each to the next.

A batch of one: the tokens of an example, then those of the next, are what each layer's comparator sees in time order.
Adaptive threshold, hysteresis and the EMA prototype act across examples as they do within one.

Shape suffixes: n examples in time order, L layers, G head groups, D width.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.circuits.chip import Environment
from atis_jax.models.backbone import Model
from atis_jax.models.forward import masked_forward
from atis_jax.models.kernels import Kernel
from atis_jax.models.passes import EVERY_LAYER, SOFTMAX, Batch, ScorerInputs
from atis_jax.numerics import pytree
from atis_jax.scoring.method import Method
from atis_jax.scoring.types import ScorerState
from atis_jax.typing import Key, PyTree


@pytree
class InTime:
    """What a sequence yields, example by example.

    Attributes:
        predicted: (n,) class of the largest logit.
        kept: (n, L) share of the tokens that some head group still attends to after the layer's decision.
        pairs: (n, L) successive tokens, within the example, that both reached the comparator, over all groups.
        toggles: (n, L) those of them whose keep bits differ.
        state: the scorers' memory after each example, leaves (n, L, ...).
    """

    predicted: Int[Array, "n"]
    kept: Float[Array, "n L"]
    pairs: Int[Array, "n L"]
    toggles: Int[Array, "n L"]
    state: ScorerState


def sequence_forward(
    model: Model,
    params: PyTree,
    method: Method,
    batch: Batch,
    temperature_k: Float[Array, "n"],
    inputs: ScorerInputs,
    key: Key | None,
    *,
    scored: range = EVERY_LAYER,
    kernel: Kernel = SOFTMAX,
) -> InTime:
    """``masked_forward`` on one example after another, the memory each leaves being the one the next finds.

    Args:
        model: the network.
        params: its parameters.
        method: decides which tokens stay.
        batch: what the network is fed, in time order.
        temperature_k: while each example passes, K; it replaces that of ``inputs.environment``.
        inputs: design, one chip, environment, and the memory before the first example.
        key: read noise, folded with the example's number; None switches it off.
        scored: layers that have a scorer; the others keep every token that reaches them.
        kernel: how attention is computed.

    Raises:
        ValueError: not one temperature for each example, or no environment to put it in.
    """
    length = len(jax.tree.leaves(batch)[0])
    if jnp.shape(temperature_k) != (length,):
        raise ValueError(f"temperature_k has shape {jnp.shape(temperature_k)} for {length} examples; give one for each")
    environment = inputs.environment
    if environment is None:
        raise ValueError("a sequence needs an environment for its temperatures; see circuits.chip.nominal_environment")

    def step(state: ScorerState, one):
        number, example, kelvin = one
        now = Environment(temperature_k=kelvin, supply_v=environment.supply_v)
        out = masked_forward(
            model,
            params,
            method,
            jax.tree.map(lambda leaf: leaf[None], example),
            dataclasses.replace(inputs, environment=now, state=state),
            None if key is None else jax.random.fold_in(key, number),
            scored=scored,
            kernel=kernel,
        )
        counted = out.counted[0][:, None]
        bits = out.alive[:, 0] & counted
        toggles, pairs = jax.vmap(keep_bit_changes)(bits, out.before[:, 0] & counted)
        return out.state, InTime(
            predicted=jnp.argmax(out.logits[0]),
            kept=jnp.sum(jnp.any(bits, axis=-1), axis=-1) / jnp.sum(counted),
            pairs=pairs,
            toggles=toggles,
            state=out.state,
        )

    return jax.lax.scan(step, inputs.state, (jnp.arange(length), dict(batch), temperature_k))[1]


def keep_bit_changes(
    bits_TxG: Bool[Array, "T G"], reached_TxG: Bool[Array, "T G"]
) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """How often the keep bit changes from one token that reached the comparator to the next one that did.

    Args:
        bits_TxG: the comparator's output in time order; False where the token did not reach it.
        reached_TxG: tokens that reached it.

    Returns:
        changes, and pairs of successive tokens in which one was possible; both summed over groups.
    """

    def token(carry, xs):
        last, any_before = carry
        bit, reached = xs
        pair = reached & any_before
        return (jnp.where(reached, bit, last), any_before | reached), (pair & (bit != last), pair)

    nothing = jnp.zeros(bits_TxG.shape[1:], bool)
    _, (changed, pair) = jax.lax.scan(token, (nothing, nothing), (bits_TxG, reached_TxG))
    return jnp.sum(changed), jnp.sum(pair)


__all__ = ["InTime", "keep_bit_changes", "sequence_forward"]
