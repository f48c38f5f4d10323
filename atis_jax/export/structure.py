"""What a scorer's structure becomes in a circuit that is programmed once: what stays, what is built otherwise."""

from __future__ import annotations

import dataclasses

from atis_jax.export.errors import ExportError
from atis_jax.scoring.atis.spec import ScorerSpec


def check_exportable(spec: ScorerSpec) -> None:
    """Raise ExportError for a scorer that no target has a circuit for: a comparator that remembers."""
    if spec.hysteresis:
        raise ExportError(
            "scorer.hysteresis = True: the exported comparator is reset by each token and has no memory; train with "
            "scorer.hysteresis = False, or export the bundle alone (config.target = 'bundle')"
        )


def check_an_array_each(spec: ScorerSpec) -> None:
    """Raise ExportError for a scorer whose array has a comparator for every scored layer, beyond what an FPAA maps."""
    if spec.reads_once:
        raise ExportError(
            "scorer.reads = 'first_layer': rasp and an231e04 place one comparator behind each score, and lack those of "
            "the later layers; train with scorer.reads = 'every_layer', or export to config.target = 'spice' or "
            "'bundle'"
        )


def side_by_side(spec: ScorerSpec) -> ScorerSpec:
    """The same scorer, every prototype on an array of its own: turns are a controller's business, not a netlist's."""
    return dataclasses.replace(spec, arrangement="grouped") if spec.arrangement == "multiplexed" else spec


def as_built(spec: ScorerSpec, *, single_ended: bool = False) -> ScorerSpec:
    """The structure of the circuit that an export describes, to run what was read back.

    What was programmed stays, whatever it was made from: no moving prototype, no adapting threshold.

    Args:
        spec: of the design.
        single_ended: whether of a differential scorer the half w alone is built.
    """
    return dataclasses.replace(
        side_by_side(spec),
        prototype="static",
        adaptive_rate_v=0.0,
        differential=spec.differential and not single_ended,
    )


def built_otherwise(spec: ScorerSpec, *, single_ended: bool = False) -> list[str]:
    """Sentences on where ``as_built`` differs from the design, for whoever builds it."""
    found = []
    if spec.differential and single_ended:
        found.append(
            "The design has two half arrays, of weights w and -w; here is the half w alone. It gives the same score "
            "where OTAs are odd and have no offset; what the halves cancel is not cancelled."
        )
    if spec.arrangement == "multiplexed":
        found.append("The design reads its prototypes in turns on one array; here each has an array of its own.")
    if spec.prototype == "ema":
        found.append("The design's prototypes move with the queries; here they are where training left them.")
    if spec.adaptive_rate_v > 0:
        found.append("The design's thresholds adapt from token to token; here they are where they start.")
    return found
