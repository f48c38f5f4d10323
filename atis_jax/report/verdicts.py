"""Who wins in a scenario, in plain words: the sentence and the rows that open the page, and the words of its tables."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from atis_jax.report.formatting import join, percent, si, significant
from atis_jax.report.plain_words import NAMES, constant_words
from atis_jax.report.run_files import RunFiles
from atis_jax.report.scenarios import ANALOG, Comparison, Scenario, Swing, read_scenarios


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


def rounds_to_one(factor: float) -> bool:
    """Whether the factor, or its inverse, would be printed as 1.00."""
    return max(factor, 1.0 / factor) < 1.005


def outcome(one: Comparison) -> Outcome:
    """Who wins, judged by the numbers as they are printed: totals that differ by rounding alone are even."""
    if not rounds_to_one(one.total_factor):
        return Outcome.WINS if one.total_factor > 1 else Outcome.LOSES
    if one.scoring_factor is None or rounds_to_one(one.scoring_factor):
        return Outcome.EVEN
    return Outcome.WINS_SCORING if one.scoring_factor > 1 else Outcome.LOSES_SCORING


def times(factor: float) -> str:
    """A factor as it is printed, always how many times as much the loser takes."""
    larger = max(factor, 1.0 / factor)
    return f"{larger:.2f}" if larger < 9.995 else significant(larger)


def answer(run: RunFiles) -> str:
    """The page's sentence: what pruning brings, and where analog scoring beats digital; empty for other runs."""
    if not run.summary.get("scenarios"):
        return ""
    found = read_scenarios(run)
    parts = [_against_dense(found), _in_the_whole(found)]
    parts += [_fairly(found, who) for who in ANALOG]
    return " ".join(part for part in parts if part)


def rows(run: RunFiles) -> list[tuple[str, str, str]]:
    """What, value and comparison: of each scenario the saving against dense, and how each analog circuit fares."""
    if not run.summary.get("scenarios"):
        return []
    found = [
        (
            "How to read this",
            "lower is better",
            "Joules a pass: one image, one text or, in a decoder, one more word. 1 mJ is a thousandth of a joule; µJ, "
            "nJ, pJ and fJ are each a thousandth of the one before. Even: rounds to 1.00 times. Digital twin: the "
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


def _against_dense(found: Sequence[Scenario]) -> str:
    """Where pruning pays, with the analog circuit and with its digital twin."""
    pairs = {one.name: one.versus("codesigned", "dense") for one in found}
    factors = {name: pair.total_factor for name, pair in pairs.items() if pair is not None}
    if not factors:
        return ""
    better = [name for name, factor in factors.items() if factor > 1 and not rounds_to_one(factor)]
    text = f"Dropping tokens takes less energy than the dense network {_where(better, len(factors))}"
    if not better:
        return f"{text}."
    text += f": dense takes {_span([factors[name] for name in better])} times as much as the co-designed analog circuit"
    twin = {one.name: one.total_j["dense"] / one.total_j[TWIN] for one in found if TWIN in one.total_j}
    if set(better) <= set(twin):
        low, high = (f"{f(twin[name] for name in better):.2f}" for f in (min, max))
        text += f", {low if low == high else f'{low} to {high}'} times as much as the same score in digital"
    return f"{text}."


def _in_the_whole(found: Sequence[Scenario]) -> str:
    """Where the difference to the digital twin shows in the whole pass."""
    pairs = {one.name: one.versus("codesigned", TWIN) for one in found}
    held = {name: pair.total_factor for name, pair in pairs.items() if pair is not None}
    if not held:
        return ""
    shows = {name: factor for name, factor in held.items() if not rounds_to_one(factor)}
    parts = [f"{name} (analog {'saves' if f > 1 else 'costs'} {percent(abs(1 - 1 / f))})" for name, f in shows.items()]
    return f"That the scorer is analog shows in the whole {'only in ' + join(parts) if parts else 'nowhere'}."


def _fairly(found: Sequence[Scenario], who: str) -> str:
    """A circuit against its fairest rival, scenarios grouped by how it fares."""
    pairs = {one.name: pair for one in found if (pair := one.versus(who, ANALOG[who])) is not None}
    rival = {"folded": "the same score folded in digital", TWIN: "its digital twin"}[ANALOG[who]]
    parts = []
    for kind in Outcome:
        mine = {name: pair for name, pair in pairs.items() if outcome(pair) is kind}
        if not mine:
            continue
        scoring = kind in (Outcome.WINS_SCORING, Outcome.LOSES_SCORING)
        factors = [(pair.scoring_factor if scoring else None) or pair.total_factor for pair in mine.values()]
        does, by = (kind.value, f" ({_span(factors)} times)") if kind is not Outcome.EVEN else ("is even", "")
        parts.append(f"{does} in {join(list(mine))}{by}")
    return f"Against {rival} the {NAMES[who]} {'; '.join(parts)}." if parts else ""


def _where(names: Sequence[str], among: int) -> str:
    if not names:
        return f"in none of the {among} scenarios" if among > 1 else "nowhere"
    return f"in all {among} scenarios" if len(names) == among > 1 else f"in {join(names)}"


def _span(factors: Sequence[float]) -> str:
    larger = [max(factor, 1 / factor) for factor in factors]
    low, high = times(min(larger)), times(max(larger))
    return low if low == high else f"{low} to {high}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
