"""Who wins in a scenario, in plain words: the rows and words of its tables."""

from __future__ import annotations

from enum import Enum

from atis_jax.report.formatting import percent, si, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.standing import rounds_to_one, times
from experiments.energy.comparisons import ANALOG, Comparison, Scenario, Swing, read_scenarios
from experiments.energy.plain_words import NAMES, constant_words


class Outcome(Enum):
    """What a comparison comes to; the whole pass goes before scoring, and what rounds to 1.00 is no win."""

    WINS = "wins"
    WINS_SCORING = "wins in scoring only"
    EVEN = "even"
    LOSES_SCORING = "loses in scoring only"
    LOSES = "loses"


_NONE_DECIDES = "No price alone changes the winner within its range"
WON = (Outcome.WINS, Outcome.WINS_SCORING)
TWIN = ANALOG["codesigned"]


def outcome(one: Comparison) -> Outcome:
    """Who wins, judged by the numbers as they are printed: totals that differ by rounding alone are even."""
    if not rounds_to_one(one.total_factor):
        return Outcome.WINS if one.total_factor > 1 else Outcome.LOSES
    if one.scoring_factor is None or rounds_to_one(one.scoring_factor):
        return Outcome.EVEN
    return Outcome.WINS_SCORING if one.scoring_factor > 1 else Outcome.LOSES_SCORING


def rows(run: RunFiles) -> list[tuple[str, str, str]]:
    """What, value and comparison: of each scenario the saving against dense, and how each analog circuit fares."""
    if not run.summary.get("scenarios"):
        return []
    found = [
        (
            "How to read this",
            "lower is better",
            "Joules a pass: one picture, one text or, in a decoder, one more word. 1 mJ is a thousandth of a joule; "
            "µJ, nJ, pJ and fJ are each a thousandth of the one before. Even: rounds to 1.00 times. Digital twin: the "
            "co-designed score in digital, its fairest rival.",
        )
    ]
    searched = run.number("sensitivity.searched_factor")
    for one in read_scenarios(run):
        found += _rows_of(one, searched)
    return found


def _rows_of(one: Scenario, searched: float | None) -> list[tuple[str, str, str]]:
    best = "codesigned" if "codesigned" in one.total_j else "paper"
    rows = []
    dense = one.versus(best, "dense")
    if dense is not None:
        rows.append((f"{one.name}: pruning", saved(one, best), _pruning_words(one, dense)))
    for who, rival in ANALOG.items():
        fair = one.versus(who, rival)
        if fair is not None:
            rows.append((f"{one.name}: {NAMES[who]}", outcome(fair).value, _scoring_words(one, fair, searched)))
    return rows


def saved(one: Scenario, who: str) -> str:
    """What a contender's pass takes less, or more, than the dense one."""
    share = 1.0 - one.total_j[who] / one.total_j["dense"]
    if rounds_to_one(1.0 - share):
        return "as much as dense"
    return f"{percent(abs(share))} {'less' if share > 0 else 'more'} than dense"


def _pruning_words(one: Scenario, dense: Comparison) -> str:
    ours, theirs = (si(one.total_j[who], "J") for who in (dense.analog, "dense"))
    if outcome(dense) is Outcome.EVEN:
        return f"Pruning pays for its scorer and no more: {ours} a pass, dense {theirs}."
    loser, winner = ("Dense", "pruning") if dense.total_factor > 1 else ("Pruning", "dense")
    return (
        f"{loser} takes {times(dense.total_factor)} times as much as {winner}: {theirs} a pass dense, {ours} with the "
        f"{NAMES[dense.analog]}."
    )


def _scoring_words(one: Scenario, fair: Comparison, searched: float | None) -> str:
    """The fairest rival and what that result hangs on, then the plain digital score."""
    parts = [against_words(one, fair)]
    if fair.swings and fair.break_even is None and fair.analog != "codesigned":
        parts.append(f"{_NONE_DECIDES}.")  # which one matters most there is in the table
    elif fair.swings:
        parts.append(deciding_words(fair, searched))
    plain = one.versus(fair.analog, "digital")
    if fair.rival == "folded" and plain is not None:
        if one.total_j["digital"] == one.total_j["folded"]:
            return " ".join([*parts, "Folding changes nothing here."])
        turns = ""
        if plain.swings and plain.swings[0].decides and plain.break_even is not None:
            first = plain.swings[0]
            turns = f", but {constant_words(first.name)} at {si(plain.break_even, first.unit)} changes that (now "
            turns += f"{si(first.value, first.unit)}, inside {range_words(first)})"
        parts.append(f"Against digital, not folded: {plain_words(plain)}{turns}.")
    return " ".join(parts)


def against_words(one: Scenario, pair: Comparison) -> str:
    """Who takes how many times as much: in the whole where that shows, else in scoring, with scoring's share."""
    rival = {
        "digital": "the same score in digital",
        "folded": "the same score folded in digital",
        "codesigned_digital": "its digital twin",
        "coarse": "the same score on coarsely converted pixels",
    }.get(pair.rival, NAMES.get(pair.rival, pair.rival))
    found = outcome(pair)
    if found is Outcome.EVEN or pair.scoring_factor is None:
        return f"Against {rival}: {plain_words(pair)}."
    subject = _capital(rival) if found in WON else f"Against {rival} it"
    if found in (Outcome.WINS_SCORING, Outcome.LOSES_SCORING):
        return (
            f"{subject} takes {times(pair.scoring_factor)} times as much in scoring; the whole, of which scoring is "
            f"{share_words(one.scoring_share(pair.analog))}, is even."
        )
    text = f"{subject} takes {times(pair.total_factor)} times as much in the whole"
    if not rounds_to_one(pair.scoring_factor):
        if (pair.scoring_factor > 1) == (pair.total_factor > 1):
            text += f" and {times(pair.scoring_factor)} times in scoring"
        else:
            who = "the digital score" if pair.scoring_factor > 1 else "the analog circuit"
            text += f", though in scoring alone {who} takes {times(pair.scoring_factor)} times as much"
    return f"{text}; most of the difference is in {_largest_difference(one, pair)}."


def plain_words(pair: Comparison) -> str:
    """A verdict with its factor."""
    found = outcome(pair)
    if found is Outcome.EVEN:
        return "even"
    factor = pair.total_factor if found in (Outcome.WINS, Outcome.LOSES) else pair.scoring_factor or 1.0
    return f"{found.value}, {times(factor)} times"


def share_words(share: float) -> str:
    """A share that is often far below a percent."""
    return "below 0.001 %" if share < 1e-5 else f"{significant(100 * share, 2)} %"


def deciding_words(pair: Comparison, searched: float | None) -> str:
    """Which constant the result hangs on, and where it would turn."""
    if not pair.swings:
        return ""
    first = pair.swings[0]
    words, now = constant_words(first.name), si(first.value, first.unit)
    if first.decides:
        at = "" if pair.break_even is None else f" at {si(pair.break_even, first.unit)} (now {now}),"
        return f"What decides is {words}: the winner changes{at} inside {range_words(first)}."
    text = f"{_NONE_DECIDES}; {words}, which matters most,"
    if pair.break_even is not None:
        return f"{text} would at {si(pair.break_even, first.unit)} (now {now}), outside {range_words(first)}."
    ends = "any value" if searched is None else f"1/{searched:,.0f} or {searched:,.0f} times its value"
    return f"{text} not even at {ends}."


def range_words(swing: Swing) -> str:
    """A constant's range."""
    kind = "an assumed range" if swing.assumed else "its range"
    return f"{kind} of {si(swing.low, swing.unit)} to {si(swing.high, swing.unit)}"


def _largest_difference(one: Scenario, pair: Comparison) -> str:
    ours, theirs = one.grouped_j(pair.analog), one.grouped_j(pair.rival)
    return max(ours, key=lambda name: abs(ours[name] - theirs.get(name, 0.0)))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
