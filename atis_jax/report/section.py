"""What one part of the page is made of."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure with the sentence under it.

    Attributes:
        name: file name without its ending.
        figure: what is drawn.
        alt: what kind of picture it is, for readers who do not see it (the caption follows it in the page).
        caption: what to see, with the run's own numbers.
        vector: also worth an SVG (no photographs in it).
        table: rows of text under the caption, the first one the heads of the columns; empty for none.
        wide: takes a whole row of a strip for itself.
    """

    name: str
    figure: Figure
    alt: str
    caption: str
    vector: bool = True
    table: tuple[tuple[str, ...], ...] = ()
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of text without a figure.

    Attributes:
        name: unlike those of the page's figures and other tables.
        caption: the sentence above it.
        table: the rows, the first one the heads of the columns.
    """

    name: str
    caption: str
    table: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Number:
    """One number to be read from afar.

    Attributes:
        value: with its unit.
        label: what it is.
    """

    value: str
    label: str


@dataclass(frozen=True)
class Strip:
    """What opens a page and is understood in ten seconds.

    Attributes:
        sentence: who wins and who loses, or what was found.
        pictures: beside one another, below one another on a narrow screen.
        numbers: the few that matter, after the pictures.
        note: how to read them, in small print.
    """

    sentence: str
    pictures: tuple[Picture, ...] = ()
    numbers: tuple[Number, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Section:
    """One section: its pictures and tables, and what of it this run has no data for (what, why)."""

    title: str
    pictures: tuple[Picture | Table, ...]
    absent: tuple[tuple[str, str], ...] = ()
