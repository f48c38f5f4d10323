"""Reading a response off a recorded signal: when it settled, and whether it goes round in a cycle."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

MIN_PERIODS = 8
"""Periods of a cycle that the signal must hold for it to be called one."""
COHERENCE = 0.5
"""Least autocorrelation one, two, three and four periods later; noise in a damped loop loses it within two."""


@dataclasses.dataclass(frozen=True)
class Cycle:
    """A repeating motion.

    Attributes:
        amplitude: half of peak to peak of the mean period, in the signal's unit.
        period: samples.
    """

    amplitude: float
    period: int


def settling(
    signal: Float[np.ndarray, "t"],
    before: float,
    after: float,
    step_at: int,
    tolerance: float = 0.1,
    hold: int | None = None,
) -> int | None:
    """Samples from the step until the signal stays within ``tolerance`` of the step around its final value.

    A loop driven by noise leaves any band now and then, so a long enough record would never settle: ``hold`` says
    for how long it must stay.

    Args:
        signal: the record.
        before: its value ahead of the step.
        after: its final value.
        step_at: sample at which the cause changed.
        tolerance: of |after - before|.
        hold: samples it must stay within, None for the rest of the record.

    Returns:
        The first sample, counted from ``step_at``, from which on |signal - after| <= tolerance |after - before| for
        ``hold`` samples; None if there is none within the record, or no step.

    Raises:
        ValueError: ``step_at`` is not a sample, the tolerance is not above zero, or ``hold`` is below one.
    """
    if not 0 <= step_at < len(signal):
        raise ValueError(f"step_at = {step_at} is not one of the {len(signal)} samples")
    if not tolerance > 0:
        raise ValueError(f"tolerance = {tolerance} must be above zero")
    if hold is not None and hold < 1:
        raise ValueError(f"hold = {hold} must be one sample or more")
    if after == before:
        return None
    outside = np.flatnonzero(np.abs(signal[step_at:] - after) > tolerance * abs(after - before))
    length = len(signal) - step_at
    # Runs within the band: from after one excursion up to the next, or to the end of the record.
    starts, ends = np.r_[0, outside + 1], np.r_[outside, length]
    if hold is None:
        return int(starts[-1]) if starts[-1] < length else None
    long_enough = np.flatnonzero(ends - starts >= hold)
    return int(starts[long_enough[0]]) if long_enough.size else None


def limit_cycle(signal: Float[np.ndarray, "t"]) -> Cycle | None:
    """The cycle in a signal that has settled, or None.

    The autocorrelation of a cycle comes back at every multiple of the period, that of noise filtered by a damped
    loop dies away. The period is its first peak; it counts if ``COHERENCE`` is reached at one to four of them and
    ``MIN_PERIODS`` fit into the record.
    """
    centred = np.asarray(signal, float) - np.mean(signal)
    size = centred.size
    if size < 2 * MIN_PERIODS or not np.any(np.abs(centred) > 1e-12 * max(1.0, float(np.abs(signal).max()))):
        return None
    spectrum = np.fft.rfft(centred, 2 * size)
    product = np.fft.irfft(np.abs(spectrum) ** 2)[:size]
    # Over the samples that overlap at each lag: a long lag does not count as less similar for having fewer.
    correlation = product / product[0] * size / (size - np.arange(size))
    longest = size // MIN_PERIODS
    below = np.flatnonzero(correlation[: longest + 1] < 0)
    if below.size == 0:
        return None
    start = int(below[0])
    period = start + int(np.argmax(correlation[start : longest + 1]))
    # A multiple of the period can be as high by a hair: take the smallest divisor that is a peak nearly as high.
    for parts in range(period // 2, 1, -1):
        shorter = round(period / parts)
        if shorter >= max(start, 2) and correlation[shorter] > 0.95 * correlation[period]:
            period = shorter
            break
    if np.min(correlation[period * np.arange(1, 5)]) < COHERENCE:
        return None
    whole = centred[: size // period * period].reshape(-1, period).mean(axis=0)
    return Cycle(amplitude=float(np.ptp(whole)) / 2, period=period)


__all__ = ["Cycle", "limit_cycle", "settling"]
