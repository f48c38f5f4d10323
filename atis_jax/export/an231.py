"""The AN231E04 target (Anadigm, now Okika): switched capacitors, so every weight is a ratio of two integers.

The chip has no OTA array: it computes the linear score sum_j g_j V_j, where g_j is the slope that fits each input's
tanh best over real tokens. A SumDiff adds up to four inputs, each through C_in / C_out, 1 to 255 units; C_out is
shared, and chosen so that the ratios err least. A chip has four CABs and seven analog I/O cells, so N inputs are spread
over chips, each adding its own to the sum of the one before; the last adds the threshold and compares with zero.

Sources: resources and CAMs as their documents and users state them (docs/export.md lists which); AnadigmDesigner 2
chooses its own integers for the gains asked of it, so ours are a prediction.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from atis_jax.export.errors import ExportError

CABS, IO_CELLS, UNITS, INPUTS = 4, 7, 255, 4
"""Of a chip; largest capacitor; inputs of a SumDiff."""
SWING_V = 2.5
"""Largest differential signal that is planned for; the chip saturates at 3 V."""
CONSTANT_V = 2.0
"""Of the Voltage CAM, for the threshold."""
NOT_MADE = (
    ".ad2 projects (a proprietary binary of AnadigmDesigner 2)",
    ".ahf configurations (the meaning of their bits is not published)",
)
POWER_NOTE = (
    "An AN231E04 draws hundreds of milliwatts (vendor material on its filters says 200 mW for a chip set; the data "
    "sheet was not at hand): this is a prototype of the function, not of microwatts. Measure it."
)


@dataclasses.dataclass(frozen=True)
class Branch:
    """One input of a SumDiff.

    Attributes:
        source: ``input J`` (from 0), ``chip K`` (the sum of the chip before), ``sum A`` (the other SumDiff of this
            chip), or ``constant``.
        sign: 1 non-inverting, -1 inverting.
        units: C_in, 1 to 255.
    """

    source: str
    sign: int
    units: int


@dataclasses.dataclass(frozen=True)
class SumDiff:
    """One SumDiff CAM.

    Attributes:
        name: A or B on its chip.
        shared_units: C_out, 1 to 255.
        branches: at most four.
    """

    name: str
    shared_units: int
    branches: tuple[Branch, ...]

    def gain(self, branch: Branch) -> float:
        """Realised, signed."""
        return branch.sign * branch.units / self.shared_units


@dataclasses.dataclass(frozen=True)
class ChipPlan:
    """One chip: its SumDiffs in order, and whether the comparator is on it.

    Attributes:
        sums: A, B and where it is needed C; the last one's output leaves the chip.
        compares: whether it is the last.
    """

    sums: tuple[SumDiff, ...]
    compares: bool

    @property
    def io_cells(self) -> int:
        """Analog cells used: one an input from outside, one for the sum unless the chip compares."""
        outside = sum(b.source.startswith(("input", "chip")) for one in self.sums for b in one.branches)
        return outside + (0 if self.compares else 1)


@dataclasses.dataclass(frozen=True)
class Plan:
    """One score over its chips.

    Attributes:
        chips: in the order of the signal.
        volts_per_volt: what the comparator sees, over the design's own score.
        full_scale_v: differential voltage at each input at full scale, V.
        design_full_scale_v: of the design's converters, V.
        wanted: (N,) gains asked for, comparator volts per volt at the input.
        threshold_v: of the design, V.
    """

    chips: tuple[ChipPlan, ...]
    volts_per_volt: float
    full_scale_v: float
    design_full_scale_v: float
    wanted: np.ndarray
    threshold_v: float


def ratios(gains: Sequence[float], largest_shared: int = UNITS) -> tuple[int, list[int]]:
    """C_out and each C_in for non-negative ``gains`` that share it: the C_out whose ratios err least.

    Least is the sum of squared errors of the gains; of equals the smallest C_out. A gain below half a unit is off (0).

    Raises:
        ExportError: a gain is above 255 or not finite.
    """
    values = np.asarray(gains, np.float64)
    if not np.all(np.isfinite(values)) or np.any(values < 0) or np.any(values > UNITS):
        raise ExportError(f"gains {values.tolist()} must be between 0 and {UNITS}, the ratio of 255 units to one")
    best: tuple[float, int, list[int]] | None = None
    for shared in range(1, largest_shared + 1):
        units = np.rint(values * shared)
        if np.any(units > UNITS):
            break
        error = float(np.sum((units / shared - values) ** 2))
        if best is None or error < best[0] * (1 - 1e-12):
            best = error, shared, units.astype(int).tolist()
    assert best is not None
    return best[1], best[2]


def plan(
    slopes: np.ndarray,
    largest_score_v: float,
    threshold_v: float,
    design_full_scale_v: float,
    full_scale_v: float = 1.0,
) -> Plan:
    """Spread one score over chips.

    Args:
        slopes: (N,) of the design's score against each differential input voltage, V/V; zero for an input left out.
        largest_score_v: largest magnitude of a score or partial sum that real tokens reach, V.
        threshold_v: of the design, V.
        design_full_scale_v: of the design's converters, V.
        full_scale_v: of the converters on the board, V: more signal over the chip's own offsets.

    Raises:
        ExportError: no input has a weight, or the threshold is beyond the signal range.
    """
    slopes = np.asarray(slopes, np.float64)
    used = np.flatnonzero(slopes)
    if not len(used):
        raise ExportError("no input has a weight")
    shrink = design_full_scale_v / full_scale_v
    scale = SWING_V / max(largest_score_v, abs(threshold_v), 1e-12)
    # The gains are of what the converters give on this board, so a design volt is 1 / shrink volts there.
    wanted = slopes * shrink * scale
    limit = float(np.max(np.abs(wanted)))
    if limit > UNITS:
        raise ExportError(f"the largest gain is {limit:g}, above {UNITS}; raise full_scale_v")
    chips: list[ChipPlan] = []
    left = used.tolist()
    while left:
        first = not chips
        last_takes = IO_CELLS - (0 if first else 1)
        last = len(left) <= last_takes
        # One cell for the sum that leaves, one for the sum that arrives.
        takes = len(left) if last else IO_CELLS - 1 - (0 if first else 1)
        mine, left = left[:takes], left[takes:]
        chip = _chip(len(chips), mine, wanted, full_scale_v, threshold_v * scale if last else None)
        if chip.sums:
            chips.append(chip)
    if not chips or not chips[-1].compares:
        raise ExportError("every weight rounds away beside the largest score; there is nothing to build")
    return Plan(tuple(chips), scale, full_scale_v, design_full_scale_v, wanted, threshold_v)


def _chip(
    number: int, inputs: Sequence[int], wanted: np.ndarray, full_scale_v: float, threshold_v: float | None
) -> ChipPlan:
    """SumDiff A takes the smallest gains, enlarged, B the largest and A; C the threshold where B is full."""
    sums: list[SumDiff] = []
    direct = sorted(((f"input {j}", float(wanted[j])) for j in inputs), key=lambda one: abs(one[1]))
    partial = [(f"chip {number - 1}", 1.0)] if number else []
    constant = [] if threshold_v is None else [("constant", -threshold_v / CONSTANT_V)]
    while len(direct) + len(partial) + (len(constant) if len(direct) <= INPUTS else 0) > INPUTS:
        taken, direct = direct[:INPUTS], direct[INPUTS:]
        name = "AB"[len(sums)]
        # As large as capacitors and swing allow, so that small weights get many units; what follows divides again.
        largest, total = max(abs(gain) for _, gain in taken), sum(abs(gain) for _, gain in taken)
        boost = max(1.0, min(1.0 / largest, SWING_V / (full_scale_v * total), UNITS))
        made_here = _sum(name, [(source, gain * boost) for source, gain in taken])
        if made_here.branches:  # else every weight of it rounds away
            sums.append(made_here)
            partial.append((f"sum {name}", 1.0 / boost))
    rest = [*direct, *partial]
    if len(rest) + len(constant) > INPUTS:
        sums.append(_sum("ABC"[len(sums)], rest))
        rest = [(f"sum {sums[-1].name}", 1.0)]
    last = _sum("ABCD"[len(sums)], [*rest, *constant])
    if last.branches:
        sums.append(last)
    made = ChipPlan(tuple(sums), threshold_v is not None)
    if made.io_cells > IO_CELLS or len(made.sums) > CABS:
        raise ExportError(f"chip {number}: {made.io_cells} I/O cells and {len(made.sums)} SumDiffs do not fit")
    return made


def _sum(name: str, gains: Sequence[tuple[str, float]]) -> SumDiff:
    shared, units = ratios([abs(gain) for _, gain in gains])
    branches = tuple(
        Branch(source, 1 if gain >= 0 else -1, count)
        for (source, gain), count in zip(gains, units, strict=True)
        if count > 0
    )
    return SumDiff(name, shared, branches)


def realised(made: Plan, inputs: int) -> tuple[np.ndarray, float]:
    """Gains (N,) from each input to the comparator, and the constant there in V: what the integers really do."""
    gains, constant_v = np.zeros(inputs), 0.0
    arriving = np.zeros(inputs)
    for chip in made.chips:
        outputs: dict[str, tuple[np.ndarray, float]] = {}
        for one in chip.sums:
            total, offset_v = np.zeros(inputs), 0.0
            for branch in one.branches:
                gain = one.gain(branch)
                if branch.source.startswith("input"):
                    total[int(branch.source.split()[1])] += gain
                elif branch.source.startswith("chip"):
                    total += gain * arriving
                elif branch.source == "constant":
                    offset_v += gain * CONSTANT_V
                else:
                    before, before_v = outputs[branch.source]
                    total, offset_v = total + gain * before, offset_v + gain * before_v
            outputs[f"sum {one.name}"] = total, offset_v
            gains, constant_v = total, offset_v
        arriving = gains
    return gains, constant_v


def rounding_bound(made: Plan, inputs: int) -> np.ndarray:
    """(N,) by how much half a unit in every C_in can move the gain of each input to the comparator.

    Each branch is within 0.5 / C_out of what was asked; along a path the gains r_k with errors d_k multiply, so the
    gain is off by at most prod (r_k + d_k) - prod r_k. An input whose branch was rounded away has r = 0.
    """
    at_most, gains = np.zeros(inputs), np.zeros(inputs)
    for chip in made.chips:
        outputs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        total, most = np.zeros(inputs), np.zeros(inputs)
        for one in chip.sums:
            total, most = np.zeros(inputs), np.zeros(inputs)
            half = 0.5 / one.shared_units
            for branch in one.branches:
                gain = abs(one.gain(branch))
                if branch.source.startswith("input"):
                    total[int(branch.source.split()[1])] += gain
                    most[int(branch.source.split()[1])] += gain + half
                elif branch.source.startswith("chip") or branch.source.startswith("sum"):
                    before, before_most = (
                        (gains, at_most) if branch.source.startswith("chip") else outputs[branch.source]
                    )
                    total, most = total + gain * before, most + (gain + half) * before_most
            outputs[f"sum {one.name}"] = total, most
        gains, at_most = total, most
    bound = at_most - gains
    # Rounded away: at most half a unit of the coarsest SumDiff, and nothing amplifies on the way.
    coarsest = max(0.5 / one.shared_units for chip in made.chips for one in chip.sums)
    return np.where(gains > 0, bound, coarsest)


def serial_frames(made: Plan, inputs: int) -> list[tuple[int, list[tuple[int, int, int]], int]]:
    """Instead of many chips, one: four inputs at a time, weights rewritten between, summed in an integrator.

    Returns:
        For each frame its number, (input, sign, C_in) of up to four inputs, and C_out.
    """
    used = np.flatnonzero(made.wanted).tolist()
    frames = []
    for number, first in enumerate(range(0, len(used), INPUTS)):
        mine = used[first : first + INPUTS]
        shared, units = ratios([abs(float(made.wanted[j])) for j in mine])
        signs = [int(math.copysign(1, made.wanted[j])) for j in mine]
        frames.append((number, list(zip(mine, signs, units, strict=True)), shared))
    return frames
