"""A stream of images through one network, one after another, with what the scorers remember carried along.

A batch of one: the tokens of an image, then those of the next, are the token stream that each layer's comparator sees
in time order. Adaptive threshold, hysteresis and the EMA prototype act across images as they do within one.

Shape suffixes: n images in time order, L layers, G head groups, D width.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.circuits.chip import Environment
from atis_jax.models.forward import EVERY_LAYER, ScorerInputs, masked_forward
from atis_jax.models.vit import VisionTransformer
from atis_jax.numerics import pytree
from atis_jax.pruning.masks import PROTECTED
from atis_jax.scoring.types import Scorer, ScorerState
from atis_jax.typing import Key, PyTree


@pytree
class Streamed:
    """What a stream yields, image by image.

    Attributes:
        predicted: (n,) class of the largest logit.
        kept: (n, L) share of the patches that some head group still attends to after the layer's decision.
        pairs: (n, L) successive patches, within the image, that both reached the comparator, over all groups.
        toggles: (n, L) those of them whose keep bits differ.
        state: the scorers' memory after each image, leaves (n, L, ...).
    """

    predicted: Int[Array, "n"]
    kept: Float[Array, "n L"]
    pairs: Int[Array, "n L"]
    toggles: Int[Array, "n L"]
    state: ScorerState


def stream_forward(
    model: VisionTransformer,
    params: PyTree,
    scorer: Scorer,
    images: Float[Array, "n S S C"],
    temperature_k: Float[Array, "n"],
    inputs: ScorerInputs,
    key: Key | None,
    *,
    scored: range = EVERY_LAYER,
    source: str = "tokens",
    ema_rate: float = 0.0,
) -> Streamed:
    """``masked_forward`` on one image after another, the state each leaves being the one the next finds.

    Args:
        model: the network.
        params: its parameters.
        scorer: decides which tokens stay.
        images: in time order, in [0, 1].
        temperature_k: while each image passes, K; it replaces that of ``inputs.environment``.
        inputs: design, one chip, environment, and the memory before the first image.
        key: read noise, folded with the image's number; None switches it off.
        scored: layers that have a scorer; the others keep every token that reaches them.
        source: what the scorers look at, ``ScorerSpec.source``.
        ema_rate: share of an image's CLS queries in the EMA prototype.

    Raises:
        ValueError: not one temperature for each image, or no environment to put it in.
    """
    if jnp.shape(temperature_k) != (images.shape[0],):
        raise ValueError(
            f"temperature_k has shape {jnp.shape(temperature_k)} for {images.shape[0]} images; give one for each"
        )
    environment = inputs.environment
    if environment is None:
        raise ValueError("a stream needs an environment for its temperatures; see circuits.chip.nominal_environment")

    def step(state: ScorerState, one):
        number, image, kelvin = one
        now = Environment(temperature_k=kelvin, supply_v=environment.supply_v)
        out = masked_forward(
            model,
            params,
            scorer,
            image[None],
            dataclasses.replace(inputs, environment=now, state=state),
            None if key is None else jax.random.fold_in(key, number),
            scored=scored,
            source=source,
            ema_rate=ema_rate,
        )
        bits = out.alive[:, 0, PROTECTED:]
        toggles, pairs = jax.vmap(keep_bit_changes)(bits, _before(bits))
        return out.state, Streamed(
            predicted=jnp.argmax(out.logits[0]),
            kept=jnp.mean(jnp.any(bits, axis=-1), axis=-1),
            pairs=pairs,
            toggles=toggles,
            state=out.state,
        )

    return jax.lax.scan(step, inputs.state, (jnp.arange(images.shape[0]), images, temperature_k))[1]


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


def _before(bits_LxTxG: Bool[Array, "L T G"]) -> Bool[Array, "L T G"]:
    """Tokens alive before each layer's decision: what the layer before left."""
    return jnp.concatenate([jnp.ones_like(bits_LxTxG[:1]), bits_LxTxG[:-1]])


__all__ = ["Streamed", "keep_bit_changes", "stream_forward"]
