"""What a run's ledger charges, as plain numbers and names."""

from __future__ import annotations

import dataclasses

from atis_jax.energy.front_end import CIRCUITS, CORES, DACS
from atis_jax.energy.presets import PRESET_NAMES, EnergyPreset, energy_preset
from atis_jax.energy.shapes import FORMATS, MEMORIES, Memory
from atis_jax.validation import check_settings, setting


@dataclasses.dataclass(frozen=True)
class EnergySpec:
    """What the ledger charges, and how the analog front end is built and run."""

    preset: str | None = setting(
        None, choices=PRESET_NAMES, required=True, doc="cost of each operation; decides what a ledger says, so choose"
    )
    token_time_s: float = setting(
        1e-6, low=1e-9, high=1.0, doc="time the array is on for one token where core is bias; paper: 1 MHz"
    )
    dac: str = setting("per_bit", choices=DACS, doc="how numbers become voltages")
    converters: int | None = setting(None, low=1, high=4096, doc="converters taking turns; None is one an input")
    core: str = setting(
        "settling", choices=CORES, earlier="bias", doc="array on for token_time_s, or as long as it takes to settle"
    )
    circuit: str = setting(
        "floating_gate",
        choices=CIRCUITS,
        earlier="priced",
        doc="whose power: the built circuit's, OTAs biased by floating gates or as netlisted; or the preset's prices",
    )
    reference_bits: int = setting(8, low=0, high=16, doc="of the thresholds' converter; 0: held by floating gates")
    uses: float = setting(1e9, low=1.0, high=1e18, doc="examples between two programmings of the floating gates")
    score_format: str = setting("int8", choices=FORMATS, doc="numbers of the projection and of a digital score")
    weights: str = setting("none", choices=MEMORIES, doc="memory of the weights; none: arithmetic alone")
    tokens: str = setting("none", choices=MEMORIES, doc="memory of the tokens between operations")
    batch: int = setting(1, low=1, high=1_000_000, doc="examples that share one reading of the weights")
    exponentials: bool = setting(
        False, doc="charge softmax and GELU of the network, and what exponentials and roots a method adds"
    )
    camera: bool = setting(False, doc="charge a camera's conversion of the pixels and their way off the sensor")

    def __post_init__(self):
        check_settings(self, "energy")

    def prices(self) -> EnergyPreset:
        """The preset, charging exponentials or not.

        Raises:
            SettingError: none was chosen.
        """
        return dataclasses.replace(energy_preset(self.preset), charges_exponentials=self.exponentials)

    def memory(self) -> Memory:
        """Where weights and tokens are."""
        return Memory(weights=self.weights, tokens=self.tokens, batch=self.batch)
