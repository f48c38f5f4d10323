"""Table 1 of the ATIS paper, made anew: its own claims beside what each system's paper prints and our models give.

    python -m experiments.table1

One layer of the paper's section 4.2: 1,024 tokens, width 512, 8 heads of 64, int8 at 45 nm, memory not charged, a
million tokens a second. ``docs/table1.md`` holds what is printed here.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atis_jax.energy.attention.systems import RATE, SYSTEMS, TOKENS, System, exact
from atis_jax.formatting import percent, si, significant
from atis_jax.strict_json import read_json
from experiments import arguments

ACCURACY = Path(__file__).parents[1] / "docs" / "attention_circuits.json"
NETWORKS = {
    "quickstart": "quickstart's digits",
    "vit_cifar10-dense": "CIFAR-10, ViT",
    "sst2-dense": "SST-2, MiniLM",
}
HOUR_S, DAY_S, YEAR_S = 3600.0, 86_400.0, 365.25 * 86_400.0


def time_words(seconds: float) -> str:
    """A time in the unit that people count it in."""
    for unit, size in (("years", YEAR_S), ("days", DAY_S), ("h", HOUR_S)):
        if seconds >= 2 * size:
            return f"{significant(seconds / size)} {unit}"
    return si(seconds, "s")


def writes(system: System) -> str:
    """Writes a token, and how long cells last at ``RATE``."""
    wear = system.wear
    if wear.token_cells == 0:
        times = "" if wear.lasts is None else f"; {_power(wear.lasts[0])} to {_power(wear.lasts[1])} other networks"
        return f"none{times}"
    low, high = wear.lifetime_s(RATE, TOKENS)
    lasts = "no limit known" if math.isinf(low) else f"{time_words(low)} to {time_words(high)}"
    fades = f"; its window fades below {system.forgets_hz / 1e3:,.0f} k tokens/s" if system.forgets_hz else ""
    return f"{wear.token_cells:,} cells; {lasts}{fades}"


def another(system: System) -> str:
    """What loading another network takes."""
    cells = system.wear.programmed_cells
    if system.switch == (0.0, 0.0):
        return f"{cells} numbers in registers" if cells else "nothing is stored for a network"
    joules, seconds = system.switch
    return f"{cells:,} cells, {si(joules, 'J')}, {time_words(seconds)}"


def _power(value: float) -> str:
    digits = str(round(math.log10(value))).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{digits}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, with plain spaces."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines).replace("\u00a0", " ")


def claims_markdown() -> str:
    """The paper's columns, each beside what follows from our models."""
    head = (
        "system",
        "hardware",
        "stage (paper)",
        "reconfigurable (paper)",
        "another network takes",
        "endurance (paper)",
        "writes a token; lifetime at 1 M tokens/s",
        "slips of the row",
    )
    rows = [
        (s.claim.system, s.claim.hardware, s.claim.stage, s.claim.reconfigurable, another(s), s.claim.endurance)
        + (writes(s), s.slip)
        for s in SYSTEMS
    ]
    return table(head, rows)


def models_markdown() -> str:
    """What a layer takes."""
    head = (
        "system",
        "circuit",
        "Q K^T, A V in digital",
        "maps, norm, MLP",
        "layer",
        "of exact",
        "exact pairs",
        "time a token",
    )
    whole = exact()
    rows = []
    for name, found in (("exact attention, int8", whole), *((s.name, s.model()) for s in SYSTEMS)):
        joules = (found.circuit_j, found.products_j, found.rest_j, found.total_j)
        rows.append(
            (
                name,
                *(si(value, "J") if value else "-" for value in joules),
                percent(found.total_j / whole.total_j),
                "-" if found.pairs is None else percent(found.pairs),
                "-" if found.seconds is None else si(found.seconds, "s"),
            )
        )
    return table(head, rows)


def printed_markdown() -> str:
    """What each system's own paper prints."""
    return table(("system", "printed"), [(s.name, s.printed) for s in SYSTEMS])


def accuracy_markdown() -> str:
    """Accuracies stored by ``experiments.attention_circuits``, a column a network."""
    stored: dict[str, Any] = read_json(ACCURACY)
    shown = {name: words for name, words in NETWORKS.items() if name in stored}
    of = {name: {row["name"]: row for row in stored[name]["rows"]} for name in shown}
    names = list(dict.fromkeys(row for rows in of.values() for row in rows))
    cells = []
    for name in names:
        line = [name]
        for network in shown:
            row = of[network].get(name)
            line.append("" if row is None else _points(row))
        cells.append(line)
    return table(("%", *(f"{words}, {stored[name]['examples']:,}" for name, words in shown.items())), cells)


def _points(row: dict[str, Any]) -> str:
    if not row["error"]:
        return f"{100 * row['accuracy']:.1f}"
    return f"{100 * row['accuracy']:.1f} ({100 * row['difference']:+.1f} ± {100 * row['error']:.1f})".replace("-", "−")


TABLES = {
    "claims": claims_markdown,
    "models": models_markdown,
    "printed": printed_markdown,
    "accuracy": accuracy_markdown,
}


def main(given: Sequence[str] = ()) -> int:
    """Print the tables."""
    arguments.parser("experiments.table1", __doc__).parse_args(given)
    print("\n\n".join(make() for make in TABLES.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
