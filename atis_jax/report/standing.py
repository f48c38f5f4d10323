"""Who wins and who loses, in one sentence: a contender held against its rivals in accuracy and in energy."""

from __future__ import annotations

from dataclasses import dataclass

from atis_jax.report.formatting import significant
from atis_jax.report.sampling import Sample


@dataclass(frozen=True)
class Standing:
    """How the contender does against a rival in one respect.

    Attributes:
        sign: 1 better, -1 worse, 0 no difference; None: the difference cannot be judged.
        words: of the contender.
    """

    sign: int | None
    words: str


@dataclass(frozen=True)
class Claim:
    """A rival, and how the contender stands against it.

    Attributes:
        rival: its name.
        accuracy: None where it was not measured.
        energy: of the whole pass, None where it was not worked out.
        scoring: energy of the choosing alone, which decides where nothing else differs.
    """

    rival: str
    accuracy: Standing | None = None
    energy: Standing | None = None
    scoring: Standing | None = None

    @property
    def measured(self) -> bool:
        """Whether there is anything to claim."""
        return self.accuracy is not None or self.energy is not None

    @property
    def sign(self) -> int:
        """1 won, -1 lost, 0 neither."""
        signs = {one.sign for one in (self.accuracy, self.energy) if one is not None and one.sign}
        if self._unjudged:
            return 0
        if not signs and self.scoring is not None:
            return self.scoring.sign or 0
        return signs.pop() if len(signs) == 1 else 0

    @property
    def _unjudged(self) -> bool:
        """Whether there are accuracies whose difference nobody can judge."""
        return self.accuracy is not None and self.accuracy.sign is None

    @property
    def words(self) -> str:
        """``beats the dense network (63 % less energy, accuracy does not differ)``."""
        shown = [one for one in (self.energy, self.accuracy) if one is not None]
        signs = {one.sign for one in shown if one.sign}
        how = ", ".join(one.words for one in shown)
        if self._unjudged:
            if self.energy is None or not self.energy.sign or self.accuracy is None:
                return f"cannot be told from {self.rival} ({how})"
            return f"takes {self.energy.words} against {self.rival} ({self.accuracy.words})"
        if not signs and self.scoring is not None and self.scoring.sign:
            verb = "beats" if self.scoring.sign == 1 else "loses to"
            return f"{verb} {self.rival} in the scoring alone ({self.scoring.words}; the whole pass: {how})"
        if len(signs) == 2 and self.accuracy is not None:
            up, down = ("accuracy", "energy") if self.accuracy.sign == 1 else ("energy", "accuracy")
            return f"wins in {up} but loses in {down} against {self.rival} ({how})"
        verb = {1: "beats", -1: "loses to", 0: "does not differ from"}[self.sign]
        return f"{verb} {self.rival} ({how})"


def accuracy_standing(sample: Sample, ours: float | None, theirs: float | None) -> Standing | None:
    """Accuracies on the same examples: None where one is missing."""
    if ours is None or theirs is None:
        return None
    return Standing(sample.sign(ours, theirs), sample.gap_words(ours, theirs))


def energy_standing(ours: float | None, theirs: float | None) -> Standing | None:
    """Energies of a whole pass; what rounds to 1.00 times is as much."""
    if ours is None or not theirs:
        return None
    ratio = ours / theirs
    if ratio > 0 and rounds_to_one(ratio):
        return Standing(0, "as much energy")
    if ratio >= 2:
        return Standing(-1, f"{times(ratio)} times the energy")
    share = max(1, round(100 * abs(1 - ratio)))
    return Standing(1 if ratio < 1 else -1, f"{share}\u00a0% {'less' if ratio < 1 else 'more'} energy")


def scoring_standing(ours: float | None, theirs: float | None) -> Standing | None:
    """Energies of choosing the tokens alone."""
    if not ours or not theirs:
        return None
    if rounds_to_one(ours / theirs):
        return Standing(0, "as much there")
    if ours < theirs:
        return Standing(1, f"digital takes {times(theirs / ours)} times as much there")
    return Standing(-1, f"{times(ours / theirs)} times as much there")


def sentence(subject: str, claims: list[Claim]) -> str:
    """``Analog pruning beats A (...) but loses to B (...).``; empty without a claim that was measured."""
    claims = [one for one in claims if one.measured]
    if not claims:
        return ""
    text, before = f"{subject} {claims[0].words}", claims[0].sign
    for one in claims[1:]:
        text += f" {'but' if before and one.sign != before else 'and'} {one.words}"
        before = one.sign
    return f"{text}."


def rounds_to_one(factor: float) -> bool:
    """Whether the factor, or its inverse, would be printed as 1.00."""
    return max(factor, 1.0 / factor) < 1.005


def times(factor: float) -> str:
    """A factor as it is printed, always how many times as much the loser takes."""
    larger = max(factor, 1.0 / factor)
    return f"{larger:.2f}" if larger < 9.995 else significant(larger)
