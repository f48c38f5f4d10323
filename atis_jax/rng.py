"""Named random streams: one root key, one stream a purpose, so that changing one leaves the others alone."""

from __future__ import annotations

import zlib

import jax

STREAMS = (
    "init",
    "data",
    "chip",
    "read_noise",
    "score_bits",
    "temperature",
    "random_scorer",
    "evaluation",
    "dropout",
    "lot",
    "constants",
    "distillation",
    "attention_chip",
)


def key_of(root: jax.Array, name: str) -> jax.Array:
    """The key of the stream ``name``: ``fold_in(root, crc32(name))``.

    Args:
        root: a typed key (``jax.random.key(seed)``).
        name: one of ``STREAMS``.

    Raises:
        ValueError: for a name that is not a stream (a misspelt stream would be a new, unnoticed one).
    """
    if name not in STREAMS:
        raise ValueError(f"rng stream {name!r} does not exist; the streams are {', '.join(STREAMS)}")
    return jax.random.fold_in(root, zlib.crc32(name.encode()))


def step_key(root: jax.Array, name: str, step: jax.Array | int) -> jax.Array:
    """The key of stream ``name`` at training step ``step``; needs no state, so a resumed run draws the same."""
    return jax.random.fold_in(key_of(root, name), step)
