"""What decides: each constant moved over its range, alone, and what that does to analog against digital."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from atis_jax.report.errors import Absent
from atis_jax.report.formatting import join, si, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section, Table
from atis_jax.report.standing import rounds_to_one, times
from atis_jax.report.style import BLACK, BLUE, ORANGE, new_figure, panels_of, ratio_axis
from experiments.energy.comparisons import ANALOG, Comparison, Scenario, Swing, read_scenarios
from experiments.energy.plain_words import NAMES, constant_words
from experiments.energy.verdicts import outcome

LESS, MORE = BLUE, ORANGE
"""With a constant at the lower end of its range, and at the upper."""
VISIBLE = 1.02
"""Factor between the two ends of a bar from which on it is drawn."""


def what_decides(run: RunFiles) -> Section:
    """The co-designed circuit against its digital twin and against the paper's folded score."""
    found = read_scenarios(run)
    if not any(one.against for one in found):
        raise Absent("summary.json has no comparisons in its scenarios")
    parts: list[Picture] = []
    for rival, name in (("codesigned_digital", "tornado_twin"), ("folded", "tornado_folded")):
        pairs = [(one, pair) for one in found if (pair := one.versus("codesigned", rival)) and pair.swings]
        if pairs:
            parts.append(_tornado(pairs, rival, name))
    return Section("What decides", tuple(parts))


def deciding_numbers(run: RunFiles) -> Section:
    """Both circuits against every rival: factors, verdict, and the price that each hangs on."""
    found, searched = read_scenarios(run), run.number("sensitivity.searched_factor")
    tables = [table for who in ANALOG if (table := _numbers(found, who, searched)) is not None]
    if not tables:
        raise Absent("summary.json has no comparisons in its scenarios")
    return Section("What decides, in numbers", tuple(tables))


def _tornado(pairs: list[tuple[Scenario, Comparison]], rival: str, name: str) -> Picture:
    rows = math.ceil(len(pairs) / 2)
    most = max(len(_drawn(pair)) for _, pair in pairs)
    figure = new_figure(0.6 + rows * (0.75 + 0.2 * most))
    panels = panels_of(figure, rows, 2)
    for axes in panels[len(pairs) :]:
        axes.set_axis_off()
    for axes, (one, pair) in zip(panels, pairs, strict=False):
        _panel(axes, one, pair, most)
    handles = [
        Patch(facecolor=LESS, label="constant at the lower end of its range"),
        Patch(facecolor=MORE, label="at the upper end"),
        Patch(facecolor="white", edgecolor=BLACK, hatch="////", label="hatched: range assumed, half to twice"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, fontsize=8.2)
    turned: dict[str, list[str]] = {}
    for one, pair in pairs:
        for swing in pair.swings:
            if swing.decides:
                turned.setdefault(constant_words(swing.name), []).append(one.name)
    by = join([f"{what} in {join(where)}" for what, where in turned.items()])
    result = (
        f"Within its range the winner is changed by {by}, by no other price."
        if turned
        else "No price alone changes the winner within its range."
    )
    caption = (
        f"The co-designed circuit against {_of(rival)}: its energy over the rival's, counting what is not the same in "
        "both. Left of the black line at 1 analog takes less, right of it digital does. Each bar moves one price over "
        f"its range with all others as they are; the thin line is the result as it stands. Prices that move "
        f"it by less than {VISIBLE:.2f} times are left out. {result}"
    )
    return Picture(name, figure, "Bars of the ratio of energies at both ends of each constant's range.", caption)


def _of(rival: str) -> str:
    return {"codesigned_digital": "its digital twin", "folded": "the paper's score folded in digital"}.get(rival, rival)


def _drawn(pair: Comparison) -> tuple[Swing, ...]:
    """The constants that move the result enough to be seen, at least one."""
    seen = [one for one in pair.swings if abs(math.log(one.ratio_high / one.ratio_low)) >= math.log(VISIBLE)]
    return tuple(seen or pair.swings[:1])


def _panel(axes: Axes, one: Scenario, pair: Comparison, rows: int) -> None:
    shown = _drawn(pair)
    for row, swing in enumerate(shown):
        for end, color in ((swing.ratio_low, LESS), (swing.ratio_high, MORE)):
            axes.barh(
                row,
                end - pair.ratio,
                left=pair.ratio,
                height=0.68,
                color=color,
                hatch="////" if swing.assumed else "",
                edgecolor="white" if swing.assumed else color,
                linewidth=0.0,
            )
    ends = [1.0, pair.ratio, *(end for swing in shown for end in (swing.ratio_low, swing.ratio_high))]
    room = (max(ends) / min(ends)) ** 0.06
    ratio_axis(axes, "x", min(ends) / room, max(ends) * room)
    axes.axvline(1.0, color=BLACK, linewidth=1.8)
    axes.axvline(pair.ratio, color=BLACK, linewidth=0.7)
    axes.set_yticks(range(len(shown)), [constant_words(swing.name) for swing in shown], fontsize=7.6)
    axes.set_ylim(rows - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=7.8)
    axes.grid(axis="y", visible=False)
    axes.set_title(f"{one.name}\n{_now(pair)}", fontsize=8.4, linespacing=1.2)


def _now(pair: Comparison) -> str:
    if rounds_to_one(pair.ratio):
        return "even"
    return f"{'digital' if pair.ratio < 1 else 'analog'} takes {times(pair.ratio)} ×"


def _numbers(found: tuple[Scenario, ...], who: str, searched: float | None) -> Table | None:
    """A row a scenario and rival: factors, verdict, and the constant it hangs on."""
    pairs = [(one, pair) for one in found for pair in one.against if pair.analog == who]
    if not pairs:
        return None
    heads = (
        "scenario",
        "against",
        "verdict",
        "whole pass",
        "scoring",
        "circuits alone",
        "price that matters most",
        "changes at",
    )
    tried = "" if searched is None else f" (nowhere: not from 1/{searched:,.0f} to {searched:,.0f} times its value)"
    rows = [
        (
            one.name,
            NAMES.get(pair.rival, pair.rival),
            outcome(pair).value,
            _factor(pair.total_factor),
            "" if pair.scoring_factor is None else _factor(pair.scoring_factor),
            "" if pair.circuits_factor is None else _factor(pair.circuits_factor),
            _most(pair),
            _turn(pair),
        )
        for one, pair in pairs
    ]
    caption = (
        f"The {NAMES[who]} in numbers: the rival's energy over the circuit's, so above 1 analog takes less; of the "
        "whole pass, of scoring, and of scoring without what both read of tokens and project. Against dense the "
        "constant is judged by the whole pass, against digital by what is "
        f"not the same in both. Changes at: the value of that price at which both take the same{tried}, and whether it "
        "lies inside the price's range."
    )
    return Table(f"numbers_{who}", caption, (heads, *rows))


def _factor(factor: float) -> str:
    return f"{factor:.2f}" if 0.1 <= factor < 10 else significant(factor)


def _most(pair: Comparison) -> str:
    if not pair.swings:
        return ""
    first = pair.swings[0]
    return f"{constant_words(first.name)}, {si(first.value, first.unit)} ({_range(first)})"


def _range(swing: Swing) -> str:
    return f"{'assumed ' if swing.assumed else ''}{si(swing.low, swing.unit)} to {si(swing.high, swing.unit)}"


def _turn(pair: Comparison) -> str:
    if pair.break_even is None or not pair.swings:
        return "nowhere"
    first = pair.swings[0]
    return f"{si(pair.break_even, first.unit)} ({'inside' if first.decides else 'outside'})"
