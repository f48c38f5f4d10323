"""A laboratory's curves to a hardware preset in one call."""

from __future__ import annotations

from collections.abc import Sequence

from atis_jax.circuits.hardware import Hardware
from atis_jax.circuits.presets import get_preset
from atis_jax.fitting.curves import Curve
from atis_jax.fitting.law import fit_law
from atis_jax.fitting.ota import FittedOta, fit_curve
from atis_jax.fitting.preset_file import fitted_hardware
from atis_jax.fitting.spread import FEWEST_DEVICES, pooled_fields, spread_of


def fit_preset(
    curves: Sequence[Curve], base: str = "nominal", *, name: str = "fitted", law: str = "tanh", additive: bool = False
) -> Hardware:
    """The preset that ``configs/fit.py`` makes of the same curves: law of the OTA, and its spread where it is told.

    Args:
        curves: of any number of devices, biases, temperatures and supplies (``read_curves``).
        base: preset that gives what no curve tells: converters, amplifier, comparator.
        name: of the new one.
        law: of the OTA.
        additive: whether the law has a current that no input steers.

    Raises:
        SettingError: no curves, one of a dead OTA, or supplies that do not enclose the nominal one.
        ValueError: no such preset.
    """
    start = get_preset(base)
    specific_a = float(start.ota.specific_current_a)
    fits = [fit_curve(one, law=law, additive=additive, specific_current_a=specific_a) for one in curves]
    spreads = [spread_of(group) for group in populations_of(curves, law)]
    return fitted_hardware(start, name, {"ota.law": law, **fit_law(fits, start).fields, **pooled_fields(spreads)})


def populations_of(curves: Sequence[Curve], law: str) -> list[list[FittedOta]]:
    """Fits of each bias, temperature and supply with enough devices; nothing where there are too few to tell."""
    groups: dict[tuple[float, float, float | None], list[Curve]] = {}
    for one in curves:
        groups.setdefault((one.bias_a, one.temperature_c, one.supply_v), []).append(one)
    enough = [group for group in groups.values() if len(group) >= FEWEST_DEVICES]
    return [[fit_curve(one, law=law, additive=True) for one in group] for group in enough]
