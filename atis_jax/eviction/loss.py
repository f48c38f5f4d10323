"""What the next words of a text cost a decoder.

Shape suffixes: B texts, M words, D width.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from atis_jax.models.decoder import Decoder
from atis_jax.typing import PyTree


@partial(jax.jit, static_argnames="model")
def next_word_loss(
    model: Decoder, params: PyTree, x: Float[Array, "B M D"], label: Int[Array, "B M"]
) -> Float[Array, "B"]:
    """Mean cross-entropy of the words behind each, nats a word.

    Text by text: logits of a large vocabulary are large.

    Args:
        model: the network.
        params: its parameters.
        x: words as they leave the last block.
        label: the word behind each.
    """

    def of_text(text):
        x_MxD, label_M = text
        logits = model.predict(params, x_MxD)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, label_M))

    return jax.lax.map(of_text, (x, label))
