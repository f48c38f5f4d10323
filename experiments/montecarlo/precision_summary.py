"""What a precision sweep found: where accuracy starts to fall, in bits of the devices and in effective bits."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from atis_jax import statistics
from atis_jax.training.score_bits import ScoreBits

CLAIM = (4.0, 6.0)
"""Effective bits that the ATIS paper, section 4.1, says suffice."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """Measured values of design A, DAC bits D, programming bits P, chip C; ``alone`` is the chip without errors.

    Attributes:
        change, kept: (A, D, P, C) accuracy less that of the perfect chip, and fraction of tokens kept.
        change_alone, kept_alone: (A, D, P).
        discordant: (A, D, P) share of inputs that chips and perfect chip judge differently, mean of chips.
        fitted, raw: (A, D, P, C) effective bits against the design's own score, mean of layers and scores; ``fitted``
            without gain and offset.
        fitted_alone: (A, D, P).
        linear: (A, D, P, C) effective bits against the linear product, without gain and offset.
        examples: inputs.
        dac_bits, programming_bits: (D,), (P,).
    """

    change: np.ndarray
    kept: np.ndarray
    change_alone: np.ndarray
    kept_alone: np.ndarray
    discordant: np.ndarray
    fitted: np.ndarray
    raw: np.ndarray
    fitted_alone: np.ndarray
    linear: np.ndarray
    examples: int
    dac_bits: tuple[int, ...]
    programming_bits: tuple[int, ...]

    @classmethod
    def of(
        cls,
        dac_bits: Sequence[int],
        programming_bits: Sequence[int],
        chips: int,
        rows: Sequence[Mapping[str, Any]],
        bits: Sequence[ScoreBits],
        scored: Sequence[range],
    ) -> Grid:
        """From the cells' rows and effective bits, arm after arm in the order of ``precision_arm``.

        Args:
            dac_bits: (D,).
            programming_bits: (P,).
            chips: C.
            rows: of the table.
            bits: of each arm, leaves (cells, L, G).
            scored: layers of each arm that have a scorer; the others prune nothing and count in no mean.
        """
        shape = (len(bits), len(dac_bits), len(programming_bits), 1 + chips)
        each = len(rows) // len(bits)
        layers = [name for name in rows[0] if name.startswith("kept_")]
        pruning = [[layers[i] for i in scored[number // each]] for number in range(len(rows))]
        change = np.asarray([(row["gained"] - row["lost"]) / row["examples"] for row in rows]).reshape(shape)
        discordant = np.asarray([(row["gained"] + row["lost"]) / row["examples"] for row in rows]).reshape(shape)
        kept = np.asarray([np.mean([row[name] for name in names]) for row, names in zip(rows, pruning, strict=True)])
        kept = kept.reshape(shape)

        def mean(values: Sequence[np.ndarray]) -> np.ndarray:
            parts = [one[:, list(has)].mean(axis=(1, 2)) for one, has in zip(values, scored, strict=True)]
            return np.stack(parts).reshape(shape)

        fitted = mean([np.asarray(one.design.fitted) for one in bits])
        return cls(
            change=change[..., 1:],
            kept=kept[..., 1:],
            change_alone=change[..., 0],
            kept_alone=kept[..., 0],
            discordant=discordant[..., 1:].mean(axis=-1),
            fitted=fitted[..., 1:],
            raw=mean([np.asarray(one.design.raw) for one in bits])[..., 1:],
            fitted_alone=fitted[..., 0],
            linear=mean([np.asarray(one.linear.fitted) for one in bits])[..., 1:],
            examples=int(rows[0]["examples"]),
            dac_bits=tuple(dac_bits),
            programming_bits=tuple(programming_bits),
        )

    @property
    def kept_more(self) -> np.ndarray:
        """(A, D, P) how much more is kept, mean of chips, than on the perfect chip with the finest bits."""
        return self.kept.mean(axis=-1) - self.kept_alone[:, -1:, -1:]

    @property
    def error(self) -> np.ndarray:
        """(A, D, P) standard error of the mean change: of chips, and of inputs that all chips share."""
        of_chips = self.change.var(axis=-1, ddof=1) / self.change.shape[-1]
        return np.sqrt(of_chips + self.input_error**2)

    @property
    def input_error(self) -> np.ndarray:
        """(A, D, P) the part of ``error`` that all chips share, for they see the same inputs."""
        mean = self.change.mean(axis=-1)
        return np.vectorize(statistics.paired_standard_error)(self.discordant, self.examples, mean)


@dataclasses.dataclass(frozen=True)
class Verdicts:
    """Of every point (A, D, P): does it hold, and is the measurement sure of it?

    Attributes:
        holds: chips lose on average no more than the limit and keep no more than ``kept_limit`` more tokens (a chip
            that keeps everything is accurate too).
        open: the change lies within one standard error of the limit.
    """

    holds: np.ndarray
    open: np.ndarray

    @classmethod
    def of(cls, grid: Grid, limit: float, kept_limit: float) -> Verdicts:
        """Verdicts on a grid."""
        margin, few = grid.change.mean(axis=-1) + limit, grid.kept_more <= kept_limit + 1e-9
        return cls((margin >= -1e-9) & few, (np.abs(margin) < grid.error) & few)

    @property
    def fails(self) -> np.ndarray:
        """Loses more than the limit by over one standard error, or keeps more than ``kept_limit`` more tokens."""
        return ~self.holds & ~self.open


def summarise(
    designs: Sequence[Mapping[str, Any]],
    grid: Grid,
    ideal: Sequence[float],
    *,
    limit: float,
    kept_limit: float,
    confidence: float,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The knee of each design and over all, and what becomes of the paper's claim."""
    verdicts = Verdicts.of(grid, limit, kept_limit)
    bits = {"design": grid.fitted.mean(axis=-1), "linear": grid.linear.mean(axis=-1)}
    found = []
    for number, design in enumerate(designs):
        estimate = statistics.mean_estimate(
            grid.change[number, -1, -1], confidence, shared_error=float(grid.input_error[number, -1, -1])
        )
        found.append(
            {
                **design,
                "ideal_accuracy": ideal[number],
                "kept": float(grid.kept_alone[number, -1, -1]),
                "needs": needed(verdicts.fails[number], grid),
                "knee": {name: knee(values[number], verdicts.fails[number]) for name, values in bits.items()},
                "finest": {
                    "change_mean": estimate.mean,
                    "change_low": estimate.interval.low,
                    "change_high": estimate.interval.high,
                    "bits": float(bits["design"][number, -1, -1]),
                    "bits_raw": float(grid.raw[number, -1, -1].mean()),
                    "bits_linear": float(bits["linear"][number, -1, -1]),
                    "bits_without_errors": float(grid.fitted_alone[number, -1, -1]),
                },
            }
        )
    arrays = {
        "precision_dac_bits": np.asarray(grid.dac_bits),
        "precision_programming_bits": np.asarray(grid.programming_bits),
        "precision_inputs": np.asarray([design["inputs"] for design in designs]),
        "precision_pruned": np.asarray([design["pruned"] for design in designs]),
        "precision_change": grid.change,
        "precision_kept": grid.kept,
        "precision_kept_more": grid.kept_more,
        "precision_bits": grid.fitted,
        "precision_bits_raw": grid.raw,
        "precision_bits_linear": grid.linear,
        "precision_bits_alone": grid.fitted_alone,
        "precision_change_alone": grid.change_alone,
        "precision_holds": verdicts.holds,
        "precision_fails": verdicts.fails,
    }
    summary = {
        "designs": found,
        "limit": limit,
        "kept_limit": kept_limit,
        "knee": {name: over([one["knee"][name] for one in found]) for name in bits},
        "claim": {name: claim(values, verdicts) for name, values in bits.items()},
        "chips": grid.change.shape[-1],
        "examples": grid.examples,
    }
    return {"precision": summary}, arrays


def needed(fails: np.ndarray, grid: Grid) -> dict[str, int | None]:
    """Fewest bits from which on a design (D, P) never fails: of each device with the other at its finest.

    None if it fails even with the most bits.
    """
    found: dict[str, int | None] = {}
    for name, line, bits in (
        ("dac_bits", fails[:, -1], grid.dac_bits),
        ("programming_bits", fails[-1, :], grid.programming_bits),
    ):
        first = _first_good(line)
        found[name] = bits[first] if first < len(bits) else None
    return found


def knee(bits: np.ndarray, fails: np.ndarray) -> dict[str, Any]:
    """Fewest effective bits of a design from which on none of its points fails.

    Returns:
        ``bits``, None if the point with the most fails; ``at_most``, whether no point fails at all, so that the knee
        is the fewest bits that were measured and may lie lower.
    """
    order = np.argsort(bits, axis=None)
    first = _first_good(fails.ravel()[order])
    found = float(bits.ravel()[order][first]) if first < bits.size else None
    return {"bits": found, "at_most": bool(~fails.any())}


def over(knees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Median and range over designs. One without a knee counts as one beyond all: the median may be None for it."""
    found = [one["bits"] for one in knees if one["bits"] is not None]
    median = float(np.median([math.inf if one["bits"] is None else one["bits"] for one in knees]))
    return {
        "median": median if math.isfinite(median) else None,
        "low": min(found) if found else None,
        "high": max(found) if found else None,
        "designs": len(knees),
        "without": len(knees) - len(found),
        "at_most": sum(one["at_most"] for one in knees),
    }


def claim(bits: np.ndarray, verdicts: Verdicts) -> dict[str, Any]:
    """How many points hold below, within and above the effective bits that the paper says suffice."""
    low, high = CLAIM
    bands = {"below": bits < low, "within": (bits >= low) & (bits <= high), "above": bits > high}
    counts = {
        name: {
            "points": int(band.sum()),
            "hold": int((band & verdicts.holds).sum()),
            "open": int((band & verdicts.open).sum()),
        }
        for name, band in bands.items()
    }
    return {"bits": list(CLAIM), **counts}


def _first_good(fails: np.ndarray) -> int:
    """Index from which on nothing fails."""
    failing = np.flatnonzero(fails)
    return 0 if len(failing) == 0 else int(failing[-1]) + 1


def points_csv(designs: Sequence[Mapping[str, Any]], grid: Grid) -> str:
    """One row a design and pair of bits, loads with ``pandas.read_csv("points.csv")``."""
    columns = {
        "change": grid.change.mean(axis=-1),
        "change_error": grid.error,
        "change_std_of_chips": grid.change.std(axis=-1, ddof=1),
        "change_without_errors": grid.change_alone,
        "kept": grid.kept.mean(axis=-1),
        "kept_without_errors": grid.kept_alone,
        "effective_bits": grid.fitted.mean(axis=-1),
        "effective_bits_raw": grid.raw.mean(axis=-1),
        "effective_bits_linear": grid.linear.mean(axis=-1),
        "effective_bits_without_errors": grid.fitted_alone,
    }
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*designs[0], "dac_bits", "programming_bits", *columns])
    for number, design in enumerate(designs):
        for d, dac in enumerate(grid.dac_bits):
            for p, gate in enumerate(grid.programming_bits):
                values = [f"{column[number, d, p]:.6g}" for column in columns.values()]
                writer.writerow([*design.values(), dac, gate, *values])
    return out.getvalue()
