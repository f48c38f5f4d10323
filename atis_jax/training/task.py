"""What a network is asked: the loss of each example, what is right, and what a person calls an example.

Shape suffixes: B examples, N tokens, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from atis_jax.training import losses
from atis_jax.validation import choose

Batch = Mapping[str, Any]


class Task(Protocol):
    """Pure functions of logits and a batch.

    Attributes:
        unit: what an example is called, such as "sentence"; for a language model "word", which is what is
            right or wrong.
    """

    @property
    def unit(self) -> str:
        """What a person calls an example."""
        ...

    def losses(self, logits: Array, batch: Batch, smoothing: float = 0.0) -> Float[Array, "B"]:
        """Cross-entropy of each example, with label smoothing."""
        ...

    def distances(self, student: Array, teacher: Array, batch: Batch, temperature: float) -> Float[Array, "B"]:
        """T^2 KL(teacher_T || student_T) of each example (Hinton et al. 2015, arXiv 1503.02531)."""
        ...

    def right(self, logits: Array, batch: Batch) -> Float[Array, "B"]:
        """Share of each example that is right: 0 or 1 for a class."""
        ...


class Classify:
    """One class an example: logits (B, classes), ``batch["label"]`` (B,)."""

    def __init__(self, unit: str = "example"):
        self.unit = unit

    def losses(self, logits, batch, smoothing=0.0):
        """See ``Task``."""
        return losses.cross_entropies(logits, batch["label"], smoothing)

    def distances(self, student, teacher, batch, temperature):
        """See ``Task``."""
        return losses.distillations(student, teacher, temperature)

    def right(self, logits, batch):
        """See ``Task``."""
        return (jnp.argmax(logits, axis=-1) == batch["label"]).astype(jnp.float32)


class NextWord:
    """The word behind each: logits (B, N, V), ``batch["label"]`` (B, N); ``batch["real"]`` (B, N) counts, if given."""

    unit = "word"

    def losses(self, logits, batch, smoothing=0.0):
        """See ``Task``; the mean over an example's words."""
        found = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        if smoothing:  # the mean over all words of the vocabulary, in that share
            spread = jax.nn.logsumexp(logits, axis=-1) - jnp.mean(logits, axis=-1)
            found = (1.0 - smoothing) * found + smoothing * spread
        return self._mean(found, batch)

    def distances(self, student, teacher, batch, temperature):
        """See ``Task``; the mean over an example's words."""
        return self._mean(losses.distillations(student, teacher, temperature), batch)

    def right(self, logits, batch):
        """See ``Task``."""
        return self._mean((jnp.argmax(logits, axis=-1) == batch["label"]).astype(jnp.float32), batch)

    def _mean(self, of_word: Float[Array, "B N"], batch: Batch) -> Float[Array, "B"]:
        if "real" not in batch:
            return jnp.mean(of_word, axis=-1)
        weight = batch["real"].astype(of_word.dtype)
        return jnp.sum(of_word * weight, axis=-1) / jnp.maximum(jnp.sum(weight, axis=-1), 1.0)


TASKS = {"classify": Classify, "next_word": NextWord}
"""Tasks by name."""


def make_task(name: str, **options: Any) -> Task:
    """The task ``name``.

    Raises:
        SettingError: there is none of that name.
    """
    return choose(TASKS, name, "task")(**options)
