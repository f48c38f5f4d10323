"""The verdicts of docs/energy.md: who wins where, by how much with shared reads and without, and how surely.

    python launch.py --config=configs/scenarios.py
    python -m experiments.energy.verdict_table runs/scenarios
    python -m experiments.docs_tables

The second command reads the run's summary and writes ``docs/verdicts.json``; the third puts both tables into the page.
A test makes the tables again from that file, and the energies in it from the config.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atis_jax.report.formatting import si, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.strict_json import read_json
from atis_jax.validation import UserError
from experiments import arguments
from experiments.energy.comparisons import Comparison, read_scenarios
from experiments.energy.figures.certainty import HEADS, rows
from experiments.energy.plain_words import constant_words
from experiments.files import write_json_atomically

NUMBERS = Path(__file__).parents[2] / "docs" / "verdicts.json"
_TOLD = ("name", "words", "network", "preset", "kept", "rate_hz", "total_j", "scoring_j", "ledger_j")


def collected(folder: Path) -> dict[str, Any]:
    """What the page tells of a finished run.

    Raises:
        UserError: no finished run of the scenarios, or one of before certainty was told.
    """
    try:
        summary = read_json(folder / "summary.json")
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no finished run ({error}); run configs/scenarios.py first") from error
    scenarios = summary.get("scenarios")
    if not scenarios or any("certainty" not in pair for one in scenarios for pair in one["against"]):
        raise UserError(f"{folder}: summary.json has no certainty of its verdicts; run configs/scenarios.py again")
    found = []
    for one in scenarios:
        pairs = [pair | {"constants": pair["constants"][:1]} for pair in one["against"]]
        found.append({name: one[name] for name in _TOLD} | {"against": pairs})
    return {"scenarios": found, "sensitivity": summary["sensitivity"]}


def stored() -> RunFiles:
    """``docs/verdicts.json`` as a run whose scenarios can be read."""
    return RunFiles(NUMBERS.parent, summary=read_json(NUMBERS))


def winners_markdown() -> str:
    """A row a scenario: the whole pass, both circuits against their fairest rivals, and what decides the last."""
    lines = [
        "| scenario | a pass, dense: co-designed | paper's circuit against folded, scoring | co-designed against its "
        "twin, scoring | the same, circuits alone | whole pass saved against the twin: median, 5 to 95 % | what "
        "decides |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in read_scenarios(stored()):
        paper, twin = one.versus("paper", "folded"), one.versus("codesigned", "codesigned_digital")
        if paper is None or twin is None or twin.certainty is None:
            continue
        dense, ours = (si(one.total_j[who], "J") for who in ("dense", "codesigned"))
        low, middle, high = (_percent(share) for share in twin.certainty.saved)
        lines.append(
            f"| {one.name} | {dense}: {ours} | {_verdict(paper.scoring_factor)} | {_verdict(twin.scoring_factor)} | "
            f"{_verdict(twin.circuits_factor)} | {middle}, {low} to {high} | {_decides(twin)} |"
        )
    return "\n".join(lines).replace("\u00a0", " ")


def certainty_markdown() -> str:
    """A row a verdict."""
    lines = ["| " + " | ".join(HEADS) + " |", "|---" * len(HEADS) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows(stored()))]).replace("\u00a0", " ")


def _verdict(factor: float | None) -> str:
    if factor is None:
        return ""
    return f"wins {significant(factor)} times" if factor >= 1 else f"loses {significant(1 / factor)} times"


def _percent(share: float) -> str:
    return f"{'-' if share < 0 else ''}{significant(100 * abs(share), 2)} %"


def _decides(pair: Comparison) -> str:
    first = pair.swings[0]
    words = f"{constant_words(first.name)}"
    if not first.decides or pair.break_even is None:
        return f"none within its range; {words} matters most"
    return f"{words}: turns at {si(pair.break_even, first.unit)} (now {si(first.value, first.unit)})"


def main(given: Sequence[str]) -> int:
    """Write ``docs/verdicts.json``; 2 for a mistake."""
    parser = arguments.parser("experiments.energy.verdict_table", __doc__)
    parser.add_argument("run", metavar="RUN", help="folder of a finished run of configs/scenarios.py")
    asked = parser.parse_args(given)
    try:
        write_json_atomically(NUMBERS, collected(Path(asked.run)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{NUMBERS} written; now python -m experiments.docs_tables")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
