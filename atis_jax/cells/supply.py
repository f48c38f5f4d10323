"""What the built circuit draws from its supply: amperes, from the bias currents and the branches of its cells."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.library import COMPARATOR, COMPARATOR_CURRENT_A, OP_AMP, OTA, op_amp_current_a
from atis_jax.validation import choose

_BIAS_BRANCHES = {"floating_gate": False, "netlisted": True}
BIASES = tuple(_BIAS_BRANCHES)
"""How an OTA gets its bias current: from the gate of a transistor that holds charge, or as in the netlist from a source
and a diode an OTA, which draw it once more."""


def array_supply_a(array_current_a: Float[Array, "*s"] | float, bias: str) -> Float[Array, "*s"]:
    """All OTAs at a node, A: the sum of their bias currents, twice with a bias branch each.

    A mean over inputs: an OTA's mirror draws 1 + f(x) of its bias current, f the transfer law.

    Args:
        array_current_a: sum of the bias currents, A.
        bias: one of ``BIASES``.
    """
    return OTA.supply_share(bias_branch=choose(_BIAS_BRANCHES, bias, "bias")) * jnp.asarray(array_current_a)


def op_amp_supply_a(array_current_a: Float[Array, "*s"] | float) -> Float[Array, "*s"]:
    """The op-amp at a node, A: its bias, its pair and its output stage, each of ``op_amp_current_a``.

    Args:
        array_current_a: sum of the bias currents of the OTAs at the node, A.
    """
    return OP_AMP.supply_share() * op_amp_current_a(array_current_a)


def comparator_supply_a() -> float:
    """One comparator, A: five branches of its bias current."""
    return COMPARATOR.supply_share() * COMPARATOR_CURRENT_A
