"""The design bundle in memory: a scorer's design with everything that gives its numbers a meaning."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.circuits.frontend import Program
from atis_jax.circuits.hardware import Hardware
from atis_jax.export.errors import ExportError
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.design import Design, layer_design
from atis_jax.scoring.atis.knobs import designed_hardware
from atis_jax.scoring.atis.program import program
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.registry import METHODS
from atis_jax.validation import choose

CALIBRATIONS = ("as designed", "calibrated")


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What calibration has added to the design for one chip.

    Attributes:
        chip: which chip, in the user's words.
        methods: that were applied, in order.
        temperature_c: of the bench, degrees Celsius.
        threshold_v: (L, G) added to the wanted thresholds, V.
        log_current: (L, G, N) added to ln of the wanted currents.
    """

    chip: str
    methods: tuple[str, ...]
    temperature_c: float
    threshold_v: np.ndarray
    log_current: np.ndarray


@dataclasses.dataclass(frozen=True)
class Bundle:
    """Everything of a network's scorers that leaves Python.

    Attributes:
        name: of the design.
        spec: structure of the scorers.
        hardware: for which the design was made.
        design: leaves (L, ...), NumPy, as trained; without calibration.
        query: (L, G, D) what an ``ema`` prototype holds.
        scored: layers that have a scorer, from 0.
        tokens: that reach the first layer, without the class token.
        calibration: of the chip that this bundle is for; None for the design itself.
        provenance: run, config, code, data set.
        accuracy: what was measured, before and after quantisation.
    """

    name: str
    spec: ScorerSpec
    hardware: Hardware
    design: Design
    query: np.ndarray
    scored: tuple[int, ...]
    tokens: int
    calibration: Calibration | None = None
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    accuracy: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if not issubclass(choose(METHODS, self.spec.kind, "scorer.kind"), Analog):
            raise ExportError(
                f"scorer.kind = {self.spec.kind!r} has no array of OTAs to export; "
                "export a run with scorer.kind = 'analog'"
            )

    @property
    def layers(self) -> int:
        """Layers of the network."""
        return len(self.design.projection)

    @property
    def arrays(self) -> tuple[int, ...]:
        """Layers in front of which there is an array: every scored one, or the first where one read serves all."""
        return self.scored[:1] if self.spec.reads_once else self.scored

    def compared(self, layer: int) -> tuple[int, ...]:
        """Layers whose thresholds a score of ``layer``'s array meets: its own, or those of all scored layers."""
        return self.scored if self.spec.reads_once and layer in self.arrays else (layer,)

    @property
    def comparators(self) -> int:
        """C, comparators behind an array: a score's own, or one for every scored layer."""
        return self.spec.groups * (len(self.scored) if self.spec.reads_once else 1)

    def layer(self, layer: int) -> Design:
        """One layer's design, leaves on the device."""
        return jax.tree.map(jnp.asarray, layer_design(self.design, layer))

    def program(self, layer: int) -> Program:
        """What one layer asks of the chip, without calibration."""
        return program(self.layer(layer), self.spec, self.hardware, jnp.asarray(self.query[layer]))

    def layer_hardware(self, layer: int) -> Hardware:
        """The hardware with the converters that co-design chose for this layer."""
        return designed_hardware(self.layer(layer), self.spec, self.hardware)


def leaves_of(design: Design) -> dict[str, np.ndarray]:
    """The leaves that a design has, by name."""
    found = {field.name: getattr(design, field.name) for field in dataclasses.fields(Design)}
    return {name: np.asarray(leaf) for name, leaf in found.items() if leaf is not None}
