"""ATIS's lines of the energy ledger, and those of the same score in digital, as functions of what is trained."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits.hardware import Hardware
from atis_jax.circuits.ota import mirror_capacitance_f
from atis_jax.circuits.tia import has_amplifier
from atis_jax.energy.baselines import cheapest_digital_ledger, digital_ledger, folded_digital_ledger
from atis_jax.energy.components.array import check_token_time, on_time_s
from atis_jax.energy.front_end import FrontEnd
from atis_jax.energy.ledger import Ledger, ledger
from atis_jax.energy.shapes import OF_PIXELS, ScorerShape
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.knobs import active_inputs, dac_bits, full_scale_v
from atis_jax.scoring.atis.program import array_program
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.bill import Bill
from atis_jax.validation import choose

IDEAL_DAC_BITS = 8
"""Bits charged for a converter without a resolution (the ``ideal`` hardware): the digital scorer's int8."""
_FOLDS = {"static": True, "extracted": True, "ema": False}
"""Whether a prototype folds into one vector with the projection: not one that moves."""


def array_current_a(
    design: Design, spec: ScorerSpec, hardware: Hardware, query: Float[Array, "L G D"]
) -> Float[Array, "L"]:
    """Sum of the bias currents of each layer's array, or of its two halves, amperes; none of inputs not built."""
    programmed = jax.vmap(lambda d, q: array_program(d, spec, hardware, q))(design, query)
    current_a = jnp.abs(programmed.signed_current_a)
    # Not the magnitude of what is drawn: that has no slope where an input is off.
    return jnp.sum(current_a if programmed.built is None else current_a * programmed.built[:, None], axis=(1, 2))


@dataclasses.dataclass(frozen=True)
class AtisLedger:
    """What one example costs with the analog scorer, and with what it is compared with.

    Attributes:
        costs: the network's part.
        spec: structure of the scorer.
        hardware: its bits must be concrete.
        converts: whether the converters are there: not for a digital scorer.
    """

    costs: Bill
    spec: ScorerSpec
    hardware: Hardware
    converts: bool = True

    def scorer(self, design: Design) -> ScorerShape:
        """What the ledger needs to know of the scorer as designed: array size and bits of each layer where trained."""
        inputs: Any = self.spec.inputs
        bits: Any = self.hardware.dac.resolution
        bits = IDEAL_DAC_BITS if bits is None else int(bits)
        if self.spec.input_gates:
            inputs = jax.vmap(lambda layer: active_inputs(layer, self.spec))(design)
        if self.spec.trainable_bits and self.converts:
            bits = jax.vmap(lambda layer: dac_bits(layer, self.spec, self.hardware))(design)
        return ScorerShape(
            inputs=inputs,
            prototypes=self.spec.groups,
            dac_bits=bits,
            projection=self.spec.projection,
            arrangement=self.spec.arrangement,
            layers=self.costs.layers,
            differential=self.spec.differential,
            shared=self.spec.shared,
            source=self.spec.source,
            reads=self.spec.reads,
            format=self.costs.energy.score_format,
        )

    def front_end(self, design: Design, query: Float[Array, "L G D"]) -> FrontEnd:
        """How it is built and run."""
        full_scale: Any = self.hardware.dac.full_scale_v
        if self.spec.trainable_full_scale:
            full_scale = jax.vmap(lambda layer: full_scale_v(layer, self.spec, self.hardware))(design)
        current_a = array_current_a(design, self.spec, self.hardware, query)
        scorer = self.scorer(design)
        mean_a = current_a / (scorer.arrays * scorer.inputs)
        in_time = math.isfinite(self.hardware.token_time_s)
        return FrontEnd(
            bias_current_a=current_a,
            supply_v=self.hardware.supply_v,
            token_time_s=self.hardware.token_time_s if in_time else self.costs.energy.token_time_s,
            residue=in_time,
            full_scale_v=full_scale,
            load_f=mirror_capacitance_f(mean_a, self.hardware.ota),
            kappa=self.hardware.ota.kappa,
            uses=self.costs.energy.uses,
            # Pixels are voltages already.
            dac="none" if choose(OF_PIXELS, self.spec.source, "scorer.source") else self.costs.energy.dac,
            converters=self.costs.energy.converters,
            core="bias" if in_time else self.costs.energy.core,
            circuit=self.costs.energy.circuit,
            amplifier=has_amplifier(self.hardware.tia.readout),
            reference_bits=self.costs.energy.reference_bits,
        )

    def token_time_s(self, design: Design, query: Float[Array, "L G D"]) -> Float[Array, "L"]:
        """Time that a token of each layer, and prototype of a multiplexed array, is billed for, s."""
        return on_time_s(*self._timed(design, query))

    def check_token_time(self, design: Design, query: Float[Array, "L G D"]) -> None:
        """Raise SettingError if the time billed is shorter than the circuit needs; a traced design is not looked at."""
        check_token_time(*self._timed(design, query))

    def _timed(self, design: Design, query: Float[Array, "L G D"]):
        """What the laws of a token's time look at."""
        scorer = self.scorer(design)
        inputs, bits = (
            jnp.broadcast_to(jnp.asarray(one, float), len(query)) for one in (scorer.inputs, scorer.dac_bits)
        )
        return self.front_end(design, query), scorer, inputs, bits

    def analog(self, kept: Float[Array, "L"], design: Design, query: Float[Array, "L G D"]) -> Ledger:
        """With the analog scorer."""
        return ledger(
            self.costs.energy.prices(),
            self.costs.network,
            self.scorer(design),
            self.costs.tokens(kept),
            self.front_end(design, query),
            self.costs.energy.memory(),
        )

    def digital(self, kept: Float[Array, "L"], design: Design, folded: bool) -> Ledger:
        """With the same score in digital, as computed or folded to one vector."""
        rival = folded_digital_ledger if folded else digital_ledger
        return rival(
            self.costs.energy.prices(),
            self.costs.network,
            self.scorer(design),
            self.costs.tokens(kept),
            self.costs.energy.memory(),
        )

    def cheapest_digital(self, kept: Float[Array, "L"], design: Design) -> Ledger:
        """With the same score in digital, in whichever form costs less; a moving prototype cannot be folded."""
        if not self.folds:
            return self.digital(kept, design, folded=False)
        return cheapest_digital_ledger(
            self.costs.energy.prices(),
            self.costs.network,
            self.scorer(design),
            self.costs.tokens(kept),
            self.costs.energy.memory(),
        )

    @property
    def folds(self) -> bool:
        """Whether projection and prototype can be folded into one vector: not with a prototype that moves."""
        return choose(_FOLDS, self.spec.prototype, "scorer.prototype")
