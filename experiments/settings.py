"""The settings of a co-design run, checked as a whole before anything starts."""

from __future__ import annotations

import dataclasses
from typing import Any

from atis_jax.circuits.hardware import Hardware
from atis_jax.circuits.thermal import MODEL_HIGH_C, MODEL_LOW_C
from atis_jax.data.registry import KINDS as DATA
from atis_jax.energy.spec import EnergySpec
from atis_jax.fitting.spec import HardwareSpec
from atis_jax.models.backbone import Model
from atis_jax.models.kernels import KINDS as ATTENTION
from atis_jax.models.kernels import SoftmaxSpec, make_kernel
from atis_jax.models.kernels.circuit import Circuit
from atis_jax.models.registry import KINDS as NETWORKS
from atis_jax.models.registry import check_raw
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.calibration import METHODS as METHODS_OF_CALIBRATION
from atis_jax.scoring.atis.calibration import CalibrationSpec, with_trim_dac
from atis_jax.scoring.atis.calibration.currents import check_programmed_once
from atis_jax.scoring.method import Method, Place
from atis_jax.scoring.registry import KINDS as SCORERS
from atis_jax.scoring.registry import METHODS, make_method
from atis_jax.training.spec import CodesignSpec, LossSpec, PruningSpec, StageSpec
from atis_jax.validation import SettingError, check_settings, choose, field_names, setting

ARMS = ("dense", "digital", "random", "attention_received")
"""What a co-designed network can be compared with, each trained as long in all: without pruning, with the digital
scorer, and at the same per-layer fractions with random pruning and with what sees the attention."""


@dataclasses.dataclass(frozen=True)
class EvaluationSpec:
    """What is measured at the end."""

    chips: int = setting(64, low=1, high=100_000, doc="chips sampled")
    temperature_c: tuple[float, ...] = setting(
        (27.0,), low=MODEL_LOW_C, high=MODEL_HIGH_C, least=1, doc="temperatures, dealt to the chips in turn"
    )
    supply: tuple[float, ...] = setting(
        (1.0,), low=0.5, high=1.5, least=1, doc="supplies over the nominal one, dealt with the temperatures"
    )
    calibration: tuple[str, ...] = setting(
        (), choices=METHODS_OF_CALIBRATION, distinct=True, doc="what is set on each chip first; empty: as fabricated"
    )
    agreement_examples: int = setting(1000, low=1, doc="examples for masked against gathered, and for attention")
    pictures: int = setting(6, low=1, high=8, doc="examples drawn in the report")
    capacities: tuple[int, ...] = setting(
        (),
        low=1,
        doc="tokens each layer has room for, CLS included; tokens beyond it are lost and counted; empty: room for all",
    )

    def __post_init__(self):
        check_settings(self, "evaluation")
        self.calibration_spec()

    def calibration_spec(self) -> CalibrationSpec | None:
        """How chips are calibrated, all else at its default; None as fabricated.

        Raises:
            SettingError: one of the methods cannot stand without another.
        """
        try:
            return CalibrationSpec(methods=self.calibration) if self.calibration else None
        except SettingError as error:
            raise SettingError(f"config.evaluation.calibration: {error}") from error


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
    data: Any = setting(DATA.sections[DATA.default], kinds=DATA)
    model: Any = setting(NETWORKS.sections[NETWORKS.default], kinds=NETWORKS)
    scorer: Any = setting(SCORERS.sections[SCORERS.default], kinds=SCORERS)
    kernel: Any = setting(
        SoftmaxSpec(), kinds=ATTENTION, doc="Of co-design and its controls; the dense network's attention is exact."
    )
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
        depth = self.model.depth
        for name in ("dense", "tune"):
            if (frozen := getattr(self, name).frozen_blocks) > depth:
                raise SettingError(
                    f"config.{name}.frozen_blocks = {frozen} exceeds config.model.depth = {depth}; give at most that, "
                    "which trains the head alone"
                )
        self.pruning.kept_per_layer(depth)
        method = self._method()
        method.check(Place(self.model, self.pruning, self.hardware, self.energy, self.codesign))
        if method.raw:
            check_raw(self.model)
        on_chips = self.experiment == "codesign" and (method.fabricated or self.has_circuit)
        if on_chips and self.data.batch_size % self.codesign.chips_per_step:
            raise SettingError(
                f"config.codesign.chips_per_step = {self.codesign.chips_per_step} does not divide data.batch_size = "
                f"{self.data.batch_size}; every chip of a step needs the same number of examples"
            )
        other_circuit = method.fabricated and not isinstance(method, Analog)
        if self.evaluation.supply != (1.0,) and other_circuit:
            raise SettingError(
                f"config.evaluation.supply = {self.evaluation.supply} with config.scorer.kind = {self.scorer.kind!r}: "
                "the supply moves nothing in its model; leave it (1.0,)"
            )
        calibration = self.evaluation.calibration_spec()
        if calibration is not None:
            if other_circuit:
                raise SettingError(
                    f"config.evaluation.calibration = {self.evaluation.calibration} with config.scorer.kind = "
                    f"{self.scorer.kind!r}: only an array of OTAs can be put on the bench; leave it empty"
                )
            if "currents" in calibration.methods:
                check_programmed_once(self.scorer)
            with_trim_dac(method.hardware, calibration)
        if self.evaluation.capacities and len(self.evaluation.capacities) != depth:
            raise SettingError(
                f"config.evaluation.capacities has {len(self.evaluation.capacities)} entries for {depth} layers; "
                "give one per layer, or none to have them chosen"
            )

    @property
    def has_circuit(self) -> bool:
        """Whether attention is computed by a circuit, of which no two chips are alike."""
        return isinstance(make_kernel(self.kernel), Circuit)

    def _method(self) -> Method:
        return make_method(self.scorer, self.scorer_hardware())

    def scorer_hardware(self) -> Hardware:
        """The chip the scorer is designed for, without what it has no use for."""
        return METHODS[self.scorer.kind].built_on(self.scorer, self.hardware.build())

    def scorer_of(self, kind: str) -> Any:
        """The section ``scorer`` as it is, or that of the control ``kind``: its own fields where they are the same."""
        wanted = choose(METHODS, kind, "scorer.kind").Spec
        same = field_names(wanted) if isinstance(self.scorer, wanted) else ()
        return wanted(**{name: getattr(self.scorer, name) for name in same} | {"kind": kind})

    def check_model(self, model: Model) -> None:
        """Whether the scorer fits the network that the data call for.

        Raises:
            SettingError: its head groups do not divide the heads, it looks at what tokens are made of and they are
                made of too few values, or a camera is charged that there is not.
        """
        method = self._method()
        if model.heads % method.groups:
            raise SettingError(
                f"config.scorer.kind = {self.scorer.kind!r} decides for {method.groups} head groups, which do not "
                f"divide the {model.heads} heads of the network's keys; every group needs the same number of heads"
            )
        raw_values = model.shape(camera=True).pixel_values
        if self.energy.camera and not raw_values:
            raise SettingError(
                f"config.energy.camera = True with config.model.kind = {self.model.kind!r}, whose tokens no camera "
                "converts: nothing would be charged; set energy.camera = False"
            )
        if method.raw:
            method.check_raw(raw_values)
