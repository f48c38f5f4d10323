"""The settings of a co-design run, checked as a whole before anything starts."""

from __future__ import annotations

import dataclasses
from typing import Any

from atis_jax.circuits.dac import MAX_BITS
from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.circuits.imperfections import IMPERFECTIONS, scale_imperfections
from atis_jax.circuits.presets import PRESETS
from atis_jax.circuits.thermal import BIAS_KINDS, MODEL_HIGH_C, MODEL_LOW_C
from atis_jax.data.images import ImagesSpec
from atis_jax.energy.components.converters import SAR_BITS
from atis_jax.energy.spec import EnergySpec
from atis_jax.fitting.preset_file import marked, named_hardware
from atis_jax.models.backbone import Model
from atis_jax.models.vit import ModelSpec
from atis_jax.scoring.atis.knobs import FULL_SCALE_V
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.registry import METHODS
from atis_jax.training.spec import CodesignSpec, LossSpec, PruningSpec, StageSpec
from atis_jax.validation import SettingError, check_settings, setting

ARMS = ("dense", "digital", "random")
"""What a co-designed network can be compared with, each trained as long in all: without pruning, with the digital
scorer, and with random pruning at the same per-layer fractions."""


@dataclasses.dataclass(frozen=True)
class HardwareSpec:
    """Which chip the scorer is designed for."""

    preset: str = setting(
        "nominal", path=True, doc=f"hardware: {', '.join(PRESETS)}, or the file that configs/fit.py wrote"
    )
    bias: str | None = setting(None, choices=BIAS_KINDS, doc="bias against temperature; None keeps the preset's")
    dac_bits: int | None = setting(None, low=1, high=MAX_BITS, doc="of the converters; None keeps the preset's")
    programming_bits: int | None = setting(None, low=2, high=16, doc="of the currents; None keeps the preset's")
    imperfections: float = setting(
        1.0, low=0.0, high=1000.0, doc="factor on every imperfection of the preset: mismatch, offsets, noise"
    )

    def __post_init__(self):
        check_settings(self, "hardware")
        object.__setattr__(self, "preset", marked(self.preset))
        try:
            self.build()
        except ValueError as error:
            raise SettingError(f"config.hardware: {error}") from error

    def build(self) -> Hardware:
        """The hardware itself."""
        wanted = {
            "thermal.bias": self.bias,
            "dac.bits": self.dac_bits,
            "floating_gate.bits": self.programming_bits,
        }
        hardware = with_fields(named_hardware(self.preset), {path: v for path, v in wanted.items() if v is not None})
        try:
            return scale_imperfections(hardware, dict.fromkeys(IMPERFECTIONS, self.imperfections))
        except ValueError as error:
            raise ValueError(f"hardware.imperfections = {self.imperfections} is too large: {error}") from error


def check_knobs(scorer: ScorerSpec, chosen: HardwareSpec, hardware: Hardware) -> None:
    """Refuse to train converters that the scorer or the hardware does not have.

    Raises:
        SettingError: names the field, its value and the remedy.
    """
    for name in ("trainable_bits", "trainable_full_scale"):
        if getattr(scorer, name) and scorer.kind != "analog":
            raise SettingError(
                f"config.scorer.{name} = True with config.scorer.kind = {scorer.kind!r}, which has no converters; set "
                f"{name} = False, or kind = 'analog'"
            )
    bits, full_scale_v = hardware.dac.bits, float(hardware.dac.full_scale_v)
    if scorer.trainable_bits and (bits is None or bits < 2):
        raise SettingError(
            f"config.scorer.trainable_bits = True, but the converters of hardware.preset {chosen.preset!r} have "
            f"dac.bits = {bits} and leave nothing to choose; give hardware.dac_bits from 2 to {MAX_BITS}, of which "
            "co-design may use fewer, or set trainable_bits = False"
        )
    if scorer.trainable_full_scale and not FULL_SCALE_V.low < full_scale_v < FULL_SCALE_V.high:
        raise SettingError(
            f"config.scorer.trainable_full_scale = True starts at the hardware's dac.full_scale_v = {full_scale_v} V, "
            f"which is not between {FULL_SCALE_V.low} and {FULL_SCALE_V.high} V; choose a preset within, or set "
            "trainable_full_scale = False"
        )


@dataclasses.dataclass(frozen=True)
class EvaluationSpec:
    """What is measured at the end."""

    chips: int = setting(64, low=1, high=100_000, doc="chips sampled")
    temperature_c: tuple[float, ...] = setting(
        (27.0,), low=MODEL_LOW_C, high=MODEL_HIGH_C, least=1, doc="temperatures, dealt to the chips in turn"
    )
    agreement_examples: int = setting(1000, low=1, doc="images for masked against gathered, and for attention")
    pictures: int = setting(6, low=1, high=8, doc="images drawn in the report")
    capacities: tuple[int, ...] = setting(
        (),
        low=1,
        doc="tokens each layer has room for, CLS included; tokens beyond it are lost and counted; empty: room for all",
    )

    def __post_init__(self):
        check_settings(self, "evaluation")


@dataclasses.dataclass(frozen=True)
class CodesignSettings:
    """One co-design run: dense training, co-design, the controls, and what is measured."""

    experiment: str = setting(
        "codesign", choices=("codesign", "dense"), doc="codesign, or the dense network alone (see start_from)"
    )
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of every random stream")
    compare: tuple[str, ...] = setting(
        ("dense", "random"), choices=ARMS, distinct=True, doc="controls trained beside the design; empty: none"
    )
    start_from: str | None = setting(
        None, path=True, doc="run folder whose dense network to start from; its dense stage is reused"
    )
    checkpoint_every: int = setting(200, low=1, affects_result=False, doc="steps between checkpoints")
    data: ImagesSpec = setting(ImagesSpec)
    model: ModelSpec = setting(ModelSpec)
    scorer: ScorerSpec = setting(ScorerSpec)
    hardware: HardwareSpec = setting(HardwareSpec)
    energy: EnergySpec = setting(EnergySpec)
    dense: StageSpec = setting(StageSpec)
    tune: StageSpec = setting(StageSpec, doc="For the stages after the dense one.")
    pruning: PruningSpec = setting(PruningSpec)
    loss: LossSpec = setting(LossSpec)
    codesign: CodesignSpec = setting(CodesignSpec)
    evaluation: EvaluationSpec = setting(EvaluationSpec)

    def __post_init__(self):
        check_settings(self, "config")
        if self.experiment == "dense" and self.start_from is not None:
            raise SettingError(
                f"config.start_from = {self.start_from!r} with config.experiment = 'dense': there would be nothing to "
                "train; set start_from = None, or experiment = 'codesign'"
            )
        depth, width, heads = self.model.depth, self.model.width, self.model.heads
        self.pruning.kept_per_layer(depth)
        if self.scorer.source == "pixels":
            self._check_sensor()
        hardware = self.scorer_hardware()
        if self.scorer.inputs > hardware.max_inputs:
            raise SettingError(
                f"config.scorer.inputs = {self.scorer.inputs} exceeds the {hardware.max_inputs} array inputs of "
                f"hardware.preset {self.hardware.preset!r}; lower scorer.inputs or choose a larger preset"
            )
        if self.scorer.source == "tokens" and self.scorer.projection == "selection" and self.scorer.inputs > width:
            raise SettingError(
                f"config.scorer.inputs = {self.scorer.inputs} exceeds model.width = {width}: selection can pick at "
                f"most {width} dimensions; lower scorer.inputs or use another projection"
            )
        if heads % self.scorer.groups:
            raise SettingError(
                f"config.scorer.groups = {self.scorer.groups} does not divide model.heads = {heads}; "
                "every head group needs the same number of heads"
            )
        if self.scorer.kind == "random":
            raise SettingError(
                "config.scorer.kind = 'random' has nothing to design; it is a control: put 'random' into config.compare"
            )
        if self.scorer.adaptive_rate_v > 0 and self.codesign.threshold == "tracked":
            raise SettingError(
                f"config.scorer.adaptive_rate_v = {self.scorer.adaptive_rate_v} with config.codesign.threshold = "
                "'tracked': both would steer the kept fraction, against each other; set codesign.threshold = "
                "'gradient' and codesign.threshold_learning_rate = 0.02, or adaptive_rate_v = 0"
            )
        check_knobs(self.scorer, self.hardware, hardware)
        if self.energy.dac == "sar_8b" and self.scorer.kind == "analog" and (hardware.dac.bits or 0) > SAR_BITS:
            raise SettingError(
                f"config.energy.dac = 'sar_8b' is a published converter of {SAR_BITS} bits, and the hardware's has "
                f"{hardware.dac.bits}; set hardware.dac_bits = {SAR_BITS} or less, or choose another energy.dac"
            )
        on_chips = self.experiment == "codesign" and self.scorer.kind == "analog"
        if on_chips and self.data.batch_size % self.codesign.chips_per_step:
            raise SettingError(
                f"config.codesign.chips_per_step = {self.codesign.chips_per_step} does not divide data.batch_size = "
                f"{self.data.batch_size}; every chip of a step needs the same number of images"
            )
        if self.evaluation.capacities and len(self.evaluation.capacities) != depth:
            raise SettingError(
                f"config.evaluation.capacities has {len(self.evaluation.capacities)} entries for {depth} layers; "
                "give one per layer, or none to have them chosen"
            )

    def scorer_hardware(self) -> Hardware:
        """The chip the scorer is designed for; a sensor's voltages are there already, no converter makes them."""
        hardware = self.hardware.build()
        return with_fields(hardware, {"dac.bits": None}) if self.scorer.source == "pixels" else hardware

    def scorer_of(self, kind: str) -> Any:
        """The section ``scorer`` as it is, or that of the control ``kind``: its own fields where they are the same."""
        wanted = METHODS[kind].Spec
        if isinstance(self.scorer, wanted):
            return dataclasses.replace(self.scorer, kind=kind)
        return wanted(kind=kind)

    def check_raw(self, model: Model) -> None:
        """Whether tokens are made of as many raw values as a scorer at the sensor takes.

        Raises:
            SettingError: of fewer.
        """
        values = model.shape(camera=True).pixel_values
        if self.scorer.source == "pixels" and self.scorer.inputs > values:
            raise SettingError(
                f"config.scorer.inputs = {self.scorer.inputs} exceeds the {values} pixel values of a patch "
                f"(model.patch = {self.model.patch}) that scorer.source = 'pixels' selects from; lower scorer.inputs "
                f"to at most {values}, or raise model.patch"
            )

    def _check_sensor(self) -> None:
        """Whether what is pruned at the sensor is never needed behind it."""
        if self.pruning.first_layer != 0 or self.pruning.scored(self.model.depth) != range(1):
            raise SettingError(
                f"config.pruning.first_layer = {self.pruning.first_layer} and pruning.scored_layers = "
                f"{self.pruning.scored_layers} with config.scorer.source = 'pixels'; there are pixels in front of the "
                "first layer alone: set first_layer = 0 and scored_layers = 1"
            )
        if self.model.stem != "linear":
            raise SettingError(
                f"config.model.stem = {self.model.stem!r} with config.scorer.source = 'pixels'; its tokens are made of "
                "their neighbours' pixels too, so a pruned patch would be needed all the same: set model.stem = "
                "'linear'"
            )
        if self.hardware.dac_bits is not None:
            raise SettingError(
                f"config.hardware.dac_bits = {self.hardware.dac_bits} with config.scorer.source = 'pixels'; the pixels "
                "are voltages already, there is no converter in front of the array: set hardware.dac_bits = None"
            )
