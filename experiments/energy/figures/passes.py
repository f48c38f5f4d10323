"""Who wins where: the verdicts as a table of colours, and the energies behind them."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from atis_jax.report.formatting import percent, si, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section, Table
from atis_jax.report.standing import times
from atis_jax.report.style import (
    ANALOG,
    BLACK,
    DENSE,
    DIGITAL,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    new_figure,
    panels_of,
    plain_log_ticks,
)
from experiments.energy.comparisons import Comparison, Scenario, read_scenarios
from experiments.energy.figures.words import accuracy_table
from experiments.energy.plain_words import NAMES, network_name
from experiments.energy.verdicts import WON, Outcome, outcome, share_words

# Warm colours and a filled marker for analog, cold ones and an open marker for digital.
LOOKS = {
    "dense": (DENSE, "o"),
    "digital": (SKY, "s"),
    "folded": (DIGITAL, "s"),
    "paper": (ORANGE, "D"),
    "coarse": (PURPLE, "s"),
    "codesigned_digital": (GREEN, "s"),
    "codesigned": (ANALOG, "D"),
}
_STRENGTH = {
    Outcome.WINS: (0.6, "wins"),
    Outcome.WINS_SCORING: (0.18, "wins scoring"),
    Outcome.EVEN: (0.0, "even"),
    Outcome.LOSES_SCORING: (0.18, "loses scoring"),
    Outcome.LOSES: (0.6, "loses"),
}
"""How strong the winner's colour is, and the word of a cell; a verdict of the whole pass is the stronger one."""
_COLUMNS = (
    ("paper", "dense", "dense"),
    ("paper", "digital", "same score\nin digital"),
    ("paper", "folded", "the same,\nfolded"),
    ("codesigned", "dense", "dense"),
    ("codesigned", "digital", "paper's score\nin digital"),
    ("codesigned", "folded", "the same,\nfolded"),
    ("codesigned", "codesigned_digital", "its digital\ntwin"),
    ("codesigned", "coarse", "coarse, then\nfine digital"),
)


def energy_of_a_pass(run: RunFiles) -> Section:
    """The energies behind the verdicts, and accuracy where a run measured it."""
    found = read_scenarios(run)
    parts: list[Picture | Table] = [_energies(found)]
    absent = []
    for one in found:
        if one.measured is None:
            continue
        if "accuracy" in one.measured:
            parts.append(accuracy_table(one))
        else:
            absent.append((f"Accuracy in scenario {one.name}", str(one.measured.get("missing", "not measured"))))
    return Section("Energy of a pass", tuple(parts), tuple(absent))


def verdicts_picture(found: tuple[Scenario, ...]) -> Picture:
    """Who wins where: a row a scenario, a column a rival, each cell in the colour of the winner."""
    columns = [column for column in _COLUMNS if any(one.versus(*column[:2]) for one in found)]
    figure = new_figure(0.95 + 0.46 * len(found))
    (axes,) = panels_of(figure, 1, 1)
    for row, one in enumerate(found):
        for place, (who, rival, _) in enumerate(columns):
            pair = one.versus(who, rival)
            if pair is not None:
                _cell(axes, place, row, pair)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_yticks(range(len(found)), [f"{one.name}\n({network_name(one.network)})" for one in found])
    axes.set_xticks(range(len(columns)), [words for *_, words in columns])
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=8)
    axes.grid(visible=False)
    for who in dict.fromkeys(column[0] for column in columns):
        mine = [place for place, column in enumerate(columns) if column[0] == who]
        top = axes.secondary_xaxis(1.0)
        top.set_xticks([sum(mine) / len(mine)], [f"{NAMES[who]} against\n\n\n"])
        top.tick_params(length=0, labelsize=9)
        if mine[0]:
            axes.axvline(mine[0] - 0.5, color=BLACK, linewidth=2.2)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    caption = (
        "How the analog circuit fares, and how many times as much energy the loser takes; the cell has the colour of "
        "the winner. Scoring: the whole pass is even to two decimals, only choosing the tokens differs."
    )
    return Picture("strip_who_wins", figure, "Table of verdicts, coloured by who wins.", caption, wide=True)


def _cell(axes: Axes, x: float, y: float, pair: Comparison) -> None:
    found = outcome(pair)
    strength, word = _STRENGTH[found]
    color = ANALOG if found in WON else DENSE if pair.rival == "dense" else DIGITAL
    scoring = found in (Outcome.WINS_SCORING, Outcome.LOSES_SCORING)
    factor = pair.scoring_factor if scoring and pair.scoring_factor is not None else pair.total_factor
    axes.add_patch(Rectangle((x - 0.48, y - 0.47), 0.96, 0.94, facecolor=to_rgba(color, strength), edgecolor="#c4cad3"))
    axes.text(x, y, f"{word}\n{times(factor)} ×", ha="center", va="center", fontsize=8, linespacing=1.25)


def _energies(found: tuple[Scenario, ...]) -> Picture:
    """Left: whole passes relative to dense, from zero. Right: scoring alone, on a logarithmic axis."""
    who = [name for name in LOOKS if any(name in one.total_j for one in found)]
    figure = new_figure(0.95 + len(found) * (0.3 + 0.145 * len(who)))
    whole, scoring = figure.subplots(1, 2, sharey=True, width_ratios=[1.0, 1.0])
    step, values = len(who) + 1.6, [j for one in found for j in one.scoring_j.values() if j > 0]
    for row, one in enumerate(found):
        for place, name in enumerate(who):
            if name in one.total_j:
                _bar(whole, row * step + place, name, 100 * one.total_j[name] / one.total_j["dense"])
                _dot(scoring, row * step + place, name, one.scoring_j[name], min(values, default=0.0) / 3)
    middles = [row * step + (len(who) - 1) / 2 for row in range(len(found))]
    whole.set_yticks(middles, [f"{one.name}\n{si(one.total_j['dense'], 'J')}\ndense" for one in found])
    whole.set_ylim((len(found) - 1) * step + len(who) - 0.2, -1.0)
    longest = max(100 * joules / one.total_j["dense"] for one in found for joules in one.total_j.values())
    whole.set_xlim(0, 1.2 * longest)
    whole.set_xlabel("whole pass, % of dense (lower is better)")
    scoring.set_xlabel("choosing the tokens alone (lower is better);\nlogarithmic: equal distances are equal factors")
    if values:
        low, high = min(values) / 3, max(values)
        scoring.set_xscale("log")
        scoring.set_xlim(low, high * (high / low) ** 0.3)
        plain_log_ticks(scoring.xaxis)
        scoring.xaxis.set_major_formatter(lambda x, _: si(x, "J", 1))
        scoring.minorticks_off()
    for axes in (whole, scoring):
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    handles = [Rectangle((0, 0), 1, 1, color=LOOKS[name][0]) for name in who]
    figure.legend(handles, [NAMES[name] for name in who], loc="outside upper left", ncols=3)
    smallest, largest = _scoring_shares(found)
    caption = (
        "Left, energy of a whole pass relative to the dense network of the same scenario. "
        f"{_spread(found)}Right, the choosing alone, in joules, which the left panel contains: "
        f"it is {smallest} to {largest} of a pass. Table: energy of a whole pass, and in brackets how many times as "
        "much the dense network takes (above 1: saves)."
    )
    return Picture(
        "scenario_energy",
        figure,
        "Bars of total energy and points of scoring energy.",
        caption,
        table=_totals(found, who),
    )


def _spread(found: tuple[Scenario, ...]) -> str:
    """How far the ways that drop tokens are apart where they are farthest."""
    spreads = {}
    for one in found:
        pruned = [joules for name, joules in one.total_j.items() if name != "dense"]
        if pruned:
            spreads[one.name] = max(pruned) / min(pruned) - 1.0
    if not spreads:
        return ""
    widest = max(spreads, key=lambda name: spreads[name])
    return (
        f"Whoever chooses the tokens, passes that drop them differ by at most {percent(spreads[widest])} ({widest}). "
    )


def _bar(axes: Axes, y: float, name: str, value: float) -> None:
    axes.barh(y, value, height=0.86, color=LOOKS[name][0])
    axes.text(value + 1.2, y, significant(value), va="center", fontsize=7)


def _dot(axes: Axes, y: float, name: str, joules: float, low: float) -> None:
    """A point, not a bar: a bar's length means nothing where the axis has no zero."""
    if joules <= 0:
        return
    color, marker = LOOKS[name]
    axes.plot([low, joules], [y, y], color="#9aa3b2", linewidth=0.7, linestyle=":")
    face = color if marker == "D" else "white"
    axes.plot(joules, y, marker, markersize=4.2, color=face, markeredgecolor=color, markeredgewidth=1.4)
    axes.annotate(si(joules, "J"), (joules, y), xytext=(6, 0), textcoords="offset points", va="center", fontsize=7)


def _scoring_shares(found: tuple[Scenario, ...]) -> tuple[str, str]:
    shares = [one.scoring_share(name) for one in found for name in one.total_j if one.scoring_j[name] > 0]
    return share_words(min(shares, default=0.0)), share_words(max(shares, default=0.0))


def _totals(found: tuple[Scenario, ...], who: list[str]) -> tuple[tuple[str, ...], ...]:
    def cell(one: Scenario, name: str) -> str:
        if name not in one.total_j:
            return ""
        factor = one.total_j["dense"] / one.total_j[name]
        return si(one.total_j[name], "J") + ("" if name == "dense" else f" ({factor:.2f})")

    heads = ("scenario", *(NAMES[name] for name in who))
    return (heads, *((one.name, *(cell(one, name) for name in who)) for one in found))
