"""One chip, another model: what has to be reprogrammed, at which cost, and what calibration carries over."""

from __future__ import annotations

import dataclasses

import numpy as np

from atis_jax.energy.constants.analog import (
    FLOATING_GATE_ERASE_TIME,
    FLOATING_GATE_WRITE,
    FLOATING_GATE_WRITE_TIME,
)
from atis_jax.export.bundle import Bundle, Calibration
from atis_jax.export.errors import ExportError
from atis_jax.export.quantities import Achieved, achieved, codes_of
from atis_jax.units import thermal_voltage_v

KEEP, WRITE, ERASE = "keep", "write", "erase and write"


@dataclasses.dataclass(frozen=True)
class CellChange:
    """One floating gate of the array.

    Attributes:
        layer, score, input: which, from 1.
        old_a, new_a: signed current before and after, A.
        action: ``keep``; ``write`` (a larger current is injected); ``erase and write`` (a smaller one, and every cell
            of an array that has one, for tunnelling erases the whole array).
        swap: whether the input switches have to be turned round (the sign changed).
    """

    layer: int
    score: int
    input: int
    old_a: float
    new_a: float
    action: str
    swap: bool


@dataclasses.dataclass(frozen=True)
class Reprogramming:
    """What takes a chip from one bundle to another.

    Attributes:
        cells: every cell, changed or not.
        resistors: scores whose R_f changes: (layer, score, old ohm, new ohm).
        references: scores whose threshold changes: (layer, score, old V, new V).
    """

    cells: tuple[CellChange, ...]
    resistors: tuple[tuple[int, int, float, float], ...]
    references: tuple[tuple[int, int, float, float], ...]

    @property
    def written(self) -> int:
        """Cells that are injected."""
        return sum(cell.action != KEEP and cell.new_a != 0 for cell in self.cells)

    @property
    def erased_arrays(self) -> int:
        """Arrays (a layer's score) that are tunnelled."""
        return len({(cell.layer, cell.score) for cell in self.cells if cell.action == ERASE})

    @property
    def time_s(self) -> float:
        """Cells one after the other, at the bound of a precise write, and an erasure of each array, s."""
        return self.written * FLOATING_GATE_WRITE_TIME.value + self.erased_arrays * FLOATING_GATE_ERASE_TIME.value

    @property
    def energy_j(self) -> float:
        """Of the injections, J; the programmer's own electronics take more."""
        return self.written * FLOATING_GATE_WRITE.value


def reprogramming(old: Bundle, new: Bundle) -> Reprogramming:
    """The list for the chip that holds ``old`` and is to hold ``new``.

    Raises:
        ExportError: the two are not for the same chip: other layers, inputs, scores, or programming range.
    """
    check_same_chip(old, new)
    cells: list[CellChange] = []
    resistors: list[tuple[int, int, float, float]] = []
    references: list[tuple[int, int, float, float]] = []
    for layer in sorted({*old.scored, *new.scored}):
        before, after = achieved(old, layer), achieved(new, layer)
        for score in range(new.spec.groups):
            where = layer + 1, score
            lists = [(references, "threshold_v")]
            if layer in (*old.arrays, *new.arrays):  # else the array is another layer's
                cells += _array(where, before.signed_current_a[score], after.signed_current_a[score], new, layer)
                lists.append((resistors, "feedback_ohm"))
            for found, name in lists:
                was, will = float(getattr(before, name)[score]), float(getattr(after, name)[score])
                if was != will:
                    found.append((*where, was, will))
    return Reprogramming(tuple(cells), tuple(resistors), tuple(references))


def check_same_chip(old: Bundle, new: Bundle) -> None:
    """Raise ExportError unless one chip can hold both."""
    for name, mine, theirs in (
        ("layers", old.layers, new.layers),
        ("scorer.inputs", old.spec.inputs, new.spec.inputs),
        ("scorer.groups", old.spec.groups, new.spec.groups),
        ("scorer.reads", old.spec.reads, new.spec.reads),
        ("scorer.differential", old.spec.differential, new.spec.differential),
        ("floating_gate", old.hardware.floating_gate, new.hardware.floating_gate),
    ):
        if mine != theirs:
            raise ExportError(
                f"{old.name!r} and {new.name!r} are not for the same chip: {name} is {mine!r} in one and {theirs!r} in "
                "the other; give two bundles of one structure"
            )


def _array(
    where: tuple[int, int], before_a: np.ndarray, after_a: np.ndarray, bundle: Bundle, layer: int
) -> list[CellChange]:
    gate = bundle.layer_hardware(layer).floating_gate
    codes = codes_of(before_a, gate), codes_of(after_a, gate)
    smaller = [
        abs(new) < abs(old) and mine != theirs for old, new, mine, theirs in zip(before_a, after_a, *codes, strict=True)
    ]
    erased = any(smaller)
    cells = []
    for number, (old_a, new_a, was, will) in enumerate(zip(before_a.tolist(), after_a.tolist(), *codes, strict=True)):
        same = was == will and (gate.resolution is not None or abs(old_a) == abs(new_a))
        action = ERASE if erased else KEEP if same else WRITE
        swap = bool(old_a) and bool(new_a) and (old_a < 0) != (new_a < 0)
        cells.append(CellChange(*where, number, old_a, new_a, action, swap))
    return cells


def carry_calibration(old: Bundle, new: Bundle) -> Calibration:
    """The calibration of the chip that holds ``old``, as far as it holds for ``new``.

    Programming: what a cell's current must be asked for to give what is wanted is a property of the cell, and is
    carried as it is. Threshold: the trim undoes the sum of what each OTA's offset adds, sum_j R_f I_j V_os,j slope, and
    the comparator's own offset. The single offsets are not known, but the sum of the new design is correlated with
    that of the old; the best linear guess is

        trim' = trim (sum_j w_j w'_j s^2 + c^2) / (sum_j w_j^2 s^2 + c^2)

    with w = R_f I kappa / 2 U_T, s and c the spreads of OTA and comparator offsets. It saves no measurement: set the
    thresholds anew where a bench is at hand.

    Raises:
        ExportError: ``old`` is not calibrated, or the two are not for the same chip.
    """
    if old.calibration is None:
        raise ExportError(f"{old.name!r} holds no calibration; export it with the calibration of its chip")
    check_same_chip(old, new)
    found = old.calibration
    threshold_v = np.zeros_like(np.asarray(found.threshold_v))
    for layer in range(new.layers):
        plain = dataclasses.replace(old, calibration=None)
        ratio = _offset_ratio(achieved(plain, layer), achieved(new, layer), new)
        threshold_v[layer] = np.asarray(found.threshold_v[layer]) * ratio
    return dataclasses.replace(
        found, methods=(*found.methods, f"carried from {old.name}"), threshold_v=threshold_v.astype(np.float32)
    )


def _offset_ratio(before: Achieved, after: Achieved, bundle: Bundle) -> np.ndarray:
    """(G,) regression of the new design's offset on the old one's."""
    ota, comparator = bundle.hardware.ota, bundle.hardware.comparator
    twice_v = 2.0 * float(thermal_voltage_v(float(bundle.hardware.thermal.nominal_temperature_k)))
    per_volt = float(ota.kappa) / twice_v * float(ota.offset_sigma_v)
    mine = per_volt * before.feedback_ohm[:, None] * np.abs(before.signed_current_a)
    theirs = per_volt * after.feedback_ohm[:, None] * np.abs(after.signed_current_a)
    own = float(comparator.offset_sigma_v) ** 2
    below = np.sum(mine**2, axis=1) + own
    return np.where(below > 0, (np.sum(mine * theirs, axis=1) + own) / np.where(below > 0, below, 1.0), 1.0)


def changes_csv(found: Reprogramming) -> str:
    """Every cell with what is to be done."""
    rows = ["layer,score,input,old_a,new_a,action,swap_inputs"]
    for cell in found.cells:
        values = (cell.layer, cell.score, cell.input, repr(cell.old_a), repr(cell.new_a), cell.action, int(cell.swap))
        rows.append(",".join(map(str, values)))
    return "\n".join(rows) + "\n"


def references_csv(found: Reprogramming) -> str:
    """Resistors and thresholds that change."""
    rows = ["layer,score,quantity,unit,old,new"]
    for name, unit, changed in (("feedback", "ohm", found.resistors), ("threshold", "V", found.references)):
        rows += [f"{layer},{score},{name},{unit},{old!r},{new!r}" for layer, score, old, new in changed]
    return "\n".join(rows) + "\n"
