"""Yield: the share of chips that keep to a specification of accuracy."""

from __future__ import annotations

from typing import Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike

from atis_jax.statistics.intervals import Interval, clopper_pearson_interval, wilson_interval

ALL, EACH = "all temperatures", "each"
_ROUNDING = 1e-9
"""0.95 - 0.96 is below -0.01 by 1e-17; a chip that loses exactly the allowed points passes."""
_INTERVALS = {"clopper_pearson": clopper_pearson_interval, "wilson": wilson_interval}


class YieldEstimate(NamedTuple):
    """How many of the chips pass.

    Attributes:
        passes: chips within the specification.
        chips: n.
        fraction: passes / chips.
        interval: for the fraction of all chips that would be made.
        unresolved: chips whose verdict their own sampling error could turn; None without errors.
    """

    passes: int
    chips: int
    fraction: float
    interval: Interval
    unresolved: int | None

    @property
    def resolved(self) -> bool | None:
        """Whether every chip's verdict stands beyond its sampling error; None without errors."""
        return None if self.unresolved is None else self.unresolved == 0


@overload
def yield_estimate(
    deltas: ArrayLike,
    spec: float,
    kind: Literal["all temperatures"] = ...,
    *,
    standard_errors: ArrayLike | None = ...,
    level: float = ...,
    interval: str = ...,
) -> YieldEstimate: ...


@overload
def yield_estimate(
    deltas: ArrayLike,
    spec: float,
    kind: Literal["each"],
    *,
    standard_errors: ArrayLike | None = ...,
    level: float = ...,
    interval: str = ...,
) -> tuple[YieldEstimate, ...]: ...


def yield_estimate(
    deltas: ArrayLike,
    spec: float,
    kind: str = ALL,
    *,
    standard_errors: ArrayLike | None = None,
    level: float = 0.95,
    interval: str = "clopper_pearson",
) -> YieldEstimate | tuple[YieldEstimate, ...]:
    """Share of chips whose accuracy falls by no more than ``spec``: delta >= -spec.

    With ``standard_errors`` the verdicts that the finite test set leaves open are counted too. A chip surely passes
    when delta + spec is above one standard error at every temperature that counts, surely fails when it is below
    minus one at any of them, and is unresolved otherwise. A finite test set puts a chip's measured delta off by about
    one error, so with many chips near the limit the counted yield is drawn towards a half: then measure on more inputs.

    Args:
        deltas: (chips, temperatures), or (chips,) for one temperature: accuracy of each chip less that of the
            reference (the perfect chip, or the network without pruning) on the same inputs, as fractions.
        spec: largest fall allowed, zero or more, as a fraction: 0.01 is one point.
        kind: ``all temperatures``, one verdict a chip, which has to pass at each; or ``each``, one yield for each
            temperature.
        standard_errors: of the deltas, broadcast against them (``paired_difference(...).standard_error``).
        level: of confidence, between 0 and 1.
        interval: ``clopper_pearson``, which promises its level, or ``wilson``.

    Returns:
        One estimate, or for ``each`` a tuple of one for each temperature.

    Raises:
        ValueError: no chips, deltas that are not finite, a negative ``spec`` or error, or an unknown kind or interval.
    """
    margin = np.asarray(deltas, np.float64) + spec
    if margin.ndim == 1:
        margin = margin[:, None]
    if margin.ndim != 2 or margin.size == 0:
        raise ValueError(f"deltas has shape {np.shape(deltas)}; give (chips, temperatures), neither of them zero")
    if not np.all(np.isfinite(margin)):
        raise ValueError(f"deltas has {int(np.sum(~np.isfinite(margin)))} values that are not finite")
    if not spec >= 0:
        raise ValueError(f"spec = {spec} must be zero or more; it is the largest fall allowed, as a fraction")
    if interval not in _INTERVALS:
        raise ValueError(f"interval = {interval!r} is not one of: {', '.join(_INTERVALS)}")
    error = None if standard_errors is None else _errors_like(margin, standard_errors, np.ndim(deltas))

    def estimate(columns: slice) -> YieldEstimate:
        margins = margin[:, columns]
        passes, chips = int(np.sum(np.all(margins >= -_ROUNDING, axis=1))), len(margins)
        unresolved = None
        if error is not None:
            errors = error[:, columns]
            # A delta without error lies on one side of the limit, the limit itself included.
            passed = (margins > errors) | ((errors == 0) & (margins >= -_ROUNDING))
            surely = np.all(passed, axis=1) | np.any(margins < -errors - _ROUNDING, axis=1)
            unresolved = int(np.sum(~surely))
        return YieldEstimate(passes, chips, passes / chips, _INTERVALS[interval](passes, chips, level), unresolved)

    if kind == ALL:
        return estimate(slice(None))
    if kind == EACH:
        return tuple(estimate(slice(t, t + 1)) for t in range(margin.shape[1]))
    raise ValueError(f"kind = {kind!r} is not one of: {ALL}, {EACH}")


def _errors_like(margin: np.ndarray, standard_errors: ArrayLike, ndim: int) -> np.ndarray:
    """``standard_errors`` in the shape of ``margin``; a vector belongs to chips where the deltas were a vector."""
    error = np.asarray(standard_errors, np.float64)
    if error.ndim == 1 and ndim == 1:
        error = error[:, None]
    try:
        error = np.broadcast_to(error, margin.shape)
    except ValueError:
        raise ValueError(
            f"standard_errors has shape {np.shape(standard_errors)}, which does not broadcast to that of the deltas, "
            f"{margin.shape}"
        ) from None
    if not np.all(error >= 0):
        raise ValueError("standard_errors must be zero or more")
    return error
