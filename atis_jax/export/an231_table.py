"""The capacitors of an AN231E04 plan as a CSV file, and read back from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from atis_jax.export.an231 import CABS, INPUTS, UNITS, Branch, ChipPlan, Plan, SumDiff
from atis_jax.export.errors import ExportError
from atis_jax.export.parsed import whole

_COLUMNS = 9


def capacitors_csv(plans: Sequence[Plan]) -> str:
    """Every capacitor of every score: what ``read_capacitors`` reads back."""
    rows = ["score,chip,sum,shared_units,source,sign,units,gain,compares"]
    for score, made in enumerate(plans):
        for number, chip in enumerate(made.chips):
            for one in chip.sums:
                for branch in one.branches:
                    cells = (score, number, one.name, one.shared_units, branch.source, branch.sign, branch.units)
                    rows.append(",".join(map(str, (*cells, repr(one.gain(branch)), int(chip.compares)))))
    return "\n".join(rows) + "\n"


def read_capacitors(text: str, plans: Sequence[Plan]) -> list[Plan]:
    """The plans with the capacitors of a ``capacitors.csv``; scales and wanted gains stay those of ``plans``.

    Raises:
        ExportError: a row is damaged, a capacitor is outside 1 to 255, or a SumDiff takes what is not there.
    """
    rows = [line.split(",") for line in text.splitlines()[1:]]
    chips: dict[int, dict[int, dict[str, Any]]] = {}
    for number, row in enumerate(rows, 2):
        where = f"capacitors.csv, line {number}"
        if len(row) != _COLUMNS:
            raise ExportError(f"{where}: {','.join(row)[:80]!r} is damaged; export it anew")
        name, source = row[2], row[4]
        score = whole(row[0], f"{where}: score", 0, len(plans) - 1)
        chip = whole(row[1], f"{where}: chip", 0, len(plans[score].chips) - 1)
        shared, units = whole(row[3], f"{where}: shared_units", 1, UNITS), whole(row[6], f"{where}: units", 1, UNITS)
        sign, compares = whole(row[5], f"{where}: sign", -1, 1), whole(row[8], f"{where}: compares", 0, 1)
        place = chips.setdefault(score, {}).setdefault(chip, {"sums": {}, "compares": bool(compares)})
        place["sums"].setdefault((name, shared), []).append(Branch(source, sign, units))
    if sorted(chips) != list(range(len(plans))):
        raise ExportError(f"capacitors.csv: holds {len(chips)} scores, the plan has {len(plans)}; export it anew")
    read = [
        dataclasses.replace(
            made,
            chips=tuple(
                ChipPlan(
                    tuple(SumDiff(name, shared, tuple(branches)) for (name, shared), branches in place["sums"].items()),
                    place["compares"],
                )
                for _, place in sorted(chips[score].items())
            ),
        )
        for score, made in enumerate(plans)
    ]
    for made, wanted in zip(read, plans, strict=True):
        if len(made.chips) != len(wanted.chips):
            raise ExportError(f"capacitors.csv: holds {len(made.chips)} chips of {len(wanted.chips)}; export it anew")
        _check(made)
    return read


def _check(made: Plan) -> None:
    """Raise ExportError unless every SumDiff takes what is there, and the last chip alone compares."""
    for number, chip in enumerate(made.chips):
        there = {
            "constant",
            *(f"input {j}" for j in range(len(made.wanted))),
            *([f"chip {number - 1}"] if number else []),
        }
        for one in chip.sums:
            for branch in one.branches:
                if branch.source not in there or branch.sign == 0:
                    raise ExportError(
                        f"capacitors.csv: SumDiff {one.name[:9]!r} of chip {number} takes {branch.source[:40]!r} with "
                        f"sign {branch.sign}; there is no such signal, or the sign is not 1 or -1: export it anew"
                    )
            there.add(f"sum {one.name}")
        names = [one.name for one in chip.sums]
        fits = len(names) <= CABS and max(len(one.branches) for one in chip.sums) <= INPUTS
        if not fits or len(set(names)) < len(names) or chip.compares != (chip is made.chips[-1]):
            raise ExportError(f"capacitors.csv: chip {number} is not one that was planned; export it anew")
