"""How sure each verdict is: all constants drawn together, and how much analog then takes less or more."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from atis_jax.report.errors import Absent
from atis_jax.report.formatting import count, percent, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section, Table
from atis_jax.report.style import ANALOG, BLACK, DENSE, DIGITAL, new_figure, panels_of
from experiments.energy.comparisons import ANALOG as CIRCUITS
from experiments.energy.comparisons import Certainty, Comparison, Scenario, read_scenarios
from experiments.energy.plain_words import NAMES

LINEAR_PERCENT = 1e-3
"""Shares of a pass below this, in percent, stand on a linear piece of the axis around 0."""
SURE = 0.95
"""A verdict that holds in this share of the draws is called sure."""
HEADS = ("scenario", "circuit", "against", "wins in", "saves of the pass", "scoring", "circuits alone")


def how_sure(run: RunFiles) -> Section:
    """One figure: a panel a circuit, a row a scenario and rival."""
    pairs = _pairs(run)
    found = [who for who in CIRCUITS if any(pair.analog == who for _, pair in pairs)]
    rows = max(sum(pair.analog == who for _, pair in pairs) for who in found)
    figure = new_figure(1.3 + 0.185 * rows)
    panels = panels_of(figure, 1, len(found), sharex=True)
    for axes, who in zip(panels, found, strict=True):
        _panel(axes, [(one, pair) for one, pair in pairs if pair.analog == who], who)
    handles = [
        Patch(facecolor=ANALOG, label="analog less, surely"),
        Patch(facecolor=DIGITAL, label="digital less, surely"),
        Patch(facecolor="#c9ced6", label=f"neither in {percent(SURE, 0)} of the draws"),
        Line2D([], [], color=BLACK, marker="|", linestyle="none", label="median"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, fontsize=8.2)
    return Section("How sure", (Picture("certainty", figure, "Bars of margins with probabilities.", _caption(pairs)),))


def certainty_numbers(run: RunFiles) -> Section:
    """Every verdict: how often it holds, by how much, with shared reads and without."""
    return Section("How sure, in numbers", (Table("certainty_numbers", _how(_pairs(run)), (HEADS, *rows(run))),))


def rows(run: RunFiles) -> list[tuple[str, ...]]:
    """A row a verdict, in the order of ``HEADS``."""
    return [
        (
            one.name,
            NAMES[pair.analog],
            NAMES.get(pair.rival, pair.rival),
            _wins(sure),
            f"{_share(sure.saved[1])} ({_share(sure.saved[0])} to {_share(sure.saved[2])})",
            _factor(pair.scoring_factor),
            _factor(pair.circuits_factor) + _span(sure),
        )
        for one, pair in _pairs(run)
        if (sure := pair.certainty) is not None
    ]


def _pairs(run: RunFiles) -> list[tuple[Scenario, Comparison]]:
    """The comparisons that were drawn.

    Raises:
        Absent: a run of before they were.
    """
    pairs = [(one, pair) for one in read_scenarios(run) for pair in one.against if pair.certainty is not None]
    if not pairs:
        raise Absent("summary.json has no certainty in its comparisons")
    return pairs


def _panel(axes: Axes, pairs: list[tuple[Scenario, Comparison]], who: str) -> None:
    axes.set_xscale("symlog", linthresh=LINEAR_PERCENT, linscale=0.6)
    labels, at, before = [], 0.0, ""
    places = []
    for one, pair in pairs:
        assert pair.certainty is not None
        at += 0.55 if before not in ("", one.name) else 0.0
        low, middle, high = (100 * share for share in pair.certainty.saved)
        axes.barh(at, high - low, left=low, height=0.62, color=_color(pair))
        axes.plot(middle, at, "|", color=BLACK, markersize=7)
        axes.text(1.01, at, _probability(pair.certainty), transform=axes.get_yaxis_transform(), fontsize=7, va="center")
        labels.append(f"{one.name}: {NAMES.get(pair.rival, pair.rival)}")
        places.append(at)
        at, before = at + 1.0, one.name
    axes.axvline(0.0, color=BLACK, linewidth=1.4)
    axes.set_yticks(places, labels, fontsize=7)
    axes.set_ylim(at - 0.4, -0.6)
    axes.set_xlim(-100, 100)
    axes.set_xticks([-100, -1, -0.01, 0, 0.01, 1, 100], ["\u2212100", "\u22121", "\u22120.01", "0", "0.01", "1", "100"])
    axes.minorticks_off()
    axes.tick_params(axis="x", labelsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("% of the rival's pass saved", fontsize=8)
    axes.set_title(f"{NAMES[who]} against", fontsize=8.6, loc="left", x=-0.9)
    axes.text(1.01, -0.95, "P", transform=axes.get_yaxis_transform(), fontsize=7, va="center")


def _color(pair: Comparison) -> str:
    sure = pair.certainty
    if sure is None or 1 - SURE < sure.wins < SURE:
        return "#c9ced6"
    return ANALOG if sure.wins >= SURE else DENSE if pair.rival == "dense" else DIGITAL


def _probability(sure: Certainty) -> str:
    return "0" if sure.wins == 0 else "1" if sure.wins == 1 else f"{sure.wins:.2f}"


def _caption(pairs: list[tuple[Scenario, Comparison]]) -> str:
    grey = sum(1 - SURE < pair.certainty.wins < SURE for _, pair in pairs if pair.certainty is not None)
    return (
        "Bars: 5 to 95 % of what the circuit saves of the rival's whole pass; left of 0 it takes more. P: share of the "
        f"draws in which it takes less; {count(grey, 'verdict')} of {len(pairs)} stay open (grey). {_how(pairs)}"
    )


def _how(pairs: list[tuple[Scenario, Comparison]]) -> str:
    sure = pairs[0][1].certainty
    assert sure is not None
    return (
        f"All constants together, drawn {count(sure.draws, 'time')} log-uniformly over their ranges (half to twice "
        "where none is stated), the same for both."
    )


def _wins(sure: Certainty) -> str:
    if sure.wins in (0.0, 1.0):
        return f"{percent(sure.wins, 0)} (bound {percent(sure.interval[0 if sure.wins else 1], 1)})"
    return f"{percent(sure.wins)} ({percent(sure.interval[0])} to {percent(sure.interval[1])})"


def _share(share: float) -> str:
    """Percent with its sign, two digits, however small."""
    text = significant(100 * abs(share), 2)
    return ("\u2212" if share < 0 else "") + f"{text}\u00a0%"


def _factor(factor: float | None) -> str:
    """The rival's energy over the circuit's; below one, how many times as much the circuit takes."""
    if factor is None:
        return ""
    return f"wins {significant(factor)}\u00a0×" if factor >= 1 else f"loses {significant(1 / factor)}\u00a0×"


def _span(sure: Certainty) -> str:
    if sure.circuits is None:
        return ""
    low, _, high = sure.circuits
    return f" ({_factor(low)} to {_factor(high)})"
