"""DynamicViT's softmax over keys that are dropped softly, every token seeing itself."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.models.kernels.softmax import told
from atis_jax.pruning.stream import Attended
from atis_jax.validation import check_settings, setting

POLICY_EPSILON = 1e-6
"""Of DynamicViT's softmax: what a row's keys share however few of them are kept."""


@dataclasses.dataclass(frozen=True)
class PolicySoftmaxSpec:
    """DynamicViT's softmax, in which a token sees itself whatever its policy: nothing to choose."""

    kind: str = setting("policy_softmax", doc="how attention is computed")

    def __post_init__(self):
        check_settings(self, "kernel")


def policy_softmax(
    logits: Float[Array, "*rows N M"],
    policy: Float[Array, "*#rows #N M"] | None,
    visible: Bool[Array, "*#rows N M"] | None = None,
) -> Float[Array, "*rows N M"]:
    """A_ij = (exp(a_ij - max_k a_ik) P_ij + eps/M) / (sum_k exp(a_ik - max) P_ik + eps), P_ij = 1 if i = j else p_j.

    DynamicViT's softmax while it trains (Rao et al. 2021, arXiv 2106.02034, eq. 11, as the authors' code has it): a
    token always sees itself, the maximum is over dropped keys too, and a dropped key keeps a weight of about eps/M,
    so that a policy has a gradient however small. The last row is the last key's own. Keys that are not ``visible``
    have no weight, and M counts the others.
    """
    rows, keys = logits.shape[-2:]
    itself = jnp.eye(rows, keys, keys - rows, dtype=bool)
    share = jnp.asarray(POLICY_EPSILON / keys, logits.dtype)
    weight = jnp.ones((), logits.dtype) if policy is None else jnp.where(itself, 1.0, policy)
    if visible is not None:
        weight, logits = jnp.where(visible, weight, 0.0), jnp.where(visible, logits, -jnp.inf)
        share = jnp.where(visible, POLICY_EPSILON / jnp.sum(visible, axis=-1, keepdims=True), 0.0)
    weight = weight * jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True))
    return (weight + share) / (jnp.sum(weight, axis=-1, keepdims=True) + POLICY_EPSILON)


@dataclasses.dataclass(frozen=True)
class PolicySoftmax:
    """``policy_softmax`` of Q K^T, the gate its policy; padding counts as dropped.

    Attributes:
        spec: its section.
        secant: unused; every key's gate has the gradient of the formula.
    """

    spec: PolicySoftmaxSpec = PolicySoftmaxSpec()
    secant: bool = False

    def __call__(
        self, q, k, v, visible, gate, *, rows=None, needs=(), chip=None, environment=None, key=None
    ) -> tuple[Float[Array, "B H N K"], Attended]:
        """See ``Kernel``."""
        del chip, environment, key
        attention = policy_softmax(jnp.einsum("bhnk,bhmk->bhnm", q, k), gate, visible)
        return jnp.einsum("bhnm,bhmk->bhnk", attention, v), told(attention, rows, needs)
