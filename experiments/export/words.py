"""What is said of an export's targets and of loops closed in ngspice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TARGETS = {"bundle": "bundle", "spice": "SPICE", "rasp": "RASP 3.0", "an231e04": "AN231E04"}
"""Targets of an export as people call them, in the order of its tables."""


def target_order(targets: Mapping[str, Any]) -> list[str]:
    """Names of an export's targets as its tables list them."""
    return [name for name in TARGETS if name in targets] + [name for name in targets if name not in TARGETS]


def loops_equal(loops: Sequence[Mapping[str, Any]]) -> tuple[int, float]:
    """Tokens of all layers of a closed loop, and the share of equal decisions."""
    tokens = sum(int(loop["tokens"]) for loop in loops)
    return tokens, sum(loop["tokens"] * loop["equal_fraction"] for loop in loops) / tokens
