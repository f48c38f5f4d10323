"""What the benchmark times: a case."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple


@dataclasses.dataclass(frozen=True)
class NotJitted:
    """A function that jits what it wants itself."""

    function: Callable[..., Any]


class Case(NamedTuple):
    """What is timed.

    Attributes:
        function: to be jitted.
        arguments: it is called with.
        operations: its multiply-accumulates over those of what it is compared with; None where they are not counted.
    """

    function: Callable[..., Any] | NotJitted
    arguments: tuple
    operations: float | None = None
