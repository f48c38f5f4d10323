"""What networks that read words have in common: whether the data are text, and stacked blocks without positions.

Shape suffixes: B batch, W tokens of a sentence with its padding.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from atis_jax.data.dataset import Facts
from atis_jax.models import blocks
from atis_jax.models.backbone import FromSpec
from atis_jax.models.kernels import Kernel
from atis_jax.pruning.stream import Attended, Stream
from atis_jax.typing import Key, PyTree
from atis_jax.validation import SettingError


class OfWords(FromSpec):
    """What networks that read words have in common: stacked blocks that know no positions, and the data's facts.

    Attributes:
        spec: section of the config.
        facts: of the data.
    """

    spec: Any
    facts: Facts

    @property
    def block(self) -> blocks.Block | blocks.PostNormBlock:
        """The module whose parameters are stacked."""
        raise NotImplementedError

    def check_words(self, least: int) -> None:
        """Whether the data are text whose longest example has at least ``least`` tokens.

        Raises:
            SettingError: they are not.
        """
        if not self.facts.vocabulary or self.facts.length < least:
            raise SettingError(
                f"model.kind = {self.spec.kind!r} reads words, and the data have a vocabulary of "
                f"{self.facts.vocabulary} and a length of {self.facts.length}; choose a data.kind of text with a "
                f"length of at least {least}, or another model.kind"
            )

    def check_batch(self, batch: Mapping[str, Any], names: Collection[str], raw: bool) -> None:
        """Whether a batch has words that fit.

        Raises:
            SettingError: ``raw``, columns of different shapes, or longer examples than the data set said.
        """
        if raw:
            raise SettingError(
                f"scorer.source = 'pixels' with model.kind = {self.spec.kind!r}: words are made of no signal that a "
                "sensor could score; set scorer.source = 'tokens'"
            )
        shapes = [batch[name].shape for name in names]
        if len(set(shapes)) > 1 or shapes[0][1] > self.facts.length:
            told = ", ".join(f"batch[{name!r}] of shape {shape}" for name, shape in zip(names, shapes, strict=True))
            raise SettingError(
                f"{told}; give all the same (B, W) with W at most {self.facts.length}, the length of the longest "
                "sentence"
            )

    def blocks(self, params: PyTree) -> PyTree:
        """Leaves (L, ...)."""
        return params["params"]["blocks"]

    def attend(
        self, block: PyTree, stream: Stream, kernel: Kernel, needs: Collection[str] = (), dropout: Key | None = None
    ) -> tuple[Stream, Attended]:
        """See ``Model``."""
        return blocks.attend(self.block, block, stream, None, kernel, needs, dropout)

    def feed(self, block: PyTree, stream: Stream, dropout: Key | None = None) -> Stream:
        """See ``Model``."""
        return blocks.feed(self.block, block, stream, dropout)
