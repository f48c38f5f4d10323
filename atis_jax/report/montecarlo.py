"""What an experiment over chips took, and what one found of effective bits."""

from __future__ import annotations

import math

from atis_jax.report.formatting import count, points
from atis_jax.report.numbers import Row
from atis_jax.report.run_files import RunFiles

_MIB = 2**20


def cost(run: RunFiles) -> list[Row]:
    """How much was evaluated, how fast, in what memory."""
    account = run.table("montecarlo")
    if not account:
        return []
    cells = int(account["cells"])
    rate, here = account.get("inputs_per_s"), int(account.get("cells_computed_here", cells))
    # Speed, memory and time are the last attempt's alone.
    part = f", {here:,} of the cells in the last attempt" if 0 < here < cells else ""
    rows = [
        Row(
            "Cells (a chip in one condition) x inputs",
            f"{cells:,} x {int(account['examples']):,}",
            f"{rate:,.0f} inputs a second on {count(int(account['devices']), 'device')}{part}"
            if rate
            else "read from disk",
        )
    ]
    memory = account["memory"]
    rows.append(
        Row(
            "Largest resident memory",
            f"{memory['peak_resident_bytes'] / _MIB:,.0f} MiB",
            f"of a budget of {memory['budget_bytes'] / _MIB:,.0f} MiB",
        )
    )
    return rows


def precision_answer(run: RunFiles) -> str:
    """Two sentences on the paper's claim of 4 to 6 effective bits, from the counts alone."""
    precision = run.table("precision")
    claim, knee = precision["claim"]["design"], precision["knee"]["design"]
    low, high = claim["bits"]
    within, below = claim["within"], claim["below"]
    limit, kept = (points(precision[name]).lstrip("+") for name in ("limit", "kept_limit"))
    first = (
        f"Of {within['points']} combinations with {low:g} to {high:g} effective bits {within['hold']} hold, of "
        f"{below['points']} with fewer {below['hold']} (they lose at most {limit} and keep at most {kept} more tokens, "
        f"mean of {count(precision['chips'], 'chip')} on {count(precision['examples'], 'input')})."
    )
    if knee["median"] is None:
        return (
            f"{first} {count(knee['without'], 'design')} of {knee['designs']} fail even with the most effective bits."
        )
    odd = (("without", "fail even with the most"), ("at_most", "fail at none that were measured"))
    rest = [f"{knee[name]} {words}" for name, words in odd if knee[name]]
    span = f"{_up(knee['low'])} to {_up(knee['high'])}"
    second = (
        f"From {_up(knee['median'])} effective bits on no combination of a design fails by more than one standard "
        f"error (median of {count(knee['designs'], 'design')}, {'; '.join([span, *rest])})."
    )
    return f"{first} {second}"


def _up(bits: float) -> str:
    """One decimal, rounded up: what holds from 3.21 on holds from 3.3 on."""
    return f"{math.ceil(10 * bits - 1e-9) / 10:.1f}"
