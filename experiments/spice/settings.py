"""The settings of the experiments that simulate or fit circuits."""

from __future__ import annotations

import dataclasses

from atis_jax.cells.library import SUPPLY_V
from atis_jax.circuits.ota import LAWS
from atis_jax.circuits.presets import PRESETS
from atis_jax.circuits.thermal import MODEL_HIGH_C, MODEL_LOW_C
from atis_jax.fitting.spread import FEWEST_DEVICES
from atis_jax.spice.models import CORNERS, PROCESSES
from atis_jax.validation import SettingError, check_settings, setting

BIASES_A = (0.3e-9, 1e-9, 3e-9, 10e-9, 30e-9, 100e-9)
"""At which OTAs are characterised: half a decade apart over the range of the programmed currents."""
TEMPERATURES_C = (0.0, 27.0, 60.0, 85.0)
SUPPLIES_V = (1.62, SUPPLY_V, 1.98)
"""Nominal, and 10 % to either side."""


@dataclasses.dataclass(frozen=True)
class ProcessSpec:
    """Whose transistors ngspice simulates."""

    name: str = setting(
        "auto", choices=PROCESSES, doc="models: sky130, a generic card, or sky130 where it is found and else generic"
    )
    corner: str = setting("tt", choices=CORNERS, doc="process corner of sky130")
    base: str = setting(
        "sky130_130nm", choices=PRESETS, doc="preset that gives what no simulation fits: programming, comparator noise"
    )
    biases_a: tuple[float, ...] = setting(
        BIASES_A, low=1e-11, high=1e-5, least=1, distinct=True, doc="bias currents at which OTAs are characterised, A"
    )
    temperatures_c: tuple[float, ...] = setting(
        TEMPERATURES_C,
        low=MODEL_LOW_C,
        high=MODEL_HIGH_C,
        least=1,
        distinct=True,
        doc="temperatures at which they are, degrees Celsius",
    )
    supplies_v: tuple[float, ...] = setting(
        SUPPLIES_V, low=0.5, high=5.0, least=1, distinct=True, doc="supplies at which they are, V"
    )

    def __post_init__(self):
        check_settings(self, "process")


@dataclasses.dataclass(frozen=True)
class ValidationSettings:
    """Our circuit model against ngspice with real transistor models."""

    experiment: str = setting("spice_validation", choices=("spice_validation",), doc="name of the experiment")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of every random stream: currents, voltages, mismatch")
    process: ProcessSpec = setting(ProcessSpec)
    single_biases_a: tuple[float, ...] = setting(
        (1e-9, 10e-9, 100e-9),
        low=1e-11,
        high=1e-5,
        least=1,
        distinct=True,
        doc="biases of the single OTAs that the gates are about, A",
    )
    array_inputs: tuple[int, ...] = setting(
        (4, 16, 64), low=1, high=256, least=1, distinct=True, doc="OTAs in the arrays"
    )
    array_temperatures_c: tuple[float, ...] = setting(
        (0.0, 27.0, 85.0),
        low=MODEL_LOW_C,
        high=MODEL_HIGH_C,
        least=1,
        distinct=True,
        doc="temperatures of the arrays, degrees Celsius",
    )
    array_reads: int = setting(128, low=2, high=10_000, doc="random sets of input voltages that each array is read at")
    full_scale_v: float = setting(0.1, low=1e-3, high=0.15, doc="largest of these voltages, differential, V")
    presets: tuple[str, ...] = setting(
        ("sky130_fg",),
        choices=PRESETS,
        distinct=True,
        doc="presets held to scores of a random row at 0, 27, 70 C and three supplies; empty: none, as for generic models",
    )
    preset_tokens: int = setting(32, low=2, high=10_000, doc="random tokens at each of these")
    devices: int = setting(200, low=8, high=10_000, doc="mismatched OTAs at each of the single biases")
    fitted_devices: int = setting(
        1000, low=8, high=10_000, doc="others, at each of these biases, that the sampled chips' spread is fitted to"
    )

    def __post_init__(self):
        check_settings(self, "config")


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """A hardware preset fitted to I(V) curves: of a file, or of ngspice."""

    experiment: str = setting("fit", choices=("fit",), doc="name of the experiment")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="of the mismatch, where ngspice makes the curves")
    name: str = setting("fitted_ota", doc="of the fitted preset")
    curves: str | None = setting(
        None,
        path=True,
        doc="CSV file with the columns device, bias_a, temperature_c, voltage_v, current_a; None: simulate",
    )
    law: str = setting("tanh", choices=LAWS, doc="transfer law that is fitted")
    additive: bool = setting(False, doc="fit the additive term too, as single-ended drive needs")
    base: str = setting("nominal", choices=PRESETS, doc="preset that gives every field the curves do not")
    process: ProcessSpec = setting(ProcessSpec)
    devices: int = setting(
        1000,
        low=0,
        high=10_000,
        doc="mismatched OTAs at each bias of the spread, where ngspice makes the curves; 0: no spread is fitted",
    )
    spread_biases_a: tuple[float, ...] = setting(
        (1e-9, 10e-9, 100e-9), low=1e-11, high=1e-5, distinct=True, doc="their biases, A; empty: no spread is fitted"
    )

    def __post_init__(self):
        check_settings(self, "config")
        if not self.name or not self.name.isprintable():
            raise SettingError(f"config.name = {self.name!r} must be a printable name")
        if 0 < self.devices < FEWEST_DEVICES:
            raise SettingError(
                f"config.devices = {self.devices} are too few for a spread; give {FEWEST_DEVICES} or more, or 0 for "
                "none"
            )
