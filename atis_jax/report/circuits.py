"""What the page calls the circuits that a scorer may be, and the parts of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Circuit(NamedTuple):
    """A scorer that is fabricated.

    Attributes:
        name: in a sentence, in front of a noun.
        parts: names of lines of the ledger where they are other than the analog scorer's; an empty one is none of its.
    """

    name: str
    parts: Mapping[str, str] = {}


CIRCUITS: Mapping[str, Circuit] = {
    "analog": Circuit("analog"),
    "pulse_width": Circuit(
        "pulse-width",
        {
            "score": "",
            "dac": "pulse generators, clock, drivers",
            "ota": "currents",
            "tia": "",
            "comparator": "precharge, latch",
            "reference": "",
            "switching": "",
        },
    ),
    "routing_fabric": Circuit(
        "routing-fabric",
        {
            "score": "",
            "dac": "registers, converters, input lines",
            "ota": "switches",
            "tia": "",
            "comparator": "reset, latch",
            "reference": "",
            "switching": "",
        },
    ),
}
"""By ``scorer.kind``."""


def name_of(kind: str) -> str:
    """A kind of scorer in a sentence."""
    return CIRCUITS[kind].name if kind in CIRCUITS else kind
