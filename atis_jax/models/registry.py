"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from atis_jax.data.dataset import Facts
from atis_jax.models.backbone import Model
from atis_jax.models.decoder import Decoder, DecoderSpec
from atis_jax.models.encoder import Encoder, EncoderSpec
from atis_jax.models.vit import ModelSpec, VisionTransformer
from atis_jax.validation import choose

MODELS: dict[str, Callable[[Any, Facts], Model]] = {"vit": VisionTransformer, "encoder": Encoder, "decoder": Decoder}
"""What makes a network of its section of the config and the facts of the data."""
SECTIONS: dict[str, type] = {"vit": ModelSpec, "encoder": EncoderSpec, "decoder": DecoderSpec}
"""The section of each."""


def make_model(spec: Any, facts: Facts) -> Model:
    """The network that ``spec.kind`` and the rest of its section describe.

    Raises:
        SettingError: there is no such kind, or it does not fit the data.
    """
    return choose(MODELS, spec.kind, "model.kind")(spec, facts)
