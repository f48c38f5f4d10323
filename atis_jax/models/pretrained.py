"""A published text encoder as it comes: network, weights and words from one folder or package."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from atis_jax.data.dataset import Facts
from atis_jax.data.sentences import SentencesSpec, Words, load_words
from atis_jax.models.bert import Bert, BertSpec
from atis_jax.models.weights.errors import WeightsError
from atis_jax.models.weights.facts import activation_of
from atis_jax.models.weights.files import CONFIG, find_weights, read_config
from atis_jax.models.weights.load import load_weights
from atis_jax.typing import PyTree

NAMES = {
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "heads": "num_attention_heads",
    "mlp_width": "intermediate_size",
    "norm_epsilon": "layer_norm_eps",
}
"""Our names of what a ``config.json`` says of the shape."""


@dataclasses.dataclass(frozen=True)
class TextEncoder:
    """A published encoder.

    Attributes:
        model: the network.
        params: its published parameters; the classifier is zero where none was published.
        account: one line, what of the file was used.
        words: its tokenizer.
    """

    model: Bert
    params: PyTree
    account: str
    words: Words

    def batch(self, sentences: Sequence[str]) -> dict[str, Array]:
        """What the network is fed, without the padding that all sentences have."""
        columns = self.words.columns(sentences)
        longest = int(columns["real"].sum(axis=1).max())
        return {name: jnp.asarray(column[:, :longest]) for name, column in columns.items()}

    def pieces(self, batch: dict[str, Array]) -> np.ndarray:
        """(B, W) the text of each token."""
        return self.words.pieces(np.asarray(batch["token"]))


def text_encoder(where: str, *, length: int = 64, classes: int = 2, head: str = "mean") -> TextEncoder:
    """A network of the BERT family. Nothing downloads.

    Args:
        where: a folder in Hugging Face's layout (config.json, model.safetensors, tokenizer.json), or ``package:NAME``
            of an installed package that holds one.
        length: tokens of the longest sentence; longer ones are cut.
        classes: of the classifier.
        head: see ``BertSpec``.

    Raises:
        SettingError: a file is not there.
        WeightsError: config.json does not say the network's shape, or the weights are not those of a BERT.
        DatasetError: the tokenizer is of another family.
    """
    path, words = find_weights(where), load_words(SentencesSpec(tokenizer=where, length=length))
    said = read_config(path)
    missing = [name for name in NAMES.values() if name not in said]
    if missing:
        raise WeightsError(f"{path.parent / CONFIG} does not say {', '.join(missing)}; give the folder's own, whole")
    shape = {ours: said[name] for ours, name in NAMES.items()}
    spec = BertSpec(head=head, activation=activation_of(said) or "gelu", **shape)
    model = Bert(spec, Facts(classes=classes, vocabulary=words.vocabulary, length=length))
    untrained = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, leaf.dtype), jax.eval_shape(model.init, jax.random.key(0))
    )
    return TextEncoder(model, *load_weights(model, untrained, path), words)
