"""Where the joules go: the parts of a pass, stacked, for the dense network and both analog circuits."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from atis_jax.report.formatting import join, percent, si
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLUE, GREEN, PURPLE, SKY, VERMILLION, new_figure, panels_of
from experiments.energy.comparisons import Scenario, read_scenarios
from experiments.energy.plain_words import NAMES
from experiments.energy.verdicts import share_words

SHOWN = ("dense", "paper", "codesigned")
_PARTS = {
    "pixels": (PURPLE, ""),
    "embedding": ("#f0e442", ""),
    "scoring": (VERMILLION, ""),
    "attention": (BLUE, ""),
    "MLP": (SKY, ""),
    "memory: weights": ("#8a94a3", "//"),
    "memory: tokens and cache": ("#d7dbe2", ".."),
    "sending": (GREEN, "xx"),
}


def joules(run: RunFiles) -> Section:
    """Stacked bars: the parts of a pass, relative to the dense pass of the scenario."""
    found = read_scenarios(run)
    figure = new_figure(0.95 + 0.86 * len(found))
    (axes,) = panels_of(figure, 1, 1)
    step, places, labels, drawn = len(SHOWN) + 1.3, [], [], set()
    for row, one in enumerate(found):
        title = f"{one.name}: {si(one.total_j['dense'], 'J')} dense"
        axes.text(0, step * row - 0.75, title, fontsize=8.6, weight="bold")
        for place, who in enumerate(name for name in SHOWN if name in one.total_j):
            drawn |= _stack(axes, step * row + place, one, who)
            places.append(step * row + place)
            labels.append(NAMES[who])
    axes.set_yticks(places, labels, fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(step * len(found) - 1.2, -1.5)
    axes.set_xlim(left=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("% of the dense pass of the same scenario (lower is better)")
    order = [part for part in (*_PARTS, *sorted(drawn - set(_PARTS))) if part in drawn]
    handles = [Rectangle((0, 0), 1, 1, **_look(part)) for part in order]
    figure.legend(handles, order, loc="outside upper left", ncols=4, fontsize=8.4)
    picture = Picture("joules", figure, "Stacked bars of the parts of a pass.", " ".join(_sentences(found)))
    return Section("Where the joules go", (picture,))


def _stack(axes: Axes, y: float, one: Scenario, who: str) -> set[str]:
    """One bar; returns the parts in it."""
    left, drawn = 0.0, set()
    for part, joules in one.grouped_j(who).items():
        width = 100 * joules / one.total_j["dense"]
        if joules > 0:
            drawn.add(part)
            axes.barh(y, width, left=left, height=0.82, **_look(part))
        if width > 7:
            box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
            axes.text(left + width / 2, y, f"{width:.0f}", ha="center", va="center", fontsize=7, bbox=box)
        left += width
    return drawn


def _look(part: str) -> dict[str, Any]:
    """Colour and hatch of a part; one that this page does not know gets a hatch of its own."""
    color, hatch = _PARTS.get(part, ("white", "**"))
    return {"facecolor": color, "hatch": hatch, "edgecolor": "#3f4a5a", "linewidth": 0.5}


def _sentences(found: tuple[Scenario, ...]) -> list[str]:
    """The largest part of each dense pass, and scoring's share with the paper's circuit."""
    largest = []
    for one in found:
        parts = one.grouped_j("dense")
        part = max(parts, key=lambda name: parts[name])
        largest.append(f"{part} in {one.name} ({percent(parts[part] / one.total_j['dense'], 0)})")
    texts = [f"Of a dense pass the largest part is {join(largest)}."]
    shares = [f"{share_words(one.scoring_share('paper'))} in {one.name}" for one in found if "paper" in one.total_j]
    if shares:
        texts.append(f"With the paper's circuit scoring is {join(shares)} of its pass.")
    return [
        *texts,
        "Pixels: read, digitised and moved off the sensor. Attention and MLP are the two halves of a layer; "
        "normalisation counts as attention. Weights are read whole however many tokens are dropped.",
    ]
