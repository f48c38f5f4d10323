"""SnapKV: what the last few words attend to, smoothed along the text."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from atis_jax.eviction.policy import Policy, by_key_head
from atis_jax.validation import SettingError, check_settings, setting

_POOLED = {"mean": (0.0, jax.lax.add), "max": (-jnp.inf, jax.lax.max)}


@dataclasses.dataclass(frozen=True)
class SnapKV(Policy):
    """Attention from a window of last rows, pooled over neighbours in the text (Li et al. 2024, arXiv 2404.14469).

    In the paper the window itself stays whatever the budget. Here a budget protects alike for all, so a word inside is
    scored by the mean over the rows that see it.

    Attributes:
        window: last rows that are read; 32, neighbours 5 and their mean are the released code's.
        kernel: neighbours that are pooled, odd.
        pooling: their mean, or the largest.

    Raises:
        SettingError: an even kernel.
    """

    window: int = setting(32, low=1, high=4096, doc="last query rows that are read")
    kernel: int = setting(5, low=1, high=255, doc="neighbours in the text that are pooled; odd")
    pooling: str = setting("mean", choices=tuple(_POOLED), doc="mean of the neighbours, or the largest")
    site = "attention"

    def __post_init__(self):
        check_settings(self, "policy")
        if self.kernel % 2 == 0:
            raise SettingError(f"policy.kernel = {self.kernel} must be odd: as many neighbours on either side")

    def rows(self, prefix, words):
        """The window at the end of the prefix."""
        place = jnp.arange(words)
        return ((place < prefix) & (place >= prefix - self.window)).astype(jnp.float32)

    def score(self, params, seen, attention, key):
        """See ``Policy``."""
        rows = jnp.minimum(self.window, jnp.arange(seen.words, 0, -1))
        received = by_key_head(attention, seen.heads) / rows
        before, inside = jnp.split(received, [max(seen.words - self.window, 0)], axis=-1)
        start, together = _POOLED[self.pooling]
        pooled = jax.lax.reduce_window(before, start, together, (1, 1, self.kernel), (1, 1, 1), "SAME")
        return jnp.concatenate([pooled / (self.kernel if self.pooling == "mean" else 1), inside], axis=-1)
