"""What the examples of a data set and their tokens are called."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """Names of things that are other things in other data.

    Attributes:
        unit: one example.
        token: what a network makes of a part of one.
        tokens: several of them.
        protected: what is never pruned.
    """

    unit: str
    token: str = "token"
    tokens: str = "tokens"
    protected: str = "protected tokens"

    @property
    def one(self) -> str:
        """``an image``, ``a sentence``."""
        return f"{'an' if self.unit[0] in 'aeiou' else 'a'} {self.unit}"

    @property
    def units(self) -> str:
        """Several examples."""
        return f"{self.unit}s"


IMAGES = Words("image", "patch", "patches", "class token")
"""Of images, and of runs that do not say what their examples are: they are older than any other data."""


def words_for(unit: str | None) -> Words:
    """The words for a data set's ``unit``."""
    return IMAGES if unit in (None, IMAGES.unit) else Words(str(unit))
