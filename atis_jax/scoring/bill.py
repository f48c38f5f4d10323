"""What one example costs with tokens pruned: the network's part, which is the same for every method."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.baselines import dense_ledger
from atis_jax.energy.ledger import Ledger
from atis_jax.energy.shapes import NetworkShape, Tokens
from atis_jax.energy.spec import EnergySpec


@dataclasses.dataclass(frozen=True)
class Bill:
    """Prices and shapes; every method adds its own lines (``Method.bill``), none is charged nothing by default.

    Attributes:
        energy: what is charged.
        network: shape of the network.
        layers: (L,) which layers have a scorer.
    """

    energy: EnergySpec
    network: NetworkShape
    layers: tuple[bool, ...]

    def tokens(self, kept: Float[Array, "L"]) -> Tokens:
        """Counts at kept fractions ``kept`` (after each layer): a layer scores what the one before left."""
        count = kept * self.network.tokens
        return Tokens(jnp.concatenate([jnp.full((1,), float(self.network.tokens)), count[:-1]]), count)

    def dense(self) -> Ledger:
        """The network with every token."""
        return dense_ledger(self.energy.prices(), self.network, self.energy.memory())

    def unscored(self, kept: Float[Array, "L"]) -> Ledger:
        """With fewer tokens, chosen at no cost."""
        return dense_ledger(self.energy.prices(), self.network, self.energy.memory(), self.tokens(kept))
