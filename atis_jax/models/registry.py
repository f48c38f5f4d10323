"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from atis_jax.data.dataset import Facts
from atis_jax.models.backbone import Model
from atis_jax.models.bert import Bert, BertSpec
from atis_jax.models.decoder import Decoder, DecoderSpec
from atis_jax.models.encoder import Encoder, EncoderSpec
from atis_jax.models.vit import ModelSpec, VisionTransformer
from atis_jax.validation import Kinds, SettingError, choose

MODELS: dict[str, Callable[[Any, Facts], Model]] = {
    "vit": VisionTransformer,
    "encoder": Encoder,
    "decoder": Decoder,
    "bert": Bert,
}
"""What makes a network of its section of the config and the facts of the data."""
SECTIONS: dict[str, type] = {"vit": ModelSpec, "encoder": EncoderSpec, "decoder": DecoderSpec, "bert": BertSpec}
"""The section of each: with ``depth``, ``width`` and ``heads``, and ``check_raw`` where tokens are made of a signal."""
KINDS = Kinds(SECTIONS, default="vit")
"""What the section ``model`` of a config may be."""


def make_model(spec: Any, facts: Facts) -> Model:
    """The network that ``spec.kind`` and the rest of its section describe.

    Raises:
        SettingError: there is no such kind, or it does not fit the data.
    """
    return choose(MODELS, spec.kind, "model.kind")(spec, facts)


def check_raw(spec: Any) -> None:
    """Whether each token of a network is made of raw values that no other token is made of.

    Raises:
        SettingError: its tokens are made of more, or of no signal at all.
    """
    check = getattr(spec, "check_raw", None)
    if check is None:
        raise SettingError(
            f"config.model.kind = {spec.kind!r} reads no signal, and config.scorer looks at what tokens are made of; "
            "choose another scorer, or another network"
        )
    check()
