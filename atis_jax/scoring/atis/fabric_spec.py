"""What a scorer in a routing fabric is built from, and what of the other sections has no meaning for it."""

from __future__ import annotations

import dataclasses

from atis_jax.cells.fabric import CAPACITANCE_SIGMA, LATCH_OFFSET_SIGMA_V
from atis_jax.scoring.atis.latched_spec import NO_ENERGY, NO_HARDWARE, NO_SCORER, LatchedScorerSpec
from atis_jax.validation import setting

ROUTING_FABRIC = "routing_fabric"


@dataclasses.dataclass(frozen=True)
class FabricScorerSpec(LatchedScorerSpec):
    """A scorer that multiplies in the switches of a routing fabric (``cells.fabric``); others' fields are refused."""

    kind: str = setting(ROUTING_FABRIC, choices=(ROUTING_FABRIC,), doc="which scorer decides")
    bits: int = setting(6, low=2, high=10, doc="of an input, its sign one of them")
    line_f: float = setting(
        0.0, low=0.0, high=1e-11, doc="of every line beside its crossings, F; 0.1 to 1 pF in a field-programmable array"
    )
    latch_offset_sigma_v: float = setting(
        LATCH_OFFSET_SIGMA_V, low=0.0, high=1.0, doc="spread of the latch's offset, V"
    )
    capacitance_sigma: float = setting(
        CAPACITANCE_SIGMA, low=0.0, high=0.2, doc="spread of each output's capacitance, relative"
    )

    no_scorer = NO_SCORER | {
        "source": "a pixel is a voltage, and a line takes a current",
        "trainable_bits": "a converter is floating gates, one a bit: scorer.bits",
        "trainable_full_scale": "full scale is half of a line's current",
    }
    no_hardware = NO_HARDWARE | {
        "dac_bits": "the bits of a converter are scorer.bits",
        "imperfections": "latch and outputs have spreads of their own, scorer.latch_offset_sigma_v and "
        "scorer.capacitance_sigma",
        "token_time_s": "a token takes until its lines have settled, and outputs begin anew",
    }
    no_energy = NO_ENERGY | {
        "token_time_s": "a token takes as long as its lines and outputs need",
        "dac": "a converter is currents into the lines, cells.fabric",
        "converters": "every input has one, cells.fabric",
        "core": "a token takes as long as its lines and outputs need",
        "circuit": "its circuit is cells.fabric",
    }
