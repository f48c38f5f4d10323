"""Scores of a sequence in which every token meets what the one before it has left in the circuit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.circuits.frontend import Realised
from atis_jax.circuits.hardware import Hardware
from atis_jax.circuits.transient import (
    at_rest,
    follow_array,
    follow_comparator,
    settled_at,
    transient_of,
)
from atis_jax.scoring.atis.spec import ScorerSpec


def read_in_time(
    realised: Realised,
    hardware: Hardware,
    spec: ScorerSpec,
    inputs: Float[Array, "n N"],
    reaches: Bool[Array, "n"],
    threshold_v: Float[Array, "G"],
    node_noise_v: Float[Array, "n G"],
    comparator_noise_v: Float[Array, "n G"],
) -> tuple[Float[Array, "n G"], Float[Array, "n G"]]:
    """What each comparator sees of a token at its end, and the score on whose side of the threshold its bit is.

    The first token meets a circuit at rest: zero inputs, comparators low. Tokens that do not reach the circuit leave
    it as it is, and what is found for them means nothing. Noise stands for the whole of a token.

    Args:
        realised: the arrays as programmed.
        hardware: with a finite ``token_time_s``.
        spec: structure of the scorer.
        inputs: of the array, +-1 full scale, in the order in which the tokens arrive.
        reaches: tokens that arrive.
        threshold_v: of each score, V.
        node_noise_v: of the array, at the comparator, V.
        comparator_noise_v: of the comparator, V.

    Returns:
        (score_v, decided_v): the score when the token ends, with the array's noise, V. Where the comparator was quick
        enough, the second is that score with its own noise, less what its output node still lacks; where it was not,
        the threshold and what its node says.
    """
    transient = transient_of(realised, hardware)
    settled = jax.vmap(settled_at, (None, 0))(realised, inputs)
    start = at_rest(realised), jnp.full(spec.groups, -transient.comparator_range_v)

    def halves(rows_v: Float[Array, "k HG"]) -> Float[Array, "k G"]:
        return 0.5 * (rows_v[:, : spec.groups] - rows_v[:, spec.groups :]) if spec.differential else rows_v

    def token(carry, xs):
        residue, output_v = carry
        one, arrives, array_v, comparator_v = xs
        rows_v, after = follow_array(realised, transient, residue, one)
        score_v = halves(rows_v) + array_v
        node_v = follow_comparator(transient, output_v, score_v + comparator_v - threshold_v)
        after = jax.tree.map(lambda new, old: jnp.where(arrives, new, old), (after, node_v), carry)
        return after, (score_v[-1], node_v)

    _, (score_v, node_v) = jax.lax.scan(token, start, (settled, reaches, node_noise_v, comparator_noise_v))
    over_v = score_v + comparator_noise_v - threshold_v
    quick = (over_v > 0) == (node_v > 0)
    beyond_v = over_v - jnp.clip(over_v, -transient.comparator_range_v, transient.comparator_range_v)
    return score_v, threshold_v + node_v + jnp.where(quick, beyond_v, 0.0)
