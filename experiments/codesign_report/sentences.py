"""Sentences with their pruned words struck out, layer by layer. Lengths are in points, from the top left corner."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from atis_jax.report.formatting import count, one_line, percent
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLACK, GREY, VERMILLION, WIDTH_IN, new_figure

CONTINUES = "##"
"""In front of a piece that goes on with the word before it (WordPiece)."""
_MOST_SENTENCES = 4
_POINTS_AN_INCH = 72.0
_SIZE, _LINE, _GAP = 9.0, 13.0, 9.0
"""Of the letters, from line to line, and above each sentence."""
_MARGIN = 80.0
"""Left of the words, for the number of the layer."""
PALE = "#aab1bb"
"""Of words that are gone already."""
_FONT = FontProperties(family="DejaVu Sans", size=_SIZE)


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a figure, or more where the words need them.

    Attributes:
        words: of a sentence, in order.
        kept: which are left.
        before: which reached this layer.
        label: on the left.
        title: above; empty for none.
        wrong: whether the title is of a wrong answer.
    """

    words: Sequence[str]
    kept: Bool[np.ndarray, " T"]
    before: Bool[np.ndarray, " T"]
    label: str
    title: str = ""
    wrong: bool = False


def kept_words(run: RunFiles) -> Section:
    """A few sentences, each once a layer: what that layer drops is struck out, what an earlier one dropped is pale."""
    kept, layers = words_kept(run), run.array("kept").shape[1]
    shown = kept[:_MOST_SENTENCES]
    rows: list[Row] = []
    for k, (words, masks) in enumerate(shown):
        title, wrong = _title(run, k)
        before = np.ones(len(words), bool)
        for layer, mask in enumerate(masks):
            label = f"layer {layer + 1}: {mask.sum()}/{len(words)}"
            rows.append(Row(words, mask, before, label, "" if layer else title, wrong))
            before = before & mask
    left, all_ = (sum(part) for part in zip(*((masks[-1].sum(), len(words)) for words, masks in shown), strict=True))
    which = "it" if len(shown) == 1 else f"these {len(shown)} {run.words.units}"
    caption = (
        "Words that a layer drops are struck out in colour; those that an earlier one dropped are pale. Tokens that "
        f"are never pruned are not drawn. In {which} layer {layers} "
        f"works on {percent(left / max(all_, 1), 0)} of the words."
    )
    alt = f"{count(len(shown), run.words.unit)}, each at {count(layers, 'layer')} with the words that are left."
    return Section("Kept words, layer by layer", (Picture("kept_words", drawn(rows), alt, caption, vector=False),))


def words_kept(run: RunFiles) -> list[tuple[list[str], Bool[np.ndarray, "L T"]]]:
    """The words of each stored sentence, and which of them go through each layer; protected tokens are left out."""
    words, kept, real = run.array("words"), run.array("kept").astype(bool), run.array("real").astype(bool)
    protected = run.optional("protected")
    judged = real if protected is None else real & ~protected.astype(bool)
    return [
        ([str(word) for word in text[these]], masks[:, these])
        for text, masks, these in zip(words, kept, judged, strict=True)
    ]


def drawn(rows: Sequence[Row], width_in: float = WIDTH_IN) -> Figure:
    """The rows below one another, words wrapped at the figure's width."""
    width = width_in * _POINTS_AN_INCH
    places = [list(_wrapped(row.words, width - _MARGIN)) for row in rows]
    heights = [
        _LINE * (1 + max((line for *_, line in words), default=0)) + (_GAP + _LINE) * bool(row.title)
        for row, words in zip(rows, places, strict=True)
    ]
    figure = new_figure((sum(heights) + _GAP) / _POINTS_AN_INCH, width_in)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(sum(heights) + _GAP, 0)
    top = 0.0
    for row, words, height in zip(rows, places, heights, strict=True):
        _draw(axes, row, words, top)
        top += height
    return figure


def _draw(axes: Axes, row: Row, places: Sequence[tuple[float, float, int]], top: float) -> None:
    if row.title:
        top += _GAP
        axes.text(0, top + _LINE, row.title, color=VERMILLION if row.wrong else GREY, font=_FONT, va="baseline")
        top += _LINE
    axes.text(0, top + _LINE, row.label, color=GREY, font=_FONT, va="baseline")
    for word, kept, before, (left, width, line) in zip(row.words, row.kept, row.before, places, strict=True):
        base = top + _LINE * (line + 1)
        color = BLACK if kept else VERMILLION if before else PALE
        axes.text(_MARGIN + left, base, _text(word), color=color, font=_FONT, va="baseline")
        if not kept:
            ends = [_MARGIN + left, _MARGIN + left + width]
            axes.plot(ends, [base - 0.33 * _SIZE] * 2, color=color, linewidth=1.1, solid_capstyle="butt")


def _wrapped(words: Sequence[str], room: float) -> Iterator[tuple[float, float, int]]:
    """Left edge, width and line of each word; a piece that continues a word stands right behind it."""
    space, end, line = _width(" "), 0.0, 0
    for word in words:
        width = _width(_text(word))
        left = end if end == 0 or word.startswith(CONTINUES) else end + space
        if left + width > room and left > 0:
            left, line = 0.0, line + 1
        yield left, width, line
        end = left + width


def _text(word: str) -> str:
    return word.removeprefix(CONTINUES) or word


def _width(text: str) -> float:
    return float(text_to_path.get_text_width_height_descent(text, _FONT, False)[0])


def _title(run: RunFiles, k: int) -> tuple[str, bool]:
    """What the sentence is and what it was taken for; whether that is wrong."""
    labels, predicted, names = run.optional("labels"), run.optional("predicted"), run.class_names()
    if labels is None or predicted is None:
        return f"{run.words.unit} {k + 1}", False

    def name(number: int) -> str:
        return one_line(names[number], 40) if names is not None and 0 <= number < len(names) else str(number)

    true, taken = int(labels[k]), int(predicted[k])
    wrong = true != taken
    return f"{run.words.unit} {k + 1}: {name(true)}" + (f", taken for {name(taken)}" if wrong else ""), wrong
