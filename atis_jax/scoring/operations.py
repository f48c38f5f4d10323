"""Multiply-accumulates that an example costs a method, its own included: the ledger with every product priced at one.

What a method adds in additions, comparisons, sorting and bytes is no multiply-accumulate, and stands in its bill alone
(``Method.bill``). An analog score costs none; the projection in front of it does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.presets import ENTRIES, EnergyPreset
from atis_jax.energy.spec import EnergySpec
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Method

PRODUCTS = ("network_mac_j", "score_mac_j", "score_mac_int4_j", "score_mac_fp16_j")
"""Entries of an energy preset that are the price of one multiply-accumulate."""
SMALLEST_POWER, LARGEST_POWER, HALVINGS = 0.0, 64.0, 60


@dataclasses.dataclass(frozen=True)
class Counted(EnergySpec):
    """The section ``energy`` with prices that count."""

    def prices(self) -> EnergyPreset:
        """One for a multiply-accumulate, nothing for all else."""
        free: dict[str, Any] = dict.fromkeys(ENTRIES, 0.0) | dict.fromkeys(PRODUCTS, 1.0)
        return dataclasses.replace(super().prices(), **free)


def counting(costs: Bill) -> Bill:
    """The bill whose ledgers are multiply-accumulates."""
    fields = {field.name: getattr(costs.energy, field.name) for field in dataclasses.fields(EnergySpec)}
    return dataclasses.replace(costs, energy=Counted(**fields))


def operations(
    method: Method, costs: Bill, design: Any, state: Any, kept: Float[Array, "L"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Multiply-accumulates of one example: with the method at these kept fractions, and of the dense network.

    Args:
        method: what chooses.
        costs: prices, which do not matter, and shapes.
        design: of every layer.
        state: likewise.
        kept: fractions after each layer.
    """
    counted = counting(costs)
    return method.bill(counted, kept, design, state).total_j, counted.dense().total_j


def kept_at(
    share: float, shape: tuple[float, ...], of: Callable[[Float[Array, "L"]], Float[Array, ""]]
) -> tuple[float, ...]:
    """The cascade ``shape ** p`` with which a method does ``share`` of the dense network's operations.

    Args:
        share: wanted.
        shape: kept fraction after each layer; what is one stays one.
        of: share of the operations by kept fractions, rising with each.

    Raises:
        ValueError: no power of the shape does; names the shares in reach.
    """
    form, low, high = jnp.asarray(shape), SMALLEST_POWER, LARGEST_POWER
    most, least = float(of(form**low)), float(of(form**high))
    if not least <= share <= most:
        raise ValueError(f"a share of {share:g} of the operations is out of reach: {least:.3f} to {most:.3f} are")
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if float(of(form**middle)) > share else (low, middle)
    return tuple(float(one) for one in form ** (0.5 * (low + high)))
