"""What the FPAA targets ask of a scorer."""

from __future__ import annotations

from atis_jax.export.errors import ExportError
from atis_jax.scoring.spec import ScorerSpec


def check_fpaa_spec(spec: ScorerSpec) -> None:
    """Raise ExportError for a scorer that the target has no circuit for."""
    if spec.differential or spec.hysteresis:
        raise ExportError(
            "an FPAA target has one array a score and a comparator without memory; export a design with "
            "scorer.differential = False and scorer.hysteresis = False"
        )
