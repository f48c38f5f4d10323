"""How a network and a scorer are trained, as plain numbers."""

from __future__ import annotations

import dataclasses

from atis_jax.circuits.thermal import MODEL_HIGH_C, MODEL_LOW_C
from atis_jax.validation import SettingError, check_settings, setting

LARGEST_ADAM_RATE = 0.5
"""Of raw thresholds: a step of it already crosses an eighth of the comparator's span."""


@dataclasses.dataclass(frozen=True)
class StageSpec:
    """One stretch of training with its own warm-up and cosine decay to zero."""

    steps: int = setting(1000, low=1, high=10_000_000, doc="optimiser steps")
    optimiser: str = setting("adamw", choices=("adamw", "muon"), doc="optimiser of the network's matrices")
    learning_rate: float = setting(1e-3, low=0.0, high=1.0, doc="peak learning rate of the network")
    warmup: float = setting(0.1, low=0.0, high=1.0, doc="fraction of the steps spent warming up")
    weight_decay: float = setting(0.05, low=0.0, high=1.0, doc="decoupled weight decay of the network")
    clip: float = setting(1.0, low=0.0, exclusive_low=True, doc="global gradient norm is clipped to this")
    label_smoothing: float = setting(0.0, low=0.0, high=0.9, doc="label smoothing of the cross-entropy")
    frozen_blocks: int = setting(
        0, low=0, high=64, doc="first blocks that stay as they are, with all in front of them; no loss goes back there"
    )

    def __post_init__(self):
        check_settings(self, "stage")


@dataclasses.dataclass(frozen=True)
class PruningSpec:
    """How many tokens each layer should keep, and how the gates get there.

    Decisions are hard from the first step by default, with the soft comparator's slope (straight-through): a network
    trained with soft gates learns to make them all alike, which a softmax does not notice, and falls apart once they
    turn hard.
    """

    kept: tuple[float, ...] = setting(
        (0.5,),
        low=0.0,
        high=1.0,
        least=1,
        doc="wanted kept fraction after each layer, cascaded; one number, or one per layer",
    )
    first_layer: int = setting(0, low=0, high=63, doc="layers before it keep every token and have no scorer")
    scored_layers: int | None = setting(
        None,
        low=1,
        high=64,
        doc="layers from first_layer on that have a scorer; later ones keep what reaches them. None: all",
    )
    ramp: float = setting(0.4, low=0.0, high=1.0, doc="fraction of co-design over which the target falls")
    ramp_start: float = setting(
        0.0, low=0.0, high=1.0, doc="fraction of co-design that comes first, and prunes nothing"
    )
    ramp_from: float = setting(1.0, low=0.0, high=1.0, doc="kept fraction from which the target falls then")
    hard_from: float = setting(0.0, low=0.0, high=1.0, doc="fraction of co-design after which decisions are hard")
    smoothing_start: float = setting(
        0.15,
        low=1e-4,
        high=10.0,
        doc="soft comparator width over the half span at step 0",
    )
    smoothing_end: float = setting(0.15, low=1e-4, high=10.0, doc="and from hard_from on, the slope of hard decisions")

    def __post_init__(self):
        check_settings(self, "pruning")
        if any(later > earlier for earlier, later in zip(self.kept, self.kept[1:], strict=False)):
            raise SettingError(
                f"pruning.kept = {self.kept} grows from one layer to the next; masks cascade, so a pruned token never "
                "comes back: give fractions that fall or stay equal"
            )

    def scored(self, depth: int) -> range:
        """The layers of ``depth`` that have a scorer: ``scored_layers`` from ``first_layer`` on.

        Raises:
            SettingError: there are not as many.
        """
        if self.first_layer >= depth:
            raise SettingError(
                f"pruning.first_layer = {self.first_layer} leaves no layer of {depth} to prune in; "
                f"use at most {depth - 1}"
            )
        most = depth - self.first_layer
        count = most if self.scored_layers is None else self.scored_layers
        if count > most:
            raise SettingError(
                f"pruning.scored_layers = {count}, but from pruning.first_layer = {self.first_layer} on there are only "
                f"{most} of {depth} layers; use at most {most}, or None for all of them"
            )
        return range(self.first_layer, self.first_layer + count)

    def kept_per_layer(self, depth: int) -> tuple[float, ...]:
        """One wanted fraction per layer: 1 before the scored ones, that of the last scored one after them."""
        scored = self.scored(depth)
        if len(self.kept) not in (1, len(scored)):
            raise SettingError(
                f"pruning.kept has {len(self.kept)} entries for {len(scored)} scored layers (of model.depth {depth}, "
                f"from pruning.first_layer {self.first_layer} on); give one, or {len(scored)}"
            )
        kept = self.kept * (len(scored) if len(self.kept) == 1 else 1)
        return (1.0,) * scored.start + kept + kept[-1:] * (depth - scored.stop)

    def kept_of_incoming(self, depth: int) -> tuple[float, ...]:
        """Wanted share of the tokens that reach each layer's comparator: what an adaptive threshold watches."""
        kept = self.kept_per_layer(depth)
        return tuple(k / max(before, 1e-6) for k, before in zip(kept, (1.0, *kept[:-1]), strict=True))


@dataclasses.dataclass(frozen=True)
class LossSpec:
    """Weights of the terms of the co-design loss."""

    distill: float = setting(1.0, low=0.0, high=100.0, doc="KL from the dense network's softened outputs")
    distill_temperature: float = setting(1.0, low=0.1, high=100.0, doc="temperature of that softening")
    keep: float = setting(
        10.0, low=0.0, high=1000.0, doc="squared error of the kept fraction, for codesign.threshold = 'gradient'"
    )
    swing: float = setting(
        20.0, low=0.0, high=1000.0, doc="squared error of the scores' mean and spread against a third of the half span"
    )
    energy: float = setting(
        0.0,
        low=0.0,
        high=1000.0,
        doc="energy over the dense network's; tracked thresholds leave it the bias currents",
    )
    attention: float = setting(
        0.0, low=0.0, high=100.0, doc="cross-entropy of keep probability with the dense network's top CLS attention"
    )

    def __post_init__(self):
        check_settings(self, "loss")


@dataclasses.dataclass(frozen=True)
class CodesignSpec:
    """Optimiser settings of the scorer's parts, beside the network's in ``StageSpec``."""

    scorer_learning_rate: float = setting(3e-3, low=0.0, high=1.0, doc="Adam rate of projection, prototype, gains")
    knob_learning_rate: float = setting(
        0.05,
        low=0.0,
        high=1.0,
        doc="Adam rate of input gates, converter bits and full scales and, beside them, of the currents' scale",
    )
    scorer_until: float = setting(
        0.5,
        low=0.01,
        high=1.0,
        doc="fraction of co-design after which the trained scorer rests, thresholds apart",
    )
    threshold: str = setting(
        "tracked", choices=("tracked", "gradient"), doc="thresholds follow the kept fraction, or the loss's gradient"
    )
    threshold_learning_rate: float = setting(
        1.0, low=0.0, high=100.0, doc="gain of the tracking, raw threshold per kept fraction; or Adam rate (try 0.02)"
    )
    temperature_c: tuple[float, ...] = setting(
        (27.0, 27.0),
        low=MODEL_LOW_C,
        high=MODEL_HIGH_C,
        doc="chip temperature drawn uniformly from this range each step",
    )
    fresh_chip: bool = setting(True, doc="draw new chips each step (else every step sees the nominal chip)")
    chips_per_step: int = setting(4, low=1, high=1024, doc="chips, each at its temperature, that share a batch")
    read_noise: bool = setting(True, doc="draw read noise each step")
    detach_network: bool = setting(False, doc="stop the scorer's gradient from reaching the network's tokens")
    gate_gradient: str = setting(
        "tangent",
        choices=("tangent", "secant"),
        doc="of a pruned token's gate: of opening it a little, without bound; or altogether, bounded",
    )
    objective: str = setting(
        "mean", choices=("mean", "cvar"), doc="cross-entropy and distillation over all chips of a step, or its worst"
    )
    cvar_fraction: float = setting(
        0.25,
        low=0.0,
        high=1.0,
        exclusive_low=True,
        doc="share of a step's chips that objective 'cvar' takes, rounded up",
    )

    def __post_init__(self):
        check_settings(self, "codesign")
        if len(self.temperature_c) != 2 or self.temperature_c[0] > self.temperature_c[1]:
            raise SettingError(
                f"codesign.temperature_c = {self.temperature_c} must be (lowest, highest) in degrees Celsius"
            )
        if self.threshold == "gradient" and self.threshold_learning_rate > LARGEST_ADAM_RATE:
            raise SettingError(
                f"codesign.threshold_learning_rate = {self.threshold_learning_rate} with codesign.threshold = "
                f"'gradient' is Adam's rate, and moves a threshold that far each step; give at most "
                f"{LARGEST_ADAM_RATE}, 0.02 is a start"
            )
