"""Units of the hardware's fields, from their names."""

from __future__ import annotations

_UNITS = {"v": "V", "a": "A", "f": "F", "k": "K", "hz": "Hz"}
_RATES = {"_per_k": "/K", "_per_v": "/V", "_per_decade": "/decade"}


def unit_of(path: str) -> str:
    """Such as ``V/K`` for ``thermal.threshold_fall_v_per_k``; ``1`` for a number without one."""
    name, rate = path.rpartition(".")[2], ""
    for ending, text in _RATES.items():
        if name.endswith(ending):
            name, rate = name.removesuffix(ending), text
    unit = _UNITS.get(name.rpartition("_")[2] if "_" in name else "", "")
    return (unit or "1") + rate
