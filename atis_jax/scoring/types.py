"""The one signature every scorer shares, and what passes through it.

``scorer(design, chip, environment, tokens, context, key) -> (Decision, state)`` for ONE token sequence at ONE layer;
``vmap`` it over examples, chips, temperatures. Suffixes: n tokens in the sequence, D width, G prototypes (head groups).
"""

from __future__ import annotations

from typing import Any, Protocol

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.circuits.chip import Chip, Environment
from atis_jax.numerics import pytree
from atis_jax.pruning.stream import Attended
from atis_jax.typing import Key


@pytree
class Decision:
    """What a scorer says of each token.

    Attributes:
        voltage: (n, G) score at the comparator input with this use's read noise, volts (a rival scorer's own unit
            otherwise); ``keep`` is whether it exceeds the threshold.
        keep_probability: (n, G) probability that the comparator says keep; differentiable.
        keep: (n, G) the decision taken in this very use, read noise included.
        into: (n,) the token that each is merged into, by place in the sequence given; itself for one that stays.
            None for a method that does not merge.
        weight: (n,) what each counts for in the sum that stands where it goes; None: its share of the sizes there.
        share: (n, n) how much of each (row) goes into each other (column); in the place of ``into``. What is kept says
            ``keep`` alone.
        along: what travels along with each token from here on, in the shape of ``Context.along``; None: as it was.
    """

    voltage: Float[Array, "n G"]
    keep_probability: Float[Array, "n G"]
    keep: Bool[Array, "n G"]
    into: Int[Array, "n"] | None = None
    weight: Float[Array, "n"] | None = None
    share: Float[Array, "n n"] | None = None
    along: Any = None


@pytree
class ScorerState:
    """What a scorer remembers from one sequence to the next, at one layer.

    Attributes:
        query: (G, D) moving average of the CLS query pulled back to token space (EMA prototype; RC filter).
        activity: (G,) low-passed keep decisions, 0 to 1 (adaptive threshold).
        threshold_shift_v: (G,) what the adaptive feedback has added to the threshold, volts.
        last_keep: (G,) the comparator's last output (hysteresis).
    """

    query: Float[Array, "G D"]
    activity: Float[Array, "G"]
    threshold_shift_v: Float[Array, "G"]
    last_keep: Bool[Array, "G"]


@pytree
class Context:
    """What a scorer may look at besides the tokens.

    Attributes:
        alive: (n, G) tokens that reach it: not pruned by an earlier layer.
        position: (n,) each token's place in the full sequence; read noise is keyed by it, so a token gets the same
            noise whether or not the pruned ones were really removed.
        counted: (n,) tokens that are a method's to judge: neither protected nor padding.
        full: counted tokens of the full sequence, whatever was removed since.
        state: the scorer's memory.
        smoothing: width of the soft comparator relative to half the reference's span; 0 is the physical comparator.
        attended: of the block just run, in the parts that the method needs; None in front of the attention.
        size: (n,) how many tokens were merged into each; None where nothing merges.
        layer: which layer this is.
        present: (n,) tokens whose queries were asked and whose keys were seen (``Stream.present``); None: all.
        along: leaves (n, ...), what the method has travel along with each token (``Method.along``).
        gate: (n, G) how far earlier layers' decisions left each open, with a gradient while training; None: fully.
    """

    alive: Bool[Array, "n G"]
    position: Int[Array, "n"]
    counted: Bool[Array, "n"]
    full: Int[Array, ""]
    state: Any
    smoothing: Float[Array, ""] | float = 0.0
    attended: Attended | None = None
    size: Float[Array, "n"] | None = None
    layer: Int[Array, ""] | int = 0
    present: Bool[Array, "n"] | None = None
    along: Any = None
    gate: Float[Array, "n G"] | None = None


class Scorer(Protocol):
    """A pure function from tokens to keep decisions."""

    def __call__(
        self,
        design: Any,
        chip: Chip | None,
        environment: Environment | None,
        tokens: Float[Array, "n D"],
        context: Context,
        key: Key | None,
    ) -> tuple[Decision, ScorerState]:
        """Score one sequence. ``key`` None switches read noise off; random scorers need one."""
        ...


def initial_state(prototypes: int, width: int, query: Float[Array, "G D"] | None = None) -> ScorerState:
    """A scorer that has seen nothing: no query, activity one half, threshold unshifted, comparator low."""
    return ScorerState(
        query=jnp.zeros((prototypes, width)) if query is None else query,
        activity=jnp.full((prototypes,), 0.5),
        threshold_shift_v=jnp.zeros((prototypes,)),
        last_keep=jnp.zeros((prototypes,), bool),
    )
