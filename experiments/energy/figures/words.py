"""What the contenders and the scenarios are and how they fare, in a line each; accuracy where it was measured."""

from __future__ import annotations

from typing import Any

from atis_jax.report.formatting import count, percent, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Section, Table
from experiments.energy import verdicts
from experiments.energy.comparisons import Scenario, number_at, read_scenarios, table_at
from experiments.energy.plain_words import NAMES


def what_is_compared(run: RunFiles) -> Section:
    """Both tables, before anything is compared."""
    found = read_scenarios(run)
    return Section("What is compared", (contenders(run, found), deployments(found)))


def contenders(run: RunFiles, found: tuple[Scenario, ...]) -> Table:
    """What a scorer does, and a line on each way to run a scenario."""
    paper, codesigned = (_point(run, name) for name in ("paper", "codesigned"))
    sensor = _point(run, "in_sensor")
    on_sensor = f"; where pixels are scored on the sensor another one{sensor}" if sensor else ""
    lines = {
        "dense": "Drops nothing and needs no scorer: every layer works on every token.",
        "digital": f"The paper's score in digital arithmetic{paper}, as the formula stands.",
        "folded": "The same score with its two steps folded into one vector of weights beforehand: the same result "
        "from fewer operations.",
        "paper": f"The analog circuit of the paper's section 4.2{paper}.",
        "codesigned_digital": "The co-designed score in digital, in whichever form is cheaper. The fairest rival of "
        "the next line: a score that needs fewer numbers is cheaper in digital too.",
        "coarse": "The digital twin on pixels converted to a few bits; patches that are kept are read again and "
        "converted in full.",
        "codesigned": f"The analog circuit found by co-design{codesigned}{on_sensor}.",
    }
    caption = (
        "A transformer cuts its input into tokens (patches, words) and works on all of them in every layer. A scorer "
        "drops those that matter least, here with analog currents. The ways to run the same network:"
    )
    rows = tuple((NAMES[name], line) for name, line in lines.items() if any(name in one.total_j for one in found))
    return Table("contenders", caption, (("contender", "what it is"), *rows))


def _point(run: RunFiles, name: str) -> str:
    """What the config says of a design point, in brackets."""
    point = run.config.get(name)
    if not isinstance(point, dict) or not {"inputs", "bits"} <= set(point):
        return ""
    words = [count(point["inputs"], "input")]
    words += ["no converter"] if point.get("dac") == "none" else [count(point["bits"], "bit")]
    words += ["two half arrays"] if point.get("differential") else []
    how = {"learned": "learned projection", "selection": "picks its inputs out of the token"}.get(
        str(point.get("projection"))
    )
    return f" ({', '.join([*words, how] if how else words)})"


def deployments(found: tuple[Scenario, ...]) -> Table:
    """The scenarios in their own words."""
    rows = [
        (
            one.name,
            one.words,
            f"{significant(one.rate_hz)} a second",
            f"{percent(one.kept[-1], 0)} ({percent(sum(one.kept) / len(one.kept), 0)})" if one.kept else "",
            one.preset,
        )
        for one in found
    ]
    caption = "The scenarios. Tokens kept: in the last layer, and in brackets the mean over layers."
    heads = ("scenario", "what it is", "passes", "tokens kept", "prices of operations")
    return Table("deployments", caption, (heads, *rows))


def verdicts_in_words(run: RunFiles) -> Section:
    """Every scenario and analog circuit: what it saves, how it fares and what that hangs on."""
    read_scenarios(run)  # absent where there are none
    caption = "Of each scenario the saving against dense, and how each analog circuit fares against its fairest rival."
    table = Table("verdicts", caption, (("what", "verdict", "in words"), *verdicts.rows(run)))
    return Section("Who wins where, in words", (table,))


def accuracy_table(one: Scenario) -> Table:
    """Accuracy and dropped tokens of the run that a scenario quotes."""
    found: dict[str, Any] = one.measured or {}
    accuracy, tokens = (table_at(found.get(name) or {}, f"measured.{name}") for name in ("accuracy", "tokens"))
    labels = {
        "dense": "dense",
        "hardware_mean": "analog scorer, mean over sampled chips",
        "hardware_worst": "analog scorer, worst chip",
        "digital": "digital scorer",
        "random": "random pruning at the same fractions",
    }
    rows = [
        (f"accuracy, {label}", percent(number_at(accuracy, key, "measured.accuracy")))
        for key, label in labels.items()
        if accuracy.get(key) is not None
    ]
    for key, label in (("pruned_fraction", "mean over layers"), ("pruned_fraction_final_layer", "last layer")):
        if tokens.get(key) is not None:
            rows.append((f"tokens dropped, {label}", percent(number_at(tokens, key, "measured.tokens"))))
    caption = f"Accuracy in scenario {one.name}, as measured by the run {found.get('run', '')}."
    return Table(f"measured_{one.name}", caption, (("what", "value"), *rows))
