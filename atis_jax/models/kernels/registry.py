"""Kernels by name, and the section ``kernel`` of a config."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from atis_jax.models.kernels.charge_domain import ChargeDomain, ChargeDomainSpec
from atis_jax.models.kernels.memristor import Memristor, MemristorSpec
from atis_jax.models.kernels.pair_threshold import PairThreshold, PairThresholdSpec
from atis_jax.models.kernels.policy_softmax import PolicySoftmax, PolicySoftmaxSpec
from atis_jax.models.kernels.reram_pq import ReramPq, ReramPqSpec
from atis_jax.models.kernels.softmax import Kernel, Softmax, SoftmaxSpec
from atis_jax.validation import Kinds, choose

KERNELS: dict[str, Callable[[Any, bool], Kernel]] = {
    "softmax": Softmax,
    "pair_threshold": PairThreshold,
    "policy_softmax": PolicySoftmax,
    "charge_domain": ChargeDomain,
    "reram_pq": ReramPq,
    "memristor": Memristor,
}
"""What makes a kernel of its section, and of which gradient a pruned key's gate has."""
SECTIONS: dict[str, type] = {
    "softmax": SoftmaxSpec,
    "pair_threshold": PairThresholdSpec,
    "policy_softmax": PolicySoftmaxSpec,
    "charge_domain": ChargeDomainSpec,
    "reram_pq": ReramPqSpec,
    "memristor": MemristorSpec,
}
"""The section of each."""
KINDS = Kinds(SECTIONS, default="softmax")
"""What the section ``kernel`` of a config may be."""


def make_kernel(spec: Any, secant: bool = False) -> Kernel:
    """The kernel that ``spec.kind`` names.

    Raises:
        SettingError: there is none of that name.
    """
    return choose(KERNELS, spec.kind, "kernel.kind")(spec, secant)
