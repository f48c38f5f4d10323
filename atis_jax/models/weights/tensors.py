"""The arrays of a file of weights handed out one by one: each is used, or left for a reason; none is overlooked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from atis_jax.models.weights.errors import WeightsError
from atis_jax.models.weights.gguf import Packed

SHOWN = 8
"""Names listed in an error; the others are counted."""


class Reading(NamedTuple):
    """What a family makes of a file.

    Attributes:
        params: of the network, as ``Model.init`` nests them, blocks ``stacked``; without what the file has not.
        account: what was done with the file, in one line.
        unsaid: fields of the network that the file says nothing of.
    """

    params: dict[str, Any]
    account: str
    unsaid: tuple[str, ...]


class Tensors:
    """Arrays by published name, and what was asked of them.

    ``take`` and ``leave`` go on whatever they find; ``finish`` raises all of it at once.
    """

    def __init__(self, path: Path, tensors: Mapping[str, np.ndarray | Packed]):
        self._path, self._tensors = path, tensors
        self._asked: set[str] = set()
        self._reasons: dict[str, int] = {}
        self._missing: list[str] = []
        self._misshapen: list[str] = []

    def shape_of(self, name: str) -> tuple[int, ...] | None:
        """The shape of an array; None where it is not there."""
        found = self._tensors.get(name)
        return None if found is None else found.shape

    def take(self, name: str, *shape: int) -> np.ndarray:
        """An array in float32; zeros of its shape where it is missing or misshapen, which ``finish`` tells."""
        self._asked.add(name)
        found = self._tensors.get(name)
        if found is None:
            self._missing.append(f"{name} {shape}")
        elif found.shape != shape:
            self._misshapen.append(f"{name} {found.shape}, expected {shape}")
        else:
            return np.asarray(found, np.float32)
        return np.zeros(shape, np.float32)

    def leave(self, pattern: str, why: str) -> None:
        """The other arrays whose whole names match a pattern are not used, because ``why``; there may be none."""
        names = [name for name in self._tensors if name not in self._asked and re.fullmatch(pattern, name)]
        self._asked.update(names)
        if names:
            self._reasons[why] = self._reasons.get(why, 0) + len(names)

    def finish(self) -> str:
        """What was done with the file, in one line.

        Raises:
            WeightsError: an array is missing, misshapen, or nobody asked for it; names them.
        """
        extra = [f"{name} {array.shape}" for name, array in self._tensors.items() if name not in self._asked]
        wrong = {"missing": self._missing, "misshapen": self._misshapen, "not known": extra}
        if any(wrong.values()):
            lines = [f"  {len(names)} {what}: {_some(names)}" for what, names in wrong.items() if names]
            raise WeightsError(
                f"config.model.weights: {self._path} is not what this network reads:\n"
                + "\n".join(lines)
                + "\nGive weights of the family that model.kind names, with no more and no less in them"
            )
        unused = sum(self._reasons.values())
        why = "; ".join(f"{count} not used, because {reason}" for reason, count in self._reasons.items())
        return f"{len(self._asked) - unused} of {len(self._tensors)} arrays of {self._path}" + (why and f"; {why}")


def stacked(block: Callable[[int], dict[str, Any]], depth: int) -> dict[str, Any]:
    """Blocks as one, leaves (L, ...); each is copied to its place as it is read, so that none is held twice."""
    first = block(0)
    whole = jax.tree.map(lambda leaf: np.empty((depth, *leaf.shape), leaf.dtype), first)
    for layer in range(depth):
        one = block(layer) if layer else first
        for place, leaf in zip(jax.tree.leaves(whole), jax.tree.leaves(one), strict=True):
            place[layer] = leaf
    return whole


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
