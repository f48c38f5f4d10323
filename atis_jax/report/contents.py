"""What an experiment brings to the page of its runs. The page itself knows no experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from atis_jax.report.numbers import Row
from atis_jax.report.run_files import Arrays, RunFiles
from atis_jax.report.section import Section, Strip


def _always(_: RunFiles) -> bool:
    return True


class Entry(NamedTuple):
    """A section the page may have.

    Attributes:
        title: for the list of what is not in a run.
        figures: file names of the figures it writes, without ending.
        build: makes it from the run's files, or raises ``Absent``.
        aside: its tables are looked up, not read, and go to files beside the page.
        meant: whether it is for this run; in another one it is not even missed.
    """

    title: str
    figures: tuple[str, ...]
    build: Callable[[RunFiles], Section]
    aside: bool = False
    meant: Callable[[RunFiles], bool] = _always


def _no_rows(_: RunFiles) -> Sequence[Row]:
    return ()


@dataclass(frozen=True)
class Contents:
    """The parts of a page.

    Attributes:
        strip: makes what opens the page, or raises ``Absent`` where nothing was measured yet.
        strip_figures: file names of the figures it may have, without ending.
        sections: in page order.
        arrays: what the run's artifacts.npz may hold.
        rows: further lines of the table of numbers.
        trained: whether a run trains a network: then the numbers of one that it lacks are listed.
    """

    strip: Callable[[RunFiles], Strip]
    strip_figures: tuple[str, ...]
    sections: tuple[Entry, ...]
    arrays: Arrays = Arrays()
    rows: Callable[[RunFiles], Sequence[Row]] = _no_rows
    trained: bool = False
