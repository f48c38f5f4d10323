"""Which published decoder a file holds, told by what its table of words is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from atis_jax.models.decoder import Decoder, DecoderSpec
from atis_jax.models.weights import gpt2, llama
from atis_jax.models.weights.errors import WeightsError
from atis_jax.models.weights.facts import check_facts
from atis_jax.models.weights.files import WeightsFile
from atis_jax.models.weights.tensors import Reading


class Family(NamedTuple):
    """Networks that are published under the same names.

    Attributes:
        shape: fields of ``DecoderSpec`` as a file says them; None where it does not.
        read: a network's parameters from a file of its shape.
    """

    shape: Callable[[WeightsFile], dict[str, Any]]
    read: Callable[[Decoder, WeightsFile], Reading]


FAMILIES = {
    llama.ANCHOR: Family(llama.shape_of_llama, llama.read_llama),
    gpt2.ANCHOR: Family(gpt2.shape_of_gpt2, gpt2.read_gpt2),
}
"""By the end of the name of the table of words."""


def read_decoder(model: Decoder, file: WeightsFile) -> Reading:
    """Parameters of ``model`` from a published decoder.

    Raises:
        SettingError: the network or the data have another shape than the weights.
        WeightsError: the file is of no family that is read, or has more or less in it.
    """
    family = _family(file)
    unsaid = check_facts(file.path, model.spec, family.shape(file))
    return family.read(model, file)._replace(unsaid=unsaid)


def decoder_spec(file: WeightsFile, weights: str | None = None) -> DecoderSpec:
    """The section ``model`` of the decoder in a file, the scale in front of attention apart.

    Args:
        file: as read.
        weights: where it is, for the section.

    Raises:
        SettingError: its network is larger than a section may say.
        WeightsError: the file is of no family that is read, or does not say the whole shape.
    """
    shape = _family(file).shape(file)
    missing = [name for name, value in shape.items() if value is None]
    if missing:
        raise WeightsError(
            f"{file.path} and the files beside it do not say {', '.join(missing)} of their network; give the folder's "
            "own config.json, whole"
        )
    return DecoderSpec(**shape, norm_scale=True, weights=weights)


def _family(file: WeightsFile) -> Family:
    for anchor, family in FAMILIES.items():
        if any(name.endswith(anchor) for name in file.tensors):
            return family
    raise WeightsError(
        f"config.model.weights: {file.path} has no {' or '.join(FAMILIES)}, so it is no decoder that model.kind = "
        "'decoder' reads"
    )
