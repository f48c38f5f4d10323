"""What a scorer with pulse-width inputs is built from, and what of the other sections has no meaning for it."""

from __future__ import annotations

import dataclasses

from atis_jax.cells.pulse import LATCH_OFFSET_SIGMA_V, STEP_S, SWITCH_OFFSET_SIGMA_V, Timing
from atis_jax.scoring.atis.latched_spec import NO_ENERGY, NO_HARDWARE, NO_SCORER, LatchedScorerSpec
from atis_jax.validation import choose, setting

PULSE_WIDTH = "pulse_width"
_SLOTS = {"slots": True, "counter": False}


@dataclasses.dataclass(frozen=True)
class PulseScorerSpec(LatchedScorerSpec):
    """A scorer whose inputs are pulse widths (``cells.pulse``); fields of other circuits are refused."""

    kind: str = setting(PULSE_WIDTH, choices=(PULSE_WIDTH,), doc="which scorer decides")
    bits: int = setting(6, low=2, high=10, doc="of an input, its sign one of them")
    step_s: float = setting(STEP_S, low=1e-10, high=1e-6, doc="of the clock that times the pulses, s")
    windows: str = setting(
        "slots",
        choices=tuple(_SLOTS),
        doc="an input's bits open windows of 16, 8, 4, 2, 1 steps each, or a counter closes one",
    )
    latch_offset_sigma_v: float = setting(
        LATCH_OFFSET_SIGMA_V, low=0.0, high=1.0, doc="spread of the latch's offset, V"
    )
    switch_offset_sigma_v: float = setting(
        SWITCH_OFFSET_SIGMA_V, low=0.0, high=1.0, doc="spread of what the switches leave on the lines, V"
    )

    no_scorer = NO_SCORER | {
        "source": "a pixel is a voltage, and nothing here makes a pulse of one",
        "trainable_bits": "there is no converter",
        "trainable_full_scale": "there is no converter",
    }
    no_hardware = NO_HARDWARE | {
        "dac_bits": "the bits of a pulse are scorer.bits",
        "imperfections": "latch and switches have spreads of their own, scorer.latch_offset_sigma_v and "
        "scorer.switch_offset_sigma_v",
        "token_time_s": "lines are charged anew for each token, which leaves nothing for the next",
    }
    no_energy = NO_ENERGY | {
        "token_time_s": "a token takes as long as its pulses, scorer.bits and scorer.step_s",
        "dac": "pulse generators stand in its place",
        "converters": "there are none",
        "core": "a token takes as long as its pulses, scorer.bits and scorer.step_s",
        "circuit": "its circuit is cells.pulse",
    }

    @property
    def timing(self) -> Timing:
        """When a token's phases are."""
        return Timing(bits=self.bits, step_s=self.step_s, slots=choose(_SLOTS, self.windows, "scorer.windows"))
