"""Who wins in a scenario, in plain words: the sentence and the rows that open the page, and the words of its tables."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from atis_jax.report.formatting import join, percent, si, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.scenarios import ANALOG, Comparison, Scenario, Swing, read_scenarios

NAMES = {
    "dense": "dense",
    "digital": "digital",
    "folded": "folded digital",
    "paper": "paper's circuit",
    "codesigned_digital": "digital twin",
    "codesigned": "co-designed circuit",
}
NETWORKS = {
    "deit_ti": "DeiT-Ti",
    "deit_s": "DeiT-S",
    "vit_b": "ViT-B",
    "vit_l": "ViT-L",
    "bert_base": "BERT-base",
    "gpt2": "GPT-2",
    "own": "small ViT",
}
# What the constants are called where they are defined, and what a reader outside the field knows them as.
_CONSTANTS = {
    "8 bit DAC": "number-to-voltage conversion",
    "DAC of the design point": "number-to-voltage conversion",
    "paper DAC": "number-to-voltage conversion",
    "DAC unit capacitor": "unit capacitor of a converter",
    "unit capacitor in the routing fabric": "unit capacitor in the fabric",
    "hold capacitor": "capacitor holding an input",
    "TIA op-amp": "read-out amplifier (TIA)",
    "comparator": "analog comparison",
    "line capacitance": "capacitance of an input line",
    "floating-gate write": "writing an analog weight",
    "paper core, dynamic": "switching of the array",
    "paper MAC": "multiply-accumulate",
    "int8 multiply": "8 bit multiplication",
    "int32 add": "32 bit addition",
    "fp16 multiply": "16 bit multiplication",
    "fp32 add": "32 bit floating addition",
    "SRAM, 32 KB": "on-chip memory, 32 KB",
    "SRAM, 1 MB": "on-chip memory, 1 MB",
    "DRAM": "off-chip memory (DRAM)",
    "DDR4": "off-chip memory (DDR4)",
    "pixel read-out": "reading a pixel",
    "pixel ADC": "digitising a pixel",
    "sensor link": "moving a byte off the sensor",
    "Wi-Fi, a byte sent": "sending a byte by Wi-Fi",
}


class Outcome(Enum):
    """What a comparison comes to; the whole pass goes before scoring, and what rounds to 1.00 is no win."""

    WINS = "wins"
    WINS_SCORING = "wins in scoring only"
    EVEN = "even"
    LOSES_SCORING = "loses in scoring only"
    LOSES = "loses"


WON = (Outcome.WINS, Outcome.WINS_SCORING)
LOST = (Outcome.LOSES, Outcome.LOSES_SCORING)


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


def constant_words(name: str) -> str:
    """A constant's name for readers outside the field; one without such words keeps its own."""
    plain = name.removesuffix(", 7 nm")
    return _CONSTANTS.get(plain, plain)


def network_name(name: str) -> str:
    """A network as people call it."""
    return NETWORKS.get(name, name)


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
            "A pass is one image, one text or, in a decoder, one more word. Energies are in joules: 1 mJ is a "
            "thousandth of a joule, and µJ, nJ, pJ and fJ are each a thousandth of the one before. Even: the "
            "difference rounds to 1.00 times. Digital twin: the co-designed score in digital, its fairest rival.",
        )
    ]
    searched = run.number("sensitivity.searched_factor")
    for one in read_scenarios(run):
        found += _rows_of(one, searched)
    return found


def _rows_of(one: Scenario, searched: float | None) -> list[tuple[str, str, str]]:
    title = f"{one.name} ({network_name(one.network)})"
    best = "codesigned" if "codesigned" in one.total_j else "paper"
    rows = []
    dense = one.versus(best, "dense")
    if dense is not None:
        rows.append((f"{title}: pruning", saved(one, best), _pruning_words(one, dense)))
    for who, rival in ANALOG.items():
        fair = one.versus(who, rival)
        if fair is not None:
            rows.append((f"{title}: {NAMES[who]}", outcome(fair).value, _scoring_words(one, fair, searched)))
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
        f"{loser} takes {times(dense.total_factor)} times as much as {winner}: "
        f"{ours} a pass with the {NAMES[dense.analog]}, {theirs} dense."
    )


def _scoring_words(one: Scenario, fair: Comparison, searched: float | None) -> str:
    """The fairest rival first, then the plain digital score, then what the result hangs on."""
    parts = [against_words(one, fair)]
    plain = one.versus(fair.analog, "digital")
    if fair.rival == "folded" and plain is not None:
        unlike = one.total_j["digital"] != one.total_j["folded"]
        parts.append(against_words(one, plain) if unlike else "Folding changes nothing here.")
    return " ".join([*parts, deciding_words(fair, searched)])


def against_words(one: Scenario, pair: Comparison) -> str:
    """Who takes how many times as much: in the whole where that shows, else in scoring, with scoring's share."""
    rival = {
        "digital": "the same score in digital",
        "folded": "the same score folded in digital",
        "codesigned_digital": "its digital twin",
    }.get(pair.rival, NAMES.get(pair.rival, pair.rival))
    found = outcome(pair)
    if found is Outcome.EVEN or pair.scoring_factor is None:
        return f"Against {rival}: even, in scoring and in the whole."
    subject = _capital(rival) if found in WON else f"Against {rival} it"
    if found in (Outcome.WINS_SCORING, Outcome.LOSES_SCORING):
        return (
            f"{subject} takes {times(pair.scoring_factor)} times as much in scoring; the whole, of which scoring is "
            f"{share_words(one.scoring_share(pair.analog))}, is even."
        )
    text = f"{subject} takes {times(pair.total_factor)} times as much in the whole"
    if not rounds_to_one(pair.scoring_factor):
        who = rival if pair.scoring_factor > 1 else "the analog circuit"
        text += f"; of scoring alone {who} takes {times(pair.scoring_factor)} times as much"
    return f"{text}. Most of the difference is in: {_largest_difference(one, pair)}."


def share_words(share: float) -> str:
    """A share that is often far below a percent."""
    return "below 0.001 %" if share < 1e-5 else f"{significant(100 * share, 2)} %"


def deciding_words(pair: Comparison, searched: float | None) -> str:
    """Which constant the result hangs on, and where it would turn."""
    if not pair.swings:
        return ""
    first = pair.swings[0]
    words, now = constant_words(first.name), si(first.value, first.unit)
    most = f"No constant alone changes the winner within its range: the one that matters most, {words},"
    if pair.break_even is not None:
        at = si(pair.break_even, first.unit)
        if first.decides:
            return f"What decides is {words}: the winner changes at {at} (now {now}), inside {range_words(first)}."
        return f"{most} would at {at} (now {now}), outside {range_words(first)}."
    tried = "" if searched is None else f", even at 1/{searched:,.0f} or {searched:,.0f} times its value"
    return f"{most} does not{tried}."


def range_words(swing: Swing) -> str:
    """A constant's range."""
    kind = "an assumed range" if swing.assumed else "its range"
    return f"{kind} of {si(swing.low, swing.unit)} to {si(swing.high, swing.unit)}"


def _largest_difference(one: Scenario, pair: Comparison) -> str:
    ours, theirs = one.grouped_j(pair.analog), one.grouped_j(pair.rival)
    return max(ours, key=lambda name: abs(ours[name] - theirs.get(name, 0.0)))


def _against_dense(found: Sequence[Scenario]) -> str:
    pairs = {one.name: one.versus("codesigned", "dense") for one in found}
    factors = {name: pair.total_factor for name, pair in pairs.items() if pair is not None}
    if not factors:
        return ""
    better = [name for name, factor in factors.items() if factor > 1 and not rounds_to_one(factor)]
    text = "Dropping tokens with the co-designed circuit takes less energy than the dense network"
    if not better:
        return f"{text} {_where(better, factors)}."
    return f"{text} {_where(better, factors)}: dense takes {_span([factors[name] for name in better])} times as much."


def _in_the_whole(found: Sequence[Scenario]) -> str:
    """What the digital twin makes of it, and where the difference between the two shows in the whole pass."""
    pairs = {one.name: one.versus("codesigned", ANALOG["codesigned"]) for one in found}
    held = {name: pair.total_factor for name, pair in pairs.items() if pair is not None}
    if not held:
        return ""
    twin = [one.total_j["dense"] / one.total_j[ANALOG["codesigned"]] for one in found if one.name in held]
    shows = {name: factor for name, factor in held.items() if not rounds_to_one(factor)}
    parts = [f"{name} (analog {'saves' if f > 1 else 'costs'} {percent(abs(1 - 1 / f))})" for name, f in shows.items()]
    low, high = (f"{f(twin):.2f}" for f in (min, max))
    return (
        f"With its digital twin in its place dense takes {low if low == high else f'{low} to {high}'} times as much; "
        f"that scoring is analog shows in the whole {'only in ' + join(parts) if parts else 'nowhere'}."
    )


def _fairly(found: Sequence[Scenario], who: str) -> str:
    pairs = {one.name: pair for one in found if (pair := one.versus(who, ANALOG[who])) is not None}
    if not pairs:
        return ""
    won = [name for name, pair in pairs.items() if outcome(pair) in WON]
    lost = [name for name, pair in pairs.items() if outcome(pair) in LOST]
    rival = {"folded": "the same score folded in digital", "codesigned_digital": "its digital twin"}[ANALOG[who]]
    text = f"The {NAMES[who]} beats {rival} {_where(won, pairs)}"
    by = [pairs[name].scoring_factor or 1.0 for name in won if outcome(pairs[name]) is Outcome.WINS_SCORING]
    if by:
        text += f" (where it is in scoring alone, by {_span(by)} times)"
    if lost and won:
        text += f" and loses {_where(lost, pairs)}"
    return text + "."


def _where(names: Sequence[str], among: Sequence[str] | dict) -> str:
    if not names:
        return f"in none of the {len(among)} scenarios" if len(among) > 1 else "nowhere"
    if len(names) == len(among) > 1:
        return f"in all {len(among)} scenarios"
    return f"in {join(names)}"


def _span(factors: Sequence[float]) -> str:
    low, high = times(min(factors)), times(max(factors))
    return low if low == high else f"{low} to {high}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
