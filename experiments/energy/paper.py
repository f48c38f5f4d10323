"""The paper's numbers beside the ledger's: prints the table, exits with 1 if one is not reproduced.

python -m experiments.energy.paper
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from atis_jax.energy.paper import Claim, claims
from atis_jax.report.formatting import si, significant
from experiments import arguments

VERDICTS = {(True, True): "as printed", (True, False): "discrepancy", (False, True): "OFF", (False, False): "OFF"}


def verdict(claim: Claim) -> str:
    """``as printed``; ``discrepancy``, if the difference is the one that is explained; ``OFF`` for any other."""
    return VERDICTS[claim.reproduced, claim.as_printed]


def words(claim: Claim) -> str:
    """The verdict, and whether the paper's own numbers alone are behind it."""
    return verdict(claim) + (" (arithmetic)" if claim.arithmetic else "")


def quantity(value: float, unit: str) -> str:
    """A value as people read it."""
    if unit in ("J", "W", "s", "B", "Hz"):
        return si(value, unit).replace("\u00a0", " ")
    return significant(value).replace("\u00a0", " ")


def printed(claim: Claim) -> str:
    """The number as the paper has it."""
    return ("below " if claim.upper_bound else "") + " to ".join(quantity(v, claim.unit) for v in claim.printed)


def paper_markdown() -> str:
    """The table of ``docs/energy.md``."""
    rows = ["| section | quantity | printed | computed | | why |", "|---|---|---|---|---|---|"]
    rows += [
        f"| {c.section} | {c.quantity} | {printed(c)} | {quantity(c.computed, c.unit)} | {words(c)} | {c.discrepancy} |"
        for c in claims()
    ]
    return "\n".join(rows)


def main(given: Sequence[str] = ()) -> int:
    """Print the table; 1 if a number is off."""
    arguments.parser("experiments.energy.paper", __doc__).parse_args(given)
    found = claims()
    wide = max(len(c.quantity) for c in found)
    print(f"{'section':<13} {'quantity':<{wide}} {'printed':>16} {'computed':>10}")
    for c in found:
        print(
            f"{c.section:<13} {c.quantity:<{wide}} {printed(c):>16} {quantity(c.computed, c.unit):>10}  {words(c)}"
            + (f": {c.discrepancy}" if c.discrepancy else "")
        )
    off = [c for c in found if not c.reproduced]
    named = sum(verdict(c) == "discrepancy" for c in found)
    print("\narithmetic: from the paper's own numbers; all others are worked out with the ledger")
    print(f"{len(found) - len(off)} of {len(found)} reproduced, {named} of them discrepancies named above")
    for c in off:
        wanted = c.printed[0] if c.expected is None else c.expected
        print(f"off: section {c.section}, {c.quantity}: {c.computed:g}, expected {wanted:g} {c.unit}", file=sys.stderr)
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
