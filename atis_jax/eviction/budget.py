"""How much of a prefix stays: what is protected whoever chooses, and a choice by scores, by rank or by threshold.

Shape suffixes: L layers, B texts, G scores of a word (one, or one a key head), N words of the prefix.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.validation import SettingError, check_settings, setting


@dataclasses.dataclass(frozen=True)
class Budget:
    """A share of the prefix, and the words that every policy keeps.

    Attributes:
        share: of the prefix's words that stay, protected ones among them.
        sinks: first words, always kept: attention rests on them (Xiao et al. 2023, arXiv 2309.17453).
        recent: last words, always kept.

    Raises:
        SettingError: a field is out of range.
    """

    share: float = setting(0.25, low=0.0, high=1.0, exclusive_low=True, doc="share of the words that stay")
    sinks: int = setting(4, low=0, high=10_000, doc="first words, always kept")
    recent: int = setting(16, low=0, high=100_000, doc="last words, always kept")

    def __post_init__(self):
        check_settings(self, "budget")

    def protected(self, words: int) -> Bool[Array, "N"]:
        """Which of so many words are kept whatever their score."""
        place = jnp.arange(words)
        return (place < self.sinks) | (place >= words - self.recent)

    def kept(self, words: int) -> int:
        """How many of so many words stay.

        Raises:
            SettingError: no more than the protected ones.
        """
        kept = round(self.share * words)
        if kept <= self.sinks + self.recent:
            raise SettingError(
                f"budget.share = {self.share} of {words} words keeps {kept}, and budget.sinks = {self.sinks} with "
                f"budget.recent = {self.recent} are protected already; lower these, or raise the share"
            )
        return kept

    def free_share(self, words: int) -> float:
        """Share of the words that are not protected which stay."""
        protected = min(self.sinks + self.recent, words)
        return (self.kept(words) - protected) / max(words - protected, 1)


def highest(score: Float[Array, "*s N"], budget: Budget) -> Bool[Array, "*s N"]:
    """The protected words and those that score highest, as many as the budget holds; of equal ones the earlier."""
    words = score.shape[-1]
    order = jnp.argsort(jnp.where(budget.protected(words), -jnp.inf, -score), axis=-1, stable=True)
    return jnp.argsort(order, axis=-1, stable=True) < budget.kept(words)


def above(score: Float[Array, "L B G N"], threshold: Float[Array, "L #G"], budget: Budget) -> Bool[Array, "L B G N"]:
    """The protected words and those whose score exceeds a threshold, however many."""
    return budget.protected(score.shape[-1]) | (score > threshold[:, None, :, None])


def thresholds(score: Float[Array, "L B G N"], budget: Budget, each: bool = True) -> Float[Array, "L #G"]:
    """The thresholds above which, over all these texts, the budget's share of the words lies.

    Args:
        score: of texts to set them on.
        budget: what is to stay; protected words do not count.
        each: a threshold for every score of a word; else one a layer for all.
    """
    words = score.shape[-1]
    free = score[..., budget.sinks : words - budget.recent]
    depth, _, groups, _ = score.shape
    pooled = jnp.moveaxis(free, 2, 1).reshape(depth, groups if each else 1, -1)
    return jnp.quantile(pooled, 1.0 - budget.free_share(words), axis=-1)


def kept_share(keep: Bool[Array, "L B G N"]) -> Float[Array, "B"]:
    """Share of a text's cache entries that stay, over layers, heads and words."""
    return jnp.mean(keep, axis=(0, 2, 3))
