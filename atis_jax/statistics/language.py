"""How well a network says the next token, in the units that people quote, with what the windows leave uncertain."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float, Int


@dataclasses.dataclass(frozen=True)
class Language:
    """Loss of the next token over windows of a text.

    Attributes:
        loss: nats a token, mean over tokens.
        loss_error: one standard error of it, over windows as if drawn independently: neighbours in a text are alike,
            so it is a little small.
        perplexity: exp(loss).
        bits_per_character: bits a character, which does not depend on the tokenizer.
        bits_per_character_error: one standard error of it.
        windows: how many.
    """

    loss: float
    loss_error: float
    perplexity: float
    bits_per_character: float
    bits_per_character_error: float
    windows: int


def language(losses: Float[np.ndarray, " n"], tokens: int, characters: Int[np.ndarray, " n"]) -> Language:
    """What the losses of windows add up to.

    Args:
        losses: nats a token, mean over each window's.
        tokens: that each window predicts.
        characters: that these are made of.

    Raises:
        ValueError: fewer than two windows.
    """
    losses = np.asarray(losses, np.float64)
    if len(losses) < 2:
        raise ValueError(f"{len(losses)} windows; a standard error needs two or more")
    loss, error = float(losses.mean()), float(losses.std(ddof=1)) / math.sqrt(len(losses))
    bits = tokens * len(losses) / float(np.sum(characters)) / math.log(2.0)
    return Language(loss, error, math.exp(loss), bits * loss, bits * error, len(losses))
