"""Attention computed in memristor crossbars: keys and values as quantised conductances, no pair left out.

After Bettayeb et al., Scientific Reports 14:24173, 2024 (doi 10.1038/s41598-024-75021-z), which the ATIS paper calls
Wang: a memristor accelerator for the products of self-attention, simulated with NeuroSim 3.0. The abstract is what
could be read (95.47 % on MNIST, about ten times fewer multiply-accumulates); our choices are:

- the two products Q K^T and A V are in crossbars, the maps to Q, K and V and the softmax in digital;
- a number is the difference of two cells, one for each sign, of ``levels`` equal conductances from G_max / ``on_off``
  to G_max; full scales of queries, keys and values are fitted head by head to least squared error on examples;
- a conductance has a lognormal error that its device has for good, and another that each write draws anew;
- queries and attention weights come in through converters of ``input_bits``, scores and mixed values leave through
  ones of ``output_bits``, whose full scales are the largest of the examples.

Shape suffixes: B examples, H heads, N query rows, M keys, K head width, T tokens of a full sequence.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.attention.memristor import MemristorCircuit
from atis_jax.models.kernels.circuit import ArrayShape, Circuit, Place, Seen, by_head, full_scale, quantised
from atis_jax.models.kernels.softmax import gated_softmax, per_head, told
from atis_jax.numerics import pytree, round_straight_through
from atis_jax.typing import Key
from atis_jax.validation import check_settings, setting

SIGNS = 2
"""Cells of a number."""


@dataclasses.dataclass(frozen=True)
class MemristorSpec:
    """Both products of attention in memristor crossbars, every pair; keys and values are written for each example."""

    kind: str = setting("memristor", doc="how attention is computed")
    levels: int = setting(16, low=2, high=65_536, doc="conductances of a cell")
    input_bits: int = setting(8, low=2, high=16, doc="of queries, sign included, and of attention weights")
    output_bits: int = setting(8, low=2, high=16, doc="of scores and mixed values, sign included")
    device_error: float = setting(0.05, low=0.0, high=2.0, doc="deviation of ln G that a cell has for good")
    write_error: float = setting(0.05, low=0.0, high=2.0, doc="deviation of ln G that each write draws anew")
    on_off: float = setting(10.0, low=1.0, exclusive_low=True, high=1e6, doc="largest conductance over the smallest")

    def __post_init__(self):
        check_settings(self, "kernel")


@pytree
class MemristorDesign:
    """What it is fitted to: full scales, head by head.

    Attributes:
        q_scale, k_scale, v_scale: (H,) of queries, keys and values.
        score_scale: (H,) of the converters behind Q K^T, a logit.
    """

    q_scale: Float[Array, "H"]
    k_scale: Float[Array, "H"]
    v_scale: Float[Array, "H"]
    score_scale: Float[Array, "H"]


@pytree
class MemristorChip:
    """What fabrication gave: ln G errors of the cells in each row, of both signs.

    Attributes:
        key, value: (T, 2, H, K).
    """

    key: Float[Array, "T 2 H K"]
    value: Float[Array, "T 2 H K"]


@dataclasses.dataclass(frozen=True)
class Memristor(Circuit):
    """See the module.

    Attributes:
        spec: its section.
        secant: which gradient a pruned key's gate has.
    """

    spec: MemristorSpec = MemristorSpec()
    secant: bool = False

    def begin(self, key: Key, seen: Seen) -> MemristorDesign:
        """Full scales; nothing is drawn."""
        spec, scale = self.spec, jax.vmap(full_scale, (0, 0, None))
        row, there = (by_head(part[..., None])[..., 0] for part in (seen.row, seen.key))
        logit = jnp.where(seen.pair, jnp.einsum("bhnk,bhmk->bhnm", seen.q, seen.k), 0.0)
        return MemristorDesign(
            q_scale=scale(by_head(seen.q), row, half(spec.input_bits)),
            k_scale=scale(by_head(seen.k), there, spec.levels - 1),
            v_scale=scale(by_head(seen.v), there, spec.levels - 1),
            score_scale=jnp.maximum(jnp.max(jnp.abs(logit), axis=(0, 2, 3)), 1e-6),
        )

    def sample_chip(self, key: Key, shape: ArrayShape) -> MemristorChip:
        """See ``Circuit``."""
        cells = shape.tokens, SIGNS, shape.heads, shape.width
        return MemristorChip(*(self.spec.device_error * jax.random.normal(one, cells) for one in jax.random.split(key)))

    def attend(self, q, k, v, visible, gate, rows, needs, place: Place):
        """See ``Circuit``."""
        spec, design, chip = self.spec, place.design, place.chip
        batch, heads = q.shape[:2]
        per_head_ = (slice(None), None, None)
        k = self.stored(k, design.k_scale, None if chip is None else chip.key, "key", place)
        v = self.stored(v, design.v_scale, None if chip is None else chip.value, "value", place)
        q = quantised(q, design.q_scale[per_head_], half(spec.input_bits))
        score = jnp.einsum("bhnk,bhmk->bhnm", q, k)
        score = quantised(score, design.score_scale[per_head_], half(spec.output_bits))
        of_heads = [None if part is None else per_head(part, batch, heads) for part in (gate, visible)]
        weights = gated_softmax(score.reshape(-1, *score.shape[2:]), of_heads[0], self.secant, of_heads[1])
        weights = weights.reshape(score.shape)
        steps = 2**spec.input_bits - 1
        mixed = jnp.einsum("bhnm,bhmk->bhnk", round_straight_through(weights * steps) / steps, v)
        mixed = quantised(mixed, design.v_scale[per_head_], half(spec.output_bits))
        return mixed, told(weights, rows, needs)

    def stored(
        self,
        x: Float[Array, "B H M K"],
        scale: Float[Array, "H"],
        device: Float[Array, "T 2 H K"] | None,
        name: str,
        place: Place,
    ) -> Float[Array, "B H M K"]:
        """What two cells a number hold of ``x``: the difference of their conductances, in units of ``x``."""
        spec, off = self.spec, 1.0 / self.spec.on_off
        scale = scale[:, None, None]
        rounded = quantised(x, scale, spec.levels - 1) / scale
        cells = jnp.stack([jax.nn.relu(rounded), jax.nn.relu(-rounded)])  # 2 B H M K
        conductance = off + (1.0 - off) * cells
        if device is not None:
            row = device[place.slots(x.shape[2])]  # (B or none) M 2 H K
            conductance = conductance * jnp.exp(jnp.moveaxis(row, (-3, -2), (0, -3)))[(slice(None), *_spread(row, 4))]
        if place.key is not None:
            drawn = place.of_tokens(name, SIGNS, x.shape[1], x.shape[3])  # B M 2 H K
            conductance = conductance * jnp.exp(spec.write_error * jnp.moveaxis(drawn, (2, 3), (0, 2)))
        return (conductance[0] - conductance[1]) / (1.0 - off) * scale

    def circuit(self, design: Any = None) -> MemristorCircuit:
        """See ``Circuit``: every pair, whatever it is fitted to."""
        del design
        return MemristorCircuit(input_bits=self.spec.input_bits, output_bits=self.spec.output_bits)


def _spread(row: Array, rank: int) -> tuple[Any, ...]:
    """An axis of examples where ``row``, of fewer than ``rank`` + 1 axes, has none."""
    return (None,) if row.ndim == rank else ()


def half(bits: int) -> int:
    """Equal steps either side of zero, of so many bits with their sign."""
    return 2 ** (bits - 1) - 1
