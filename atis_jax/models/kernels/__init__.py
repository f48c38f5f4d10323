"""How attention is computed, given queries, keys and values: one file a circuit or an algorithm."""

from atis_jax.models.kernels.pair_threshold import PairThreshold, PairThresholdSpec
from atis_jax.models.kernels.policy_softmax import policy_softmax
from atis_jax.models.kernels.registry import KERNELS, KINDS, SECTIONS, make_kernel
from atis_jax.models.kernels.softmax import (
    BLOCK,
    PRUNED_HEADROOM,
    Kernel,
    Softmax,
    SoftmaxSpec,
    gated_softmax,
    in_blocks,
    mix,
    told,
)

__all__ = [
    "BLOCK",
    "KERNELS",
    "KINDS",
    "PRUNED_HEADROOM",
    "SECTIONS",
    "Kernel",
    "PairThreshold",
    "PairThresholdSpec",
    "Softmax",
    "SoftmaxSpec",
    "gated_softmax",
    "in_blocks",
    "make_kernel",
    "mix",
    "policy_softmax",
    "told",
]
