"""Which published decoder a file holds: it is told by what its table of words is called."""

from __future__ import annotations

from collections.abc import Callable

from atis_jax.models.decoder import Decoder
from atis_jax.models.weights import llama
from atis_jax.models.weights.errors import WeightsError
from atis_jax.models.weights.files import WeightsFile
from atis_jax.models.weights.tensors import Reading

FAMILIES: dict[str, Callable[[Decoder, WeightsFile], Reading]] = {llama.ANCHOR: llama.read_llama}
"""By the end of the name of the table of words: what makes parameters of the file."""


def read_decoder(model: Decoder, file: WeightsFile) -> Reading:
    """Parameters of ``model`` from a published decoder.

    Raises:
        SettingError: the network or the data have another shape than the weights.
        WeightsError: the file is of no family that is read, or has more or less in it.
    """
    for anchor, read in FAMILIES.items():
        if any(name.endswith(anchor) for name in file.tensors):
            return read(model, file)
    raise WeightsError(
        f"config.model.weights: {file.path} has no {' or '.join(FAMILIES)}, so it is no decoder that model.kind = "
        "'decoder' reads"
    )
