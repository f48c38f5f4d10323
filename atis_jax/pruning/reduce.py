"""How tokens leave the stream once a method has decided: masked where they are, or really removed."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.numerics import straight_through
from atis_jax.pruning.gather import pack, scatter_back
from atis_jax.pruning.stream import Stream, rows, spread


def pack_to(stream: Stream, capacity: int) -> tuple[Stream, Int[Array, "B"]]:
    """The stream with room for ``capacity`` tokens: those alive in any group, in order, the rest of the room dead.

    Gates are True or False from here on. Tokens are packed also where there is room for all: it costs little, and
    without it XLA computes a token's score anew for every query that may see the token.

    Returns:
        The stream, and how many tokens of each example found no room.
    """
    assert stream.alive is not None
    source, valid, overflow = jax.vmap(pack, in_axes=(0, None))(jnp.any(stream.alive, axis=-1), capacity)
    moved = rows(stream, source)
    alive = moved.alive & valid[..., None]
    size = None if moved.size is None else jnp.where(valid, moved.size, 0.0)
    return dataclasses.replace(moved, alive=alive, gate=alive, size=size), overflow


def merge_into(stream: Stream, into: Int[Array, "B N"], weight: Float[Array, "B N"] | None = None) -> Stream:
    """Tokens merged into others: each ``into[i]`` becomes the mean of all that go there, weighed by their size.

    x_j = sum_(i into j) size_i x_i / sum_(i into j) size_i, i alive (Bolya et al. 2023, arXiv 2210.09461); or with a
    weight the plain sum, x_j = sum_(i into j) weight_i x_i (the fused token of Liang et al. 2022, arXiv 2202.07800).
    A token that stays goes into itself. What was merged away is dead where it stood, its value as it was and its size
    0; the sizes go on adding up to the tokens there were. Needs one head group (``stream.opened(1, sized=True)``).

    Args:
        stream: in front of the merge.
        into: where each goes; a token that stays, and no other, receives.
        weight: of each in the sum that stands where it goes; None: its share of the sizes there.
    """
    assert stream.alive is not None and stream.gate is not None and stream.size is not None
    batch, tokens, _ = stream.x.shape
    stays = into == jnp.arange(tokens)
    own = jnp.where(stream.alive[..., 0], stream.size, 0.0)

    def added(values: Float[Array, "N ..."], target: Int[Array, "N"]):
        return jnp.zeros_like(values).at[target].add(values)

    size = jax.vmap(added)(own, into)
    part = own if weight is None else jnp.where(stream.alive[..., 0], weight, 0.0)
    summed = jax.vmap(added)(stream.x * part[..., None], into)
    if weight is None:
        summed = summed / jnp.where(size > 0, size, 1.0)[..., None]
    x = jnp.where(size[..., None] > 0, summed, stream.x)
    alive = stream.alive & stays[..., None]
    gate = jnp.where(stays[..., None], stream.gate, 0.0)
    return dataclasses.replace(stream, x=x, alive=alive, gate=gate, size=size)


def merge_softly(stream: Stream, share: Float[Array, "B N N"]) -> Stream:
    """Parts of tokens merged into others, for training: ``share[i, j]`` of what i stands for goes into j.

    x_j = (w_j x_j + sum_i w_i share_ij x_i) / (w_j + sum_i w_i share_ij), and of i there is left w_i (1 - sum_j
    share_ij), w the sizes (Lee and Hong 2024, arXiv 2412.10569). Who is alive and whose gate is open is as it was.
    Shares of 0 and 1 merge as ``merge_into`` does.

    Args:
        stream: in front of the merge, with sizes.
        share: nothing for a token that receives; rows add up to 1 at most, or are cut there without touching gradients.
    """
    assert stream.size is not None
    sent = share * stream.size[..., None]
    gained, left = jnp.sum(sent, axis=1), 1.0 - jnp.sum(share, axis=2)
    whole = stream.size + gained
    summed = stream.size[..., None] * stream.x + jnp.einsum("bij,bid->bjd", sent, stream.x)
    x = jnp.where(gained[..., None] > 0, summed / jnp.where(whole > 0, whole, 1.0)[..., None], stream.x)
    size = stream.size * straight_through(jnp.clip(left, 0.0, 1.0), left) + gained
    return dataclasses.replace(stream, x=x, size=size)


def written_back(whole: Float[Array, "B M D"], stream: Stream) -> Float[Array, "B M D"]:
    """The tokens of the full sequence with those that are alive as they are now, at their original positions."""
    assert stream.alive is not None
    position = spread(stream.position, whole.shape[0])
    target = jnp.where(jnp.any(stream.alive, axis=-1), position, whole.shape[1])
    return jax.vmap(lambda rows, at, x: rows.at[at].set(x, mode="drop"))(whole, target, stream.x)


def back_to_full(
    values: Float[Array, "B C G"], position: Int[Array, "B C"], present: Bool[Array, "B C"], tokens: int, fill: float
) -> Float[Array, "B N G"]:
    """Packed values at their original positions among ``tokens``; ``fill`` where there is none."""
    position, present = (spread(part, values.shape[0]) for part in (position, present))
    per_group = jax.vmap(scatter_back, in_axes=(1, None, None, None, None), out_axes=1)
    return jax.vmap(per_group, in_axes=(0, 0, 0, None, None))(values, position, present, tokens, fill)
