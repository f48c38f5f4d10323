"""Pairs chosen by scores of few bits that share their charge, then exact attention over those that stay.

After Moradifirouzabadi et al. 2024 (arXiv 2409.04940): a charge-based SRAM core computes approximate scores of queries
and keys, a comparator drops three quarters of them, a digital processor computes the rest precisely. The abstract is
what could be read; every law below that it does not state is our choice:

- q and k are rounded to B bits, 2^(B-1) - 1 equal steps either side, of full scales fitted head by head to least
  squared error on examples;
- the array computes V_ij = V_fs sum_d c_jd a_id b_jd / sum_d c_jd of the codes' fractions a, b in [-1, 1]: charge
  shared by K capacitors c_jd = 1 + error, drawn at fabrication, a cell for each place j of the sequence;
- noise of sharing is k T / (K C) of the K unit capacitors, drawn anew for each pair;
- a comparator for each place and head has an offset of its own;
- pair (i, j) stays if V_ij is above the threshold, or the row's largest: a threshold a layer, given, or fitted so that
  a wanted share of the pairs of the examples stays.

Exact logits decide no pair, and approximate ones weigh none; with ``exact`` False they do, behind a converter of
``SCORE_BITS`` that we charge and do not round by. Shape suffixes: B examples, H heads, N query rows, M keys,
K head width, T tokens of a full sequence, A = B H.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.attention.charge_domain import ChargeDomainCircuit
from atis_jax.energy.constants.attention import CHARGE_UNIT
from atis_jax.models.kernels.circuit import (
    ArrayShape,
    Circuit,
    Place,
    Seen,
    by_head,
    full_scale,
    open_pairs,
    quantised,
)
from atis_jax.models.kernels.pair_threshold import above
from atis_jax.models.kernels.softmax import mix
from atis_jax.numerics import pytree
from atis_jax.typing import Key
from atis_jax.units import BOLTZMANN_J_PER_K, NOMINAL_TEMPERATURE_K
from atis_jax.validation import check_settings, setting


@dataclasses.dataclass(frozen=True)
class ChargeDomainSpec:
    """Scores of few bits by charge sharing, a threshold, exact attention over the pairs that stay."""

    kind: str = setting("charge_domain", doc="how attention is computed")
    bits: int = setting(4, low=2, high=16, doc="of queries and keys in the array, sign included")
    kept_pairs: float = setting(
        0.25,
        low=0.0,
        high=1.0,
        exclusive_low=True,
        doc="share of the pairs that the threshold of each layer is fitted to; the paper prunes 75 % on average",
    )
    threshold: float | None = setting(None, doc="of the logit in every layer; None: fitted to kept_pairs")
    exact: bool = setting(True, doc="pairs that stay are computed again; else their approximate scores weigh them")
    supply_v: float = setting(1.0, low=0.1, high=5.0, doc="volts at full scale")
    capacitor_error: float = setting(0.01, low=0.0, high=0.5, doc="spread of a cell's capacitor, relative")
    offset_v: float = setting(0.002, low=0.0, high=0.5, doc="spread of the comparators' offsets, volts")

    def __post_init__(self):
        check_settings(self, "kernel")


@pytree
class ChargeDomainDesign:
    """What it is fitted to.

    Attributes:
        q_scale, k_scale: (H,) full scales of queries and keys.
        threshold: () of the logit.
        share: () of the examples' pairs that stay.
    """

    q_scale: Float[Array, "H"]
    k_scale: Float[Array, "H"]
    threshold: Float[Array, ""]
    share: Float[Array, ""]


@pytree
class ChargeDomainChip:
    """What fabrication gave.

    Attributes:
        capacitor_error: (T, H, K) relative.
        offset_v: (T, H) of the comparators.
    """

    capacitor_error: Float[Array, "T H K"]
    offset_v: Float[Array, "T H"]


@dataclasses.dataclass(frozen=True)
class ChargeDomain(Circuit):
    """See the module.

    Attributes:
        spec: its section.
        secant: which gradient a pruned key's gate has.
    """

    spec: ChargeDomainSpec = ChargeDomainSpec()
    secant: bool = False

    @property
    def steps(self) -> int:
        """Levels either side of zero."""
        return 2 ** (self.spec.bits - 1) - 1

    def begin(self, key: Key, seen: Seen) -> ChargeDomainDesign:
        """Full scales, and the threshold at which the wanted share of the pairs stays; nothing is drawn."""
        scale = jax.vmap(full_scale, (0, 0, None))
        q_scale = scale(by_head(seen.q), by_head(seen.row[..., None])[..., 0], self.steps)
        k_scale = scale(by_head(seen.k), by_head(seen.key[..., None])[..., 0], self.steps)
        q, k = (self.rounded(x, s[:, None, None]) for x, s in ((seen.q, q_scale), (seen.k, k_scale)))
        score = jnp.einsum("bhnk,bhmk->bhnm", q, k)
        if self.spec.threshold is None:
            wanted = jnp.where(seen.pair, score, jnp.nan)
            threshold = jnp.nanquantile(wanted, 1.0 - self.spec.kept_pairs)
        else:
            threshold = jnp.asarray(self.spec.threshold, score.dtype)
        stay = above(threshold, score, seen.pair) & seen.pair
        return ChargeDomainDesign(q_scale, k_scale, threshold, jnp.sum(stay) / jnp.maximum(jnp.sum(seen.pair), 1))

    def sample_chip(self, key: Key, shape: ArrayShape) -> ChargeDomainChip:
        """See ``Circuit``."""
        of_cells, of_comparators = jax.random.split(key)
        return ChargeDomainChip(
            self.spec.capacitor_error * jax.random.normal(of_cells, (shape.tokens, shape.heads, shape.width)),
            self.spec.offset_v * jax.random.normal(of_comparators, (shape.tokens, shape.heads)),
        )

    def attend(self, q, k, v, visible, gate, rows, needs, place: Place):
        """See ``Circuit``."""
        score = self.score(q, k, place).reshape(-1, q.shape[2], k.shape[2])
        stay = above(place.design.threshold, score, open_pairs(q, k, visible, gate))
        own = None if self.spec.exact else score
        return mix(q, k, v, visible, gate, rows, needs, self.secant, lambda logits, open_: stay, own)

    def rounded(self, x: Float[Array, "B H N K"], scale: Float[Array, "H 1 1"]) -> Float[Array, "B H N K"]:
        """To the bits of the array."""
        return quantised(x, scale, self.steps)

    def score(self, q: Float[Array, "B H N K"], k: Float[Array, "B H M K"], place: Place) -> Float[Array, "B H N M"]:
        """What the comparators see, as a logit: their voltage over the full scale, times K q_scale k_scale."""
        design, chip, spec = place.design, place.chip, self.spec
        width = q.shape[-1]
        q = self.rounded(q, design.q_scale[:, None, None])
        k = self.rounded(k, design.k_scale[:, None, None])
        per_volt = (width * design.q_scale * design.k_scale / spec.supply_v)[:, None, None]
        offset: Any = 0.0
        if chip is not None:
            where = place.slots(k.shape[2])
            cell = 1.0 + jnp.moveaxis(chip.capacitor_error[where], -2, -3)  # (B or none) H M K
            k = k * cell / jnp.mean(cell, axis=-1, keepdims=True)
            offset = jnp.moveaxis(chip.offset_v[where], -1, -2)[..., None, :] * per_volt
        score = jnp.einsum("bhnk,bhmk->bhnm", q, k) + offset
        if place.key is None:
            return score
        kelvin = NOMINAL_TEMPERATURE_K if place.environment is None else place.environment.temperature_k
        sigma_v = jnp.sqrt(BOLTZMANN_J_PER_K * kelvin / (width * CHARGE_UNIT.value))
        return score + place.of_pairs("share", q.shape[1]) * (sigma_v * per_volt)

    def circuit(self, design: Any = None) -> ChargeDomainCircuit:
        """See ``Circuit``; without a design the wanted share."""
        pairs = fitted_share(design, self.spec.kept_pairs)
        return ChargeDomainCircuit(pairs=pairs, bits=self.spec.bits, exact=self.spec.exact)


def fitted_share(design: Any, wanted: float) -> float | tuple[float, ...]:
    """Share of the pairs that stays in each layer; as wanted where nothing was fitted, or it is traced."""
    if design is None or isinstance(design.share, jax.core.Tracer):
        return wanted
    return tuple(float(share) for share in design.share)


__all__ = ["ChargeDomain", "ChargeDomainChip", "ChargeDomainDesign", "ChargeDomainSpec"]
