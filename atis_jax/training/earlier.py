"""Checkpoints of earlier versions, whose networks had every block apart (``blocks_0.up.kernel``), as today's.

Today the parameters of all blocks are stacked, leaves (L, ...). What is stored says which it is by its names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

_BLOCK = re.compile(r"(.*\bblocks)_(\d+)(\..*)")


def has_blocks_apart(names: Collection[str]) -> bool:
    """Whether these are the leaves of a state whose blocks are not stacked."""
    return any(_BLOCK.fullmatch(name) for name in names)


def blocks_stacked(leaves: Mapping[str, dict[str, Any]]) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """What ``leaves.to_storage`` noted of each leaf, as if the blocks had been stacked.

    Returns:
        The leaves; and for each stacked one, the names of its parts in the order of the layers.
    """
    numbered: dict[str, dict[int, str]] = {}
    for name in leaves:
        if found := _BLOCK.fullmatch(name):
            numbered.setdefault(found[1] + found[3], {})[int(found[2])] = name
    parts = {name: [of_layer[layer] for layer in sorted(of_layer)] for name, of_layer in numbered.items()}
    stacked = {name: dict(leaf) for name, leaf in leaves.items() if not _BLOCK.fullmatch(name)}
    for name, (first, *_) in parts.items():
        shapes = {which: [len(parts[name]), *leaves[first][which]] for which in ("shape", "shape_seen")}
        stacked[name] = leaves[first] | shapes
    return stacked, parts
