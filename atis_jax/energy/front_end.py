"""How the analog front end is built and run: what the ledger charges for, smooth in every number."""

from __future__ import annotations

from jaxtyping import Array, Float

from atis_jax.cells.supply import BIASES
from atis_jax.energy.shapes import check_number
from atis_jax.numerics import pytree, static
from atis_jax.typing import Real
from atis_jax.units import NOMINAL_TEMPERATURE_K
from atis_jax.validation import SettingError, check_choice

DACS = ("per_bit", "capacitive", "fabric", "sar_8b", "none")
"""How a number becomes a voltage; ``components.converters`` has the laws."""
CORES = ("bias", "settling")
"""How long the array is on: the token time given, or as long as it takes to settle."""
PRICED = "priced"
CIRCUITS = (*BIASES, PRICED)
"""Whose power is charged: the built circuit's (``cells``), its OTAs biased by floating gates or as in the netlist by a
branch each; or, for op-amp and comparator, what the preset charges for those of others."""


@pytree
class FrontEnd:
    """Converters, array and decision of the analog scorer. Numbers are leaves: trained, swept, differentiated.

    Attributes:
        bias_current_a: (L,) sum of the bias currents of all G x N OTAs (2 G x N if differential), A. A multiplexed
            array burns each prototype's share in its own turn, so the sum is right for it too.
        supply_v: analog supply, V.
        token_time_s: time the array is on for one token and one prototype where ``core`` is ``bias``, s.
        full_scale_v: () or (L,) differential voltage at full scale, V: how far an input line moves.
        load_f: capacitance an OTA has to settle, F; ``settling`` only.
        kappa: gate coupling of the OTAs; ``settling`` only.
        temperature_k: K; ``settling`` only.
        uses: examples between two programmings of the floating gates.
        dac: one of ``DACS``. Static.
        converters: DACs that take turns over an array's inputs; None for one an input. Static.
        core: one of ``CORES``. Static.
        residue: whether what a token leaves for the next is simulated: the token time may then be shorter than the
            circuit needs. Static.
        circuit: one of ``CIRCUITS``. Static.
        amplifier: whether a row is read by a TIA; else by a resistor, which draws nothing. Static.
        reference_bits: of the converter that sets each threshold, once an example, layer and prototype; 0 for a
            threshold held by a floating gate. Static.

    Raises:
        SettingError: for a name that does not exist or a static number out of bounds; ``check_front_end`` looks at
            the others.
    """

    bias_current_a: Float[Array, "L"]
    supply_v: Real
    token_time_s: Real
    full_scale_v: Real = 0.1
    load_f: Real = 0.2e-12
    kappa: Real = 0.7
    temperature_k: Real = NOMINAL_TEMPERATURE_K
    uses: Real = 1e9
    dac: str = static(default="per_bit")
    converters: int | None = static(default=None)
    core: str = static(default="bias")
    residue: bool = static(default=False)
    circuit: str = static(default="floating_gate")
    amplifier: bool = static(default=True)
    reference_bits: int = static(default=8)

    def __post_init__(self):
        check_choice(self.dac, DACS, "front_end.dac")
        check_choice(self.core, CORES, "front_end.core")
        check_choice(self.circuit, CIRCUITS, "front_end.circuit")
        if self.converters is not None and (not isinstance(self.converters, int) or self.converters < 1):
            raise SettingError(
                f"front_end.converters = {self.converters!r}; give a whole number of at least 1, or None"
            )
        if not isinstance(self.reference_bits, int) or self.reference_bits < 0:
            raise SettingError(f"front_end.reference_bits = {self.reference_bits!r}; give a whole number of at least 0")


def check_front_end(front_end: FrontEnd) -> None:
    """Check every concrete number; not done on construction, because gradients are of the same class.

    Raises:
        SettingError: names the number, its value and what it must be.
    """
    check_number(front_end.bias_current_a, "front_end.bias_current_a", 0.0, "amperes, at least 0")
    for name, words in (
        ("supply_v", "volts"),
        ("token_time_s", "seconds"),
        ("full_scale_v", "volts"),
        ("load_f", "farads"),
        ("kappa", "a ratio"),
        ("temperature_k", "kelvin"),
        ("uses", "examples"),
    ):
        check_number(getattr(front_end, name), f"front_end.{name}", 0.0, f"{words} above 0", exclusive=True)
