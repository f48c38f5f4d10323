"""The capacitors of an AN231E04 plan as a CSV file, and read back from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from atis_jax.export.an231 import UNITS, Branch, ChipPlan, Plan, SumDiff
from atis_jax.export.errors import ExportError


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
        ExportError: a row is damaged, or a capacitor is outside 1 to 255.
    """
    rows = [line.split(",") for line in text.splitlines()[1:]]
    chips: dict[int, dict[int, dict[str, Any]]] = {}
    for number, row in enumerate(rows, 2):
        where = f"capacitors.csv, line {number}"
        try:
            score, chip, name, shared, source, sign, units, _, compares = row
            values = int(score), int(chip), int(shared), int(sign), int(units), int(compares)
        except ValueError as error:
            raise ExportError(f"{where}: {','.join(row)!r} is damaged ({error}); export it anew") from error
        if not (1 <= values[2] <= UNITS and 1 <= values[4] <= UNITS and values[3] in (-1, 1)):
            raise ExportError(
                f"{where}: units {values[4]} over {values[2]} must both be 1 to {UNITS}, and the sign 1 or -1"
            )
        place = chips.setdefault(values[0], {}).setdefault(values[1], {"sums": {}, "compares": bool(values[5])})
        place["sums"].setdefault((name, values[2]), []).append(Branch(source, values[3], values[4]))
    if sorted(chips) != list(range(len(plans))):
        raise ExportError(f"capacitors.csv: holds {len(chips)} scores, the plan has {len(plans)}; export it anew")
    return [
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
