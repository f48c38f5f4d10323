"""The one signature every scorer shares, and what passes through it.

``scorer(design, chip, environment, tokens, context, key) -> (Decision, state)`` for ONE token sequence at ONE layer;
``vmap`` it over images, chips, temperatures. Suffixes: n tokens in the sequence, D width, G prototypes (head groups).
"""

from __future__ import annotations

from typing import Any, Protocol

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.circuits.chip import Chip, Environment
from atis_jax.numerics import pytree, static
from atis_jax.typing import Key


@pytree
class Decision:
    """What a scorer says of each token.

    Attributes:
        voltage: (n, G) score at the comparator input with this use's read noise, volts (a rival scorer's own unit
            otherwise); ``keep`` is whether it exceeds the threshold.
        keep_probability: (n, G) probability that the comparator says keep; differentiable.
        keep: (n, G) the decision taken in this very use, read noise included.
    """

    voltage: Float[Array, "n G"]
    keep_probability: Float[Array, "n G"]
    keep: Bool[Array, "n G"]


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
        alive: (n, G) tokens not pruned by an earlier layer.
        token_index: (n,) each token's position in the full sequence; read noise is keyed by it, so a token gets the
            same noise whether or not the pruned ones were really removed.
        state: the scorer's memory.
        smoothing: width of the soft comparator relative to half the reference's span; 0 is the physical comparator.
        attention: (n,) attention received in the previous layer, for scorers that use it.
        keys: (n, H, K) keys of the previous layer, for scorers that use them.
        token_count: length of the full sequence.
        layer: which layer this is.
    """

    alive: Bool[Array, "n G"]
    token_index: Int[Array, "n"]
    state: ScorerState
    smoothing: Float[Array, ""] | float = 0.0
    attention: Float[Array, "n"] | None = None
    keys: Float[Array, "n H K"] | None = None
    token_count: int = static(default=0)
    layer: int = static(default=0)


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
