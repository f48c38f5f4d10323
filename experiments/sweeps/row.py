"""One run of a sweep, as its table and its page know it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        name: of the run and its folder.
        design: its overrides without the seed, as text.
        fields: every swept field with this run's value.
        status: ``finished``, ``failed``, ``running``, ``interrupted`` or ``waiting``.
        numbers: the summary's numbers by dotted name; empty before the run has finished.
        seconds: wall time of the newest attempt, None while there is none that ended.
        restarts: how often the newest submission was put back and went on.
        error: what went wrong in one line.
        detail: the last lines of the traceback or the log.
    """

    name: str
    design: str
    fields: Mapping[str, Any]
    status: str
    numbers: Mapping[str, float]
    seconds: float | None
    restarts: int
    error: str
    detail: str
