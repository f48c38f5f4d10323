"""What a precision sweep found: where accuracy starts to fall, in bits of the devices and in effective bits."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from atis_jax import statistics
from atis_jax.statistics import EffectiveBits

CLAIM = (4.0, 6.0)
"""Effective bits that the ATIS paper, section 4.1, says suffice."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """Measured values of design A, DAC bits D, programming bits P, chip C; ``alone`` is the chip without errors.

    Attributes:
        change, kept: (A, D, P, C) accuracy less that of the perfect chip, and fraction of tokens kept.
        change_alone, kept_alone: (A, D, P).
        fitted, raw: (A, D, P, C) effective bits, mean of layers and scores; ``fitted`` without gain and offset.
        fitted_alone: (A, D, P).
        dac_bits, programming_bits: (D,), (P,).
    """

    change: np.ndarray
    kept: np.ndarray
    change_alone: np.ndarray
    kept_alone: np.ndarray
    fitted: np.ndarray
    raw: np.ndarray
    fitted_alone: np.ndarray
    dac_bits: tuple[int, ...]
    programming_bits: tuple[int, ...]

    @classmethod
    def of(
        cls,
        dac_bits: Sequence[int],
        programming_bits: Sequence[int],
        chips: int,
        rows: Sequence[Mapping[str, Any]],
        bits: Sequence[EffectiveBits],
    ) -> Grid:
        """From the cells' rows and effective bits, arm after arm in the order of ``precision_arm``."""
        shape = (len(bits), len(dac_bits), len(programming_bits), 1 + chips)
        layers = [name for name in rows[0] if name.startswith("kept_")]
        change = np.asarray([(row["gained"] - row["lost"]) / row["examples"] for row in rows]).reshape(shape)
        kept = np.asarray([np.mean([row[name] for name in layers]) for row in rows]).reshape(shape)
        fitted, raw = (
            np.stack([np.mean(getattr(one, name), axis=(1, 2)) for one in bits]).reshape(shape)
            for name in ("fitted", "raw")
        )
        return cls(
            change=change[..., 1:],
            kept=kept[..., 1:],
            change_alone=change[..., 0],
            kept_alone=kept[..., 0],
            fitted=fitted[..., 1:],
            raw=raw[..., 1:],
            fitted_alone=fitted[..., 0],
            dac_bits=tuple(dac_bits),
            programming_bits=tuple(programming_bits),
        )

    @property
    def kept_more(self) -> np.ndarray:
        """(A, D, P) how much more is kept, mean of chips, than on the perfect chip with the finest bits."""
        return self.kept.mean(axis=-1) - self.kept_alone[:, -1:, -1:]


def summarise(
    designs: Sequence[Mapping[str, Any]],
    grid: Grid,
    ideal: Sequence[float],
    *,
    limit: float,
    kept_limit: float,
    confidence: float,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The knee of each design and of all together, and what becomes of the paper's claim.

    A point *holds* if chips lose on average no more than ``limit`` of accuracy and keep no more than ``kept_limit``
    more tokens: a chip that keeps everything is accurate too.
    """
    holds = (grid.change.mean(axis=-1) >= -limit - 1e-9) & (grid.kept_more <= kept_limit + 1e-9)
    bits = grid.fitted.mean(axis=-1)
    found = []
    for number, design in enumerate(designs):
        found.append(
            {
                **design,
                "ideal_accuracy": ideal[number],
                "kept": float(grid.kept_alone[number, -1, -1]),
                "needs": coarsest(holds[number], grid),
                "bits_reached": float(bits[number].max()),
                "bits_reached_without_errors": float(grid.fitted_alone[number].max()),
                **_finest(grid, number, confidence),
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
        "precision_bits_alone": grid.fitted_alone,
        "precision_change_alone": grid.change_alone,
        "precision_holds": holds,
    }
    summary = {
        "designs": found,
        "limit": limit,
        "kept_limit": kept_limit,
        "knee": knee(bits, holds),
        "knee_raw": knee(grid.raw.mean(axis=-1), holds),
        "claim": claim(bits, holds),
        "chips": grid.change.shape[-1],
    }
    return {"precision": summary}, arrays


def coarsest(holds: np.ndarray, grid: Grid) -> dict[str, int | None]:
    """Fewest bits from which on a design holds, (D, P): of each device with the other at its finest.

    None if it does not even hold with the most bits.
    """
    found: dict[str, int | None] = {}
    for name, line, bits in (
        ("dac_bits", holds[:, -1], grid.dac_bits),
        ("programming_bits", holds[-1, :], grid.programming_bits),
    ):
        failing = np.flatnonzero(~line)
        first = 0 if len(failing) == 0 else int(failing[-1]) + 1
        found[name] = bits[first] if first < len(bits) else None
    return found


def knee(bits: np.ndarray, holds: np.ndarray) -> dict[str, float | None]:
    """Effective bits at which points start and stop to fail.

    Returns:
        ``sufficient``: fewest bits from which on every point holds; None if the point with the most does not.
        ``necessary``: fewest bits of any point that holds; None if none does.
    """
    bits, holds = bits.ravel(), holds.ravel()
    order = np.argsort(bits)
    failing = np.flatnonzero(~holds[order])
    first = 0 if len(failing) == 0 else int(failing[-1]) + 1
    return {
        "sufficient": float(bits[order][first]) if first < len(bits) else None,
        "necessary": float(bits[holds].min()) if holds.any() else None,
    }


def claim(bits: np.ndarray, holds: np.ndarray) -> dict[str, Any]:
    """How many points hold below, within and above the effective bits that the paper says suffice."""
    low, high = CLAIM
    bands = {"below": bits < low, "within": (bits >= low) & (bits <= high), "above": bits > high}
    return {
        "bits": list(CLAIM),
        **{name: {"points": int(band.sum()), "hold": int((band & holds).sum())} for name, band in bands.items()},
    }


def _finest(grid: Grid, number: int, confidence: float) -> dict[str, float]:
    """Change of accuracy with the most bits of both, mean of chips with its interval."""
    estimate = statistics.mean_estimate(grid.change[number, -1, -1], confidence)
    return {
        "change_mean": estimate.mean,
        "change_low": estimate.interval.low,
        "change_high": estimate.interval.high,
    }


def points_csv(designs: Sequence[Mapping[str, Any]], grid: Grid) -> str:
    """One row a design and pair of bits, loads with ``pandas.read_csv("points.csv")``."""
    columns = {
        "change": grid.change.mean(axis=-1),
        "change_std_of_chips": grid.change.std(axis=-1, ddof=1),
        "change_without_errors": grid.change_alone,
        "kept": grid.kept.mean(axis=-1),
        "kept_without_errors": grid.kept_alone,
        "effective_bits": grid.fitted.mean(axis=-1),
        "effective_bits_raw": grid.raw.mean(axis=-1),
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
