"""The energy ledger as the co-design loss sees it: a function of kept fractions and design.

``RunLedger`` holds what a run's ledger is made of, so that loss, summary and report cannot charge differently.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits.hardware import Hardware
from atis_jax.energy.baselines import (
    cheapest_digital_ledger,
    dense_ledger,
    digital_ledger,
    energy_ratio,
    folded_digital_ledger,
)
from atis_jax.energy.front_end import FrontEnd
from atis_jax.energy.ledger import Ledger, ledger
from atis_jax.energy.shapes import OF_PIXELS, NetworkShape, ScorerShape, Tokens
from atis_jax.energy.spec import EnergySpec
from atis_jax.models.spec import ModelSpec
from atis_jax.models.vit import VisionTransformer
from atis_jax.scoring.design import Design
from atis_jax.scoring.knobs import active_inputs, dac_bits, full_scale_v
from atis_jax.scoring.program import array_program
from atis_jax.scoring.spec import ScorerSpec
from atis_jax.validation import choose

IDEAL_DAC_BITS = 8
"""Bits charged for a converter without a resolution (the ``ideal`` hardware): the digital scorer's int8."""


def network_shape(model: VisionTransformer, channels: int, camera: bool = False) -> NetworkShape:
    """What the ledger needs to know of the network.

    Args:
        model: the network.
        channels: of an image.
        camera: whether its pixels are converted by a camera that is charged.
    """
    spec = model.spec
    stem_macs = choose(_STEM_MACS, spec.stem, "model.stem")
    return NetworkShape(
        tokens=model.tokens,
        width=spec.width,
        depth=spec.depth,
        heads=spec.heads,
        mlp_width=spec.mlp_width,
        classes=model.classes,
        stem_macs=stem_macs(spec, model.tokens, channels),
        pixel_values=spec.patch**2 * channels if camera else 0,
    )


def _conv_stem_macs(spec: ModelSpec, tokens: int, channels: int) -> int:
    squares = tokens * (spec.patch // 2) ** 2
    neighbourhoods = squares * 36 * channels * spec.stem_width
    return neighbourhoods + squares * spec.stem_width * spec.width + tokens * spec.width**2


def _linear_stem_macs(spec: ModelSpec, tokens: int, channels: int) -> int:
    return tokens * spec.patch**2 * channels * spec.width


_STEM_MACS = {"conv": _conv_stem_macs, "linear": _linear_stem_macs}
"""Multiply-accumulates of the patch embedding of one image."""
_FOLDS = {"static": True, "extracted": True, "ema": False}
"""Whether a prototype folds into one vector with the projection: not one that moves."""


def array_current_a(
    design: Design, spec: ScorerSpec, hardware: Hardware, query: Float[Array, "L G D"]
) -> Float[Array, "L"]:
    """Sum of the bias currents of each layer's array, or of its two halves, amperes; none of inputs not built."""
    held = jax.vmap(lambda d, q: array_program(d, spec, hardware, q))(design, query)
    current_a = jnp.abs(held.signed_current_a)
    # Not the magnitude of what is drawn: that has no slope where an input is off.
    return jnp.sum(current_a if held.built is None else current_a * held.built[:, None], axis=(1, 2))


@dataclasses.dataclass(frozen=True)
class RunLedger:
    """What one image costs in a run, for its scorer's kind and for what it is compared with.

    Attributes:
        energy: what is charged.
        network: shape of the network.
        spec: structure of the scorer.
        hardware: its bits must be concrete.
        layers: (L,) which layers have a scorer.
    """

    energy: EnergySpec
    network: NetworkShape
    spec: ScorerSpec
    hardware: Hardware
    layers: tuple[bool, ...]

    def scorer(self, design: Design) -> ScorerShape:
        """What the ledger needs to know of the scorer as designed: array size and bits of each layer where trained."""
        inputs: Any = self.spec.inputs
        bits: Any = self.hardware.dac.resolution
        bits = IDEAL_DAC_BITS if bits is None else int(bits)
        if self.spec.input_gates:
            inputs = jax.vmap(lambda layer: active_inputs(layer, self.spec))(design)
        if self.spec.trainable_bits and self.spec.kind == "analog":
            bits = jax.vmap(lambda layer: dac_bits(layer, self.spec, self.hardware))(design)
        return ScorerShape(
            inputs=inputs,
            prototypes=self.spec.groups,
            dac_bits=bits,
            projection=self.spec.projection,
            arrangement=self.spec.arrangement,
            layers=self.layers,
            differential=self.spec.differential,
            shared=self.spec.shared,
            source=self.spec.source,
            format=self.energy.score_format,
        )

    def front_end(self, design: Design, query: Float[Array, "L G D"]) -> FrontEnd:
        """How it is built and run."""
        full_scale: Any = self.hardware.dac.full_scale_v
        if self.spec.trainable_full_scale:
            full_scale = jax.vmap(lambda layer: full_scale_v(layer, self.spec, self.hardware))(design)
        return FrontEnd(
            bias_current_a=array_current_a(design, self.spec, self.hardware, query),
            supply_v=self.hardware.supply_v,
            token_time_s=self.energy.token_time_s,
            full_scale_v=full_scale,
            load_f=self.hardware.ota.capacitance_f,
            kappa=self.hardware.ota.kappa,
            uses=self.energy.uses,
            # Pixels are voltages already.
            dac="none" if choose(OF_PIXELS, self.spec.source, "scorer.source") else self.energy.dac,
            converters=self.energy.converters,
            core=self.energy.core,
            reference_bits=self.energy.reference_bits,
        )

    def tokens(self, kept: Float[Array, "L"]) -> Tokens:
        """Counts at kept fractions ``kept`` (after each layer): a layer scores what the one before left."""
        count = kept * self.network.tokens
        return Tokens(jnp.concatenate([jnp.full((1,), float(self.network.tokens)), count[:-1]]), count)

    def dense(self) -> Ledger:
        """The network with every token."""
        return dense_ledger(self.energy.prices(), self.network, self.energy.memory())

    def analog(self, kept: Float[Array, "L"], design: Design, query: Float[Array, "L G D"]) -> Ledger:
        """With the analog scorer."""
        return ledger(
            self.energy.prices(),
            self.network,
            self.scorer(design),
            self.tokens(kept),
            self.front_end(design, query),
            self.energy.memory(),
        )

    def digital(self, kept: Float[Array, "L"], design: Design, folded: bool) -> Ledger:
        """With the same score in digital, as computed or folded to one vector."""
        rival = folded_digital_ledger if folded else digital_ledger
        return rival(self.energy.prices(), self.network, self.scorer(design), self.tokens(kept), self.energy.memory())

    def cheapest_digital(self, kept: Float[Array, "L"], design: Design) -> Ledger:
        """With the same score in digital, in whichever form costs less; a moving prototype cannot be folded."""
        if not self.folds:
            return self.digital(kept, design, folded=False)
        return cheapest_digital_ledger(
            self.energy.prices(), self.network, self.scorer(design), self.tokens(kept), self.energy.memory()
        )

    @property
    def folds(self) -> bool:
        """Whether projection and prototype can be folded into one vector: not with a prototype that moves."""
        return choose(_FOLDS, self.spec.prototype, "scorer.prototype")

    def pruned(self, kept: Float[Array, "L"], design: Design, query: Float[Array, "L G D"]) -> Ledger:
        """With the run's own scorer; a digital one folds where it can and where that is cheaper.

        A random scorer is charged the network alone: choosing by chance costs nothing here.

        Raises:
            SettingError: nothing says what a scorer of that kind costs.
        """
        spent: dict[str, Callable[[], Ledger]] = {
            "analog": lambda: self.analog(kept, design, query),
            "digital": lambda: self.cheapest_digital(kept, design),
            "random": lambda: self.unscored(kept),
        }
        return choose(spent, self.spec.kind, "scorer.kind")()

    def unscored(self, kept: Float[Array, "L"]) -> Ledger:
        """With fewer tokens, chosen at no cost."""
        return dense_ledger(self.energy.prices(), self.network, self.energy.memory(), self.tokens(kept))

    def ratio(self) -> Callable[[Float[Array, "L"], Design, Float[Array, "L G D"]], Float[Array, ""]]:
        """(kept fractions, design, queries) -> energy over the dense network's, differentiable."""
        dense = self.dense()
        return lambda kept, design, query: energy_ratio(self.pruned(kept, design, query), dense)
