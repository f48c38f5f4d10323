"""What the number of test examples allows to be said of accuracies: their error, their digits, whether two differ."""

from __future__ import annotations

import math
from dataclasses import dataclass

from atis_jax.formatting import percent_decimals, sampling_error
from atis_jax.report.errors import ReportError
from atis_jax.report.formatting import NOT_A_NUMBER
from atis_jax.report.run_files import RunFiles

_SPACE = "\u00a0"


@dataclass(frozen=True)
class Sample:
    """The test examples that accuracies were counted on.

    Attributes:
        examples: how many; None where the run does not say, and then no error is known.
    """

    examples: int | None

    def error(self, accuracy: float) -> float | None:
        """One standard error of an accuracy: that of a binomial share, at least one example's worth."""
        if self.examples is None or not math.isfinite(accuracy):
            return None
        return sampling_error(accuracy, self.examples)

    def words(self, accuracy: float) -> str:
        """``95.4 %``: no digit smaller than the first one of the error."""
        return percent_to(accuracy, self.error(accuracy))

    def sign(self, ours: float, theirs: float) -> int | None:
        """1 more accurate, -1 less, 0 no difference: the bands of one standard error overlap. None: not known.

        With bands of equal width the difference is at most 1.4 of its own standard errors where they touch, were the
        examples drawn anew for each; they are the same, so it is a cautious rule.
        """
        errors = self.error(ours), self.error(theirs)
        if errors[0] is None or errors[1] is None:
            return None
        gap = ours - theirs
        return 0 if abs(gap) <= errors[0] + errors[1] else int(math.copysign(1, gap))

    def gap_words(self, ours: float, theirs: float) -> str:
        """``2.1 points more accurate``, or that they do not differ."""
        sign = self.sign(ours, theirs)
        if sign is None:
            return f"{self.words(ours)} accurate against {self.words(theirs)}, whose error is not known"
        if sign == 0:
            return "accuracy does not differ"
        # As if drawn anew for each; on the same examples the error of a difference is smaller.
        error = math.hypot(self.error(ours) or 0.0, self.error(theirs) or 0.0)
        size = points_to(abs(ours - theirs), error)
        return f"{size} {'more' if ours > theirs else 'less'} accurate"


def sample_of(run: RunFiles) -> Sample:
    """The test examples of a run."""
    examples = run.number("dataset.examples")
    return Sample(None if examples is None or not examples >= 1 else int(examples))


def chips_of(run: RunFiles) -> int | None:
    """How many chips the hardware accuracy is over."""
    value = run.number("accuracy.chips")
    if value is not None and (not value.is_integer() or value < 1):
        raise ReportError(f"summary.json: 'accuracy.chips' is {value}; expected a whole number, at least 1")
    return None if value is None else int(value)


def place_words(run: RunFiles) -> str:
    """Where chips work: ``27 °C``, ``0 to 70 °C``, ``0 to 85 °C and 90 to 110 % of the supply``; empty: not said."""
    words = []
    for name, scale, unit in (("temperature_c", 1.0, "°C"), ("supply", 100.0, "% of the supply")):
        value = run.table("accuracy").get(name)
        if value is None:
            continue
        values = value if isinstance(value, list) else [value]
        if not values or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
            raise ReportError(f"summary.json: 'accuracy.{name}' must be numbers, found {value!r}")
        low, high = scale * min(values), scale * max(values)
        if name == "temperature_c" or low != high:
            words.append(f"{low:g}{_SPACE}{unit}" if low == high else f"{low:g} to {high:g}{_SPACE}{unit}")
    return " and ".join(words)


def calibration_words(run: RunFiles) -> str:
    """What was set on each chip before it was measured, ``each calibrated (threshold)``; empty as fabricated."""
    value = run.table("accuracy").get("calibration") or []
    if not isinstance(value, list) or any(not isinstance(v, str) for v in value):
        raise ReportError(f"summary.json: 'accuracy.calibration' must be names, found {value!r}")
    return f"each calibrated ({', '.join(value)})" if value else ""


def percent_to(fraction: float, error: float | None) -> str:
    """A share in percent with the digits that its error allows."""
    if not math.isfinite(fraction):
        return NOT_A_NUMBER
    return f"{100 * fraction:.{percent_decimals(error)}f}{_SPACE}%".replace("-", "\u2212")


def points_to(size: float, error: float | None) -> str:
    """A size in percentage points with the digits that its error allows, no sign: ``2.1 points``, ``1 point``."""
    if not math.isfinite(size):
        return NOT_A_NUMBER
    places = percent_decimals(error)
    text = f"{100 * abs(size):.{places}f}"
    if float(text) == 0 and size:
        return f"less than {10.0**-places:.{places}f}{_SPACE}point{'' if places == 0 else 's'}"
    return f"{text}{_SPACE}{'point' if text == '1' else 'points'}"


def change_to(change: float, error: float | None) -> str:
    """The same with its sign: ``−2.1 points``; nothing to see is ``0 points``."""
    if not math.isfinite(change):
        return NOT_A_NUMBER
    places = percent_decimals(error)
    rounded = round(100 * change, places)
    if not rounded:
        return f"0{_SPACE}points"
    return f"{rounded:+.{places}f}".replace("-", "\u2212") + f"{_SPACE}{'point' if abs(rounded) == 1 else 'points'}"
