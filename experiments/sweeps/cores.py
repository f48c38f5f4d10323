"""Which cores of this machine a run at the side of others keeps to."""

from __future__ import annotations

import os
from collections.abc import Iterable


class CoreShares:
    """Shares of the cores this process may use, one for each run under way; the first may have a core more.

    Runs that each use every core get in one another's way: two trainings of a small network on two cores together do
    half as much again when each keeps to its own.
    """

    def __init__(self, at_once: int):
        """Prepare shares for ``at_once`` runs; there are none where some would have less than a core."""
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        each, more = divmod(len(cores), at_once)
        starts = [share * each + min(share, more) for share in range(at_once + 1)]
        self._shares = [tuple(cores[starts[i] : starts[i + 1]]) for i in range(at_once)] if each else []
        self._users: dict[str, set[int]] = {}

    def take(self, name: str) -> tuple[int, ...] | None:
        """The share of the run ``name``, the least used one; None where there are no shares."""
        if not self._shares:
            return None
        users = [sum(share in shares for shares in self._users.values()) for share in range(len(self._shares))]
        share = users.index(min(users))
        self._users[name] = {share}
        return self._shares[share]

    def hold(self, name: str, cores: Iterable[int]) -> None:
        """The run ``name`` is under way already, on ``cores``: a user of every share that has one of them."""
        own = set(cores)
        self._users[name] = {share for share, cores_of in enumerate(self._shares) if own & set(cores_of)}

    def give_back(self, name: str) -> None:
        """The run ``name`` is over."""
        self._users.pop(name, None)
