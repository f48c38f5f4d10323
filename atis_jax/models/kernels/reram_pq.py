"""Keys ranked by product-quantised relevance from tables in ReRAM, then exact attention over the first of each row.

After Liu S. et al., HARDSEA, TVLSI 2024 (doi 10.1109/tvlsi.2023.3337777): an analog ReRAM macro predicts the relevance
of tokens by product quantisation, of which only the order matters, a winner-take-all circuit in time ranks without
converters, and exact sparse attention follows in SRAM. The abstract is what could be read; our choices are:

- a head's width is cut into S sub-vectors, each rounded to the nearest of C codewords: k-means of the queries and of
  the keys of examples, fixed from then on;
- a table of C x C conductances for each head and sub-vector holds the products of a query's and a key's codewords,
  shifted and scaled into G_max / ``on_off`` .. G_max, head by head: neither shift nor scale changes an order;
- each conductance has a lognormal error, drawn at fabrication;
- relevance is the sum of the S conductances that two codes choose, read with noise relative to S G_max;
- the first ceil(kept_pairs x open keys) keys of a row stay; of equal ones the key in front.

Shape suffixes: B examples, H heads, N query rows, M keys, K head width, S sub-vectors, C codewords, W = K / S.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.energy.attention.reram_pq import ReramPqCircuit
from atis_jax.models.kernels.circuit import ArrayShape, Circuit, Place, Seen, by_head, open_pairs
from atis_jax.models.kernels.softmax import mix
from atis_jax.numerics import pytree
from atis_jax.typing import Int, Key
from atis_jax.validation import SettingError, check_settings, setting

ROUNDS = 10
"""Of k-means."""
SHARE_ROUNDING = 1e-4
"""Of a token: a count that is whole in exact arithmetic is not rounded up for an error of float32."""


@dataclasses.dataclass(frozen=True)
class ReramPqSpec:
    """Keys ranked by product-quantised relevance from tables in ReRAM, exact attention over the first of each row."""

    kind: str = setting("reram_pq", doc="how attention is computed")
    subvectors: int = setting(8, low=1, high=256, doc="S of a head's width; must divide it")
    codes: int = setting(16, low=2, high=256, doc="codewords of a sub-vector, of queries as of keys")
    kept_pairs: float = setting(
        0.25,
        low=0.0,
        high=1.0,
        exclusive_low=True,
        doc="share of each row's keys that stays, rounded up; the paper's networks stand 0.12 to 0.33",
    )
    error: float = setting(0.1, low=0.0, high=2.0, doc="deviation of the logarithm of a conductance")
    read_noise: float = setting(0.005, low=0.0, high=1.0, doc="of a relevance, over S conductances at their largest")
    on_off: float = setting(10.0, low=1.0, exclusive_low=True, high=1e6, doc="largest conductance over the smallest")

    def __post_init__(self):
        check_settings(self, "kernel")


@pytree
class ReramPqDesign:
    """What it is fitted to.

    Attributes:
        q_code, k_code: (H, S, C, W) codewords.
    """

    q_code: Float[Array, "H S C W"]
    k_code: Float[Array, "H S C W"]


@dataclasses.dataclass(frozen=True)
class ReramPq(Circuit):
    """See the module.

    Attributes:
        spec: its section.
        secant: which gradient a pruned key's gate has.
    """

    spec: ReramPqSpec = ReramPqSpec()
    secant: bool = False

    def begin(self, key: Key, seen: Seen) -> ReramPqDesign:
        """Codewords.

        Raises:
            SettingError: the sub-vectors do not divide a head's width.
        """
        width, parts = seen.q.shape[-1], self.spec.subvectors
        if width % parts:
            raise SettingError(
                f"kernel.subvectors = {parts} does not divide a head's width of {width}; choose a divisor of it"
            )
        of_q, of_k = jax.random.split(key)
        return ReramPqDesign(self._codewords(of_q, seen.q, seen.row), self._codewords(of_k, seen.k, seen.key))

    def sample_chip(self, key: Key, shape: ArrayShape) -> Float[Array, "H S C C"]:
        """Logarithms of the conductances' errors."""
        codes = self.spec.codes
        return self.spec.error * jax.random.normal(key, (shape.heads, self.spec.subvectors, codes, codes))

    def attend(self, q, k, v, visible, gate, rows, needs, place: Place):
        """See ``Circuit``."""
        open_ = open_pairs(q, k, visible, gate)
        relevance = self.relevance(q, k, place).reshape(open_.shape)
        stay = first(relevance, open_, self.spec.kept_pairs)
        return mix(q, k, v, visible, gate, rows, needs, self.secant, lambda logits, open_: stay)

    def relevance(self, q: Float[Array, "B H N K"], k: Float[Array, "B H M K"], place: Place):
        """(B, H, N, M) sums of conductances, over the largest."""
        table = self.conductance(place.design)
        if place.chip is not None:
            table = table * jnp.exp(place.chip)
        of_query = jax.nn.one_hot(nearest(q, place.design.q_code), self.spec.codes, dtype=table.dtype)
        of_key = jax.nn.one_hot(nearest(k, place.design.k_code), self.spec.codes, dtype=table.dtype)
        row = jnp.einsum("bhnsc,hsce->bhnse", of_query, table)
        found = jnp.einsum("bhnse,bhmse->bhnm", row, of_key)
        if place.key is None:
            return found
        return found + place.of_pairs("read", q.shape[1]) * (self.spec.read_noise * self.spec.subvectors)

    def conductance(self, design: ReramPqDesign) -> Float[Array, "H S C C"]:
        """As programmed, over the largest."""
        product = jnp.einsum("hscw,hsew->hsce", design.q_code, design.k_code)
        low, high = (edge(product, axis=(1, 2, 3), keepdims=True) for edge in (jnp.min, jnp.max))
        off = 1.0 / self.spec.on_off
        return off + (1.0 - off) * (product - low) / jnp.maximum(high - low, 1e-9)

    def circuit(self, design: Any = None) -> ReramPqCircuit:
        """See ``Circuit``; the share is the wanted one, whatever it is fitted to."""
        del design
        return ReramPqCircuit(self.spec.kept_pairs, self.spec.subvectors, self.spec.codes)

    def _codewords(self, key: Key, x: Float[Array, "B H N K"], counts: Bool[Array, "B H N"]):
        vectors, real = by_head(x), by_head(counts[..., None])[..., 0]
        cut = jnp.moveaxis(vectors.reshape(*vectors.shape[:2], self.spec.subvectors, -1), 2, 1)  # H S n W
        keys = jax.random.split(key, cut.shape[:2])
        of_parts = jax.vmap(k_means, (0, 0, None, None))
        return jax.lax.map(lambda here: of_parts(here[0], here[1], here[2], self.spec.codes), (keys, cut, real))


def nearest(x: Float[Array, "B H N K"], code: Float[Array, "H S C W"]) -> Int[Array, "B H N S"]:
    """Number of each sub-vector's nearest codeword."""
    cut = x.reshape(*x.shape[:3], code.shape[1], -1)
    inner = jnp.einsum("bhnsw,hscw->bhnsc", cut, code)
    return jnp.argmin(jnp.sum(jnp.square(code), axis=-1)[None, :, None] - 2.0 * inner, axis=-1)


def first(relevance: Float[Array, "A N M"], open_: Bool[Array, "A N M"], share: float) -> Bool[Array, "A N M"]:
    """The ``share`` of each row's open keys, rounded up, that are most relevant; of equal ones those in front."""
    count = jnp.ceil(share * jnp.sum(open_, axis=-1, keepdims=True) - SHARE_ROUNDING)
    order = jnp.argsort(jnp.where(open_, -relevance, jnp.inf), axis=-1, stable=True)
    return (jnp.argsort(order, axis=-1) < count) & open_


def k_means(key: Key, x: Float[Array, "n W"], counts: Bool[Array, "n"], codes: int) -> Float[Array, "C W"]:
    """Codewords of least squared distance (Lloyd 1982), from vectors drawn at random; one without a vector stays."""
    start = x[jax.random.choice(key, len(x), (codes,), p=counts / jnp.sum(counts))]

    def closer(code, _):
        far = jnp.sum(jnp.square(code), axis=-1) - 2.0 * x @ code.T
        member = jax.nn.one_hot(jnp.argmin(far, axis=-1), codes, dtype=x.dtype) * counts[:, None]
        size = jnp.sum(member, axis=0)[:, None]
        return jnp.where(size > 0, member.T @ x / jnp.maximum(size, 1.0), code), None

    return jax.lax.scan(closer, start, None, ROUNDS)[0]
