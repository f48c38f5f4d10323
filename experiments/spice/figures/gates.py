"""What a run was held to: every measured number beside its bound, failing ones first."""

from __future__ import annotations

from atis_jax.report.gates import bound_words, read_gates, value_words
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Section, Table
from experiments.spice.words import process_note


def gates(run: RunFiles) -> Section:
    """A row a gate: what, value, bound, and whether it holds in words."""
    found = sorted(read_gates(run), key=lambda gate: gate.passed)
    failing = sum(not gate.passed for gate in found)
    caption = "Every number that this run is held to. " + (
        f"{failing} of {len(found)} fail and come first." if failing else f"All {len(found)} hold."
    )
    rows = [(gate.what, value_words(gate), bound_words(gate), "holds" if gate.passed else "FAILS") for gate in found]
    table = Table("gates", caption, (("what", "measured", "bound", "verdict"), *rows))
    return Section("Gates", (*process_note(run, "gates"), table))
