"""What one example costs with tokens pruned: the network's part, which is the same for every method."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from atis_jax.energy.baselines import dense_ledger
from atis_jax.energy.components.memory import byte_j, scorer_byte_j
from atis_jax.energy.components.projection import FORMAT_BYTES, mac_of_format_j
from atis_jax.energy.ledger import Ledger, with_network
from atis_jax.energy.shapes import NetworkShape, TokenCounts, all_tokens
from atis_jax.energy.spec import EnergySpec
from atis_jax.validation import choose

_LEAVES = {"before_attention": (False, False), "before_mlp": (True, False), "after_feed": (True, True)}
"""Whether what a site removes has been through the layer's attention, and through its MLP."""


@dataclasses.dataclass(frozen=True)
class Bill:
    """Prices and shapes; every method adds its own lines (``Method.bill``), none is charged nothing by default.

    Attributes:
        energy: what is charged.
        network: shape of the network.
        layers: (L,) which layers have a scorer.
        length: tokens of the example that may be pruned, where it is not as long as ``network`` says; may be traced.
    """

    energy: EnergySpec
    network: NetworkShape
    layers: tuple[bool, ...]
    length: Float[Array, ""] | None = None

    def tokens(self, kept: Float[Array, "L"], site: str = "before_attention") -> TokenCounts:
        """Counts at kept fractions ``kept`` (after each layer): a layer scores what the one before left.

        Args:
            kept: fractions.
            site: where in the layer the others leave (``scoring.method.SITES``).
        """
        whole = self._everyone()
        count = kept * whole
        incoming = jnp.concatenate([whole[:1], count[:-1]])
        attention, mlp = choose(_LEAVES, site, "method.site")
        return TokenCounts(incoming, incoming if attention else count, fed=incoming if mlp else count)

    def dense(self) -> Ledger:
        """The network with every token, and exact attention."""
        everyone = self._everyone()
        tokens = TokenCounts(everyone, everyone)
        exact = dataclasses.replace(self.network, attention=None)
        return dense_ledger(self.energy.prices(), exact, self.energy.memory(), tokens)

    def _everyone(self) -> Float[Array, "L"]:
        """Every token in every layer."""
        return all_tokens(self.network) if self.length is None else jnp.full((self.network.depth,), self.length)

    def of_each(
        self,
        bill: Callable[[Bill, Float[Array, "L"]], Ledger],
        counted: Int[Array, "n"] | np.ndarray,
        kept: Int[Array, "n L"] | np.ndarray,
    ) -> Ledger:
        """What examples of different lengths cost, each at its own: one ledger of leaves (n,).

        Attention is quadratic in the length, so that the cost of the mean length is not the mean cost.

        Args:
            bill: from prices and kept fractions of one example to its ledger, such as a method's.
            counted: tokens of each that may be pruned.
            kept: of these, those that are left after each layer.
        """

        def one(length: Float[Array, ""], kept: Float[Array, "L"]) -> Ledger:
            return bill(dataclasses.replace(self, length=length), kept / jnp.maximum(length, 1.0))

        return jax.jit(jax.vmap(one))(jnp.asarray(counted, float), jnp.asarray(kept, float))

    def unscored(self, kept: Float[Array, "L"]) -> Ledger:
        """With fewer tokens, chosen at no cost."""
        return self.scored(kept)

    def scored(self, kept: Float[Array, "L"], site: str = "before_attention", **scoring: Float[Array, ""]) -> Ledger:
        """With fewer tokens, and what choosing them costs.

        Args:
            kept: fractions after each layer.
            site: where in the layer the others leave.
            **scoring: lines of ``energy.ledger.SCORING_LINES`` with their ``_j``.
        """
        prices, memory = self.energy.prices(), self.energy.memory()
        return with_network(prices, self.network, None, self.tokens(kept, site), memory, False, **scoring)

    @property
    def has_scorer(self) -> Float[Array, "L"]:
        """1 for layers with a scorer, 0 for others."""
        return jnp.asarray(self.layers, float)

    @property
    def mac_j(self) -> float:
        """A multiply-accumulate of a score, in ``energy.score_format``."""
        return mac_of_format_j(self.energy.prices(), self.energy.score_format)

    def weights_j(self, numbers: Float[Array, "L"]) -> Float[Array, ""]:
        """Reading ``numbers`` weights a layer of a method's own, once a batch, from the smallest memory for them."""
        memory = self.energy.memory()
        total = jnp.sum(numbers) * choose(FORMAT_BYTES, self.energy.score_format, "energy.score_format")
        return total * scorer_byte_j(self.energy.prices(), memory, total) / memory.batch

    @property
    def exponential_j(self) -> float:
        """One exponential, logarithm, root or GELU; nothing unless ``energy.exponentials``."""
        return self.energy.prices().charged_exponential_j

    @property
    def number_j(self) -> float:
        """Moving one number of a token in or out of memory."""
        return self.energy.prices().network_bytes * byte_j(self.energy.prices(), self.energy.tokens)
