"""Which cores of this machine a run at the side of others keeps to."""

from __future__ import annotations

import os


class CoreShares:
    """Equal shares of the cores this process may use, one for each run under way.

    Runs that each use every core get in one another's way: two trainings of a small network on two cores together do
    half as much again when each keeps to its own.
    """

    def __init__(self, at_once: int):
        """Prepare shares for ``at_once`` runs; there are none where each would have less than a core."""
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        each = len(cores) // at_once
        self._shares = [tuple(cores[i * each : (i + 1) * each]) for i in range(at_once)] if each else []
        self._taken: dict[str, int] = {}

    def take(self, name: str) -> tuple[int, ...] | None:
        """The share of the run ``name``, the least used one; None where there are no shares."""
        if not self._shares:
            return None
        users = [list(self._taken.values()).count(share) for share in range(len(self._shares))]
        self._taken[name] = users.index(min(users))
        return self._shares[self._taken[name]]

    def give_back(self, name: str) -> None:
        """The run ``name`` is over."""
        self._taken.pop(name, None)
