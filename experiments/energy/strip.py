"""The strip of the deployment scenarios: who wins where, as a table of colours and in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from atis_jax.report.formatting import join
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Strip
from atis_jax.report.standing import times
from experiments.energy.comparisons import Comparison, Scenario, read_scenarios
from experiments.energy.figures.passes import verdicts_picture
from experiments.energy.verdicts import TWIN, Outcome, outcome

_SCORING = (Outcome.WINS_SCORING, Outcome.LOSES_SCORING)


def scenarios_strip(run: RunFiles) -> Strip:
    """Where dropping tokens pays, and where doing it in analog does."""
    found = read_scenarios(run)
    parts = [_pruning(found), _analog(found)]
    return Strip(
        " ".join(part for part in parts if part),
        (verdicts_picture(found),),
        note="Energy of a pass (a picture, a text, or one more word), worked out from prices, not measured.",
    )


def _pruning(found: Sequence[Scenario]) -> str:
    """The co-designed circuit against the dense network."""
    pairs = {one.name: pair for one in found if (pair := one.versus("codesigned", "dense")) is not None}
    won = {name: pair for name, pair in pairs.items() if outcome(pair) is Outcome.WINS}
    lost = [name for name, pair in pairs.items() if outcome(pair) is Outcome.LOSES]
    if not pairs:
        return ""
    if not won:
        where = f", and loses in {join(lost)}" if lost else ""
        return f"Dropping tokens beats the dense network nowhere{where}."
    saved = [round(100 * (1 - 1 / pair.total_factor)) for pair in won.values()]
    span = f"{min(saved)}" if min(saved) == max(saved) else f"{min(saved)} to {max(saved)}"
    text = f"Dropping tokens beats the dense network {_where(list(won), len(pairs))} ({span}\u00a0% less energy)"
    return f"{text} and loses in {join(lost)}." if lost else f"{text}."


def _analog(found: Sequence[Scenario]) -> str:
    """The co-designed circuit against its digital twin, scenarios grouped by how it fares."""
    pairs = {one.name: pair for one in found if (pair := one.versus("codesigned", TWIN)) is not None}
    parts = []
    for kind in Outcome:
        mine = {name: pair for name, pair in pairs.items() if outcome(pair) is kind}
        if mine:
            even = kind is Outcome.EVEN
            span = "" if even else f" ({_span(list(mine.values()), kind in _SCORING)} times)"
            parts.append(f"{'is even' if even else kind.value} {_where(list(mine), len(pairs))}{span}")
    return f"Against its digital twin the analog circuit {'; '.join(parts)}." if parts else ""


def _where(names: list[str], among: int) -> str:
    return f"in all {among} scenarios" if len(names) == among > 1 else f"in {join(names)}"


def _span(pairs: list[Comparison], scoring: bool) -> str:
    factors = [(pair.scoring_factor if scoring else None) or pair.total_factor for pair in pairs]
    larger = [max(factor, 1 / factor) for factor in factors]
    low, high = times(min(larger)), times(max(larger))
    return low if low == high else f"{low} to {high}"
