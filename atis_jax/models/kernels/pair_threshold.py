"""Attention over the query-key pairs whose exact logit reaches a threshold."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.models.kernels.softmax import mix
from atis_jax.pruning.stream import Attended
from atis_jax.validation import check_settings, setting


@dataclasses.dataclass(frozen=True)
class PairThresholdSpec:
    """Softmax over the query-key pairs whose exact logit reaches a threshold; the others weigh nothing."""

    kind: str = setting("pair_threshold", doc="how attention is computed")
    threshold: float = setting(0.0, doc="logit below which a query-key pair is pruned")

    def __post_init__(self):
        check_settings(self, "kernel")


@dataclasses.dataclass(frozen=True)
class PairThreshold:
    """Softmax over the query-key pairs whose logit reaches a threshold; the others weigh nothing.

    Pair (i, j) stays if a_ij >= min(threshold, max_j a_ij), a_ij = q_i . k_j / sqrt(K): what one comparator behind each
    product decides. The maximum is over the keys that the row may see and whose gate is open, so a row that sees any
    keeps one at least. Hard, without a gradient of the threshold. The rule of LeOPArd (Li et al. 2022, arXiv
    2204.03227), whose thresholds are learned, one a layer.

    Attributes:
        spec: its section.
        secant: which gradient a pruned key's gate has.
    """

    spec: PairThresholdSpec = PairThresholdSpec()
    secant: bool = False

    def __call__(self, q, k, v, visible, gate, *, rows=None, needs=()) -> tuple[Float[Array, "B H N K"], Attended]:
        """See ``Kernel``."""
        return mix(q, k, v, visible, gate, rows, needs, self.secant, self.keeps)

    def keeps(self, logits: Float[Array, "A N M"], open_: Bool[Array, "A N M"]) -> Bool[Array, "A N M"]:
        """Pairs that stay."""
        return above(self.spec.threshold, logits, open_)


def above(
    threshold: Float[Array, "A 1 1"] | float, score: Float[Array, "A N M"], open_: Bool[Array, "A N M"]
) -> Bool[Array, "A N M"]:
    """Pairs whose score reaches the threshold, or is the largest of their row's open ones."""
    largest = jnp.max(jnp.where(open_, score, -jnp.inf), axis=-1, keepdims=True)
    return score >= jnp.minimum(threshold, largest)
