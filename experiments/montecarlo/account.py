"""What an experiment over chips took, as lines of its page's table."""

from __future__ import annotations

from atis_jax.report.formatting import count
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
