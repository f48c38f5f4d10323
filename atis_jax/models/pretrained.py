"""A published network of words as it comes: network, weights and tokenizer from one folder, file or package."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int
from tokenizers import Tokenizer

from atis_jax.data.dataset import Facts
from atis_jax.data.sentences import SentencesSpec, Words, load_words
from atis_jax.data.tokenizer import read_tokenizer
from atis_jax.models.backbone import Model
from atis_jax.models.bert import Bert, BertSpec
from atis_jax.models.decoder import Decoder
from atis_jax.models.weights.causal import decoder_spec
from atis_jax.models.weights.errors import WeightsError
from atis_jax.models.weights.facts import activation_of
from atis_jax.models.weights.files import CONFIG, find_weights, read_config, read_weights
from atis_jax.models.weights.load import fill_weights, load_weights
from atis_jax.typing import PyTree
from atis_jax.validation import SettingError

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
    return TextEncoder(model, *load_weights(model, _unmade(model), path), words)


@dataclasses.dataclass(frozen=True)
class LanguageModel:
    """A published decoder.

    Attributes:
        model: the network.
        params: its published parameters.
        account: one line, what of the file was used.
        tokenizer: of the library ``tokenizers``.
    """

    model: Decoder
    params: PyTree
    account: str
    tokenizer: Tokenizer

    def batch(self, texts: Sequence[str]) -> dict[str, Array]:
        """What the network is fed: as many columns as the longest text has tokens, shorter ones padded behind.

        Raises:
            SettingError: a text is longer than the network was asked for.
        """
        numbers = [one.ids for one in self.tokenizer.encode_batch(list(texts))]
        longest = max(map(len, numbers), default=0)
        if longest > self.model.length:
            raise SettingError(
                f"a text of {longest} tokens is beyond the length = {self.model.length} that language_model was given; "
                "cut it, or give a greater length"
            )
        token, real = np.zeros((len(numbers), longest), np.int32), np.zeros((len(numbers), longest), bool)
        for row, one in enumerate(numbers):
            token[row, : len(one)], real[row, : len(one)] = one, True
        return {"token": jnp.asarray(token), "real": jnp.asarray(real)}

    def text(self, token: Int[Array, "N"]) -> str:
        """The text of some tokens."""
        return self.tokenizer.decode(np.asarray(token).tolist())


def language_model(where: str, *, length: int = 512) -> LanguageModel:
    """A decoder in Llama's or GPT-2's layout. Nothing downloads.

    Args:
        where: a folder in Hugging Face's layout (config.json, model.safetensors, tokenizer.json), a GGUF file, or
            ``package:NAME`` of an installed package that holds either.
        length: tokens of the longest text.

    Raises:
        SettingError: a file is not there, or the network does not know texts of that length.
        WeightsError: the file does not say the network's shape, or is of another family.
        DatasetError: the tokenizer is of another family.
    """
    file = read_weights(find_weights(where))
    spec, (_, tokenizer) = decoder_spec(file, where), read_tokenizer(where, "where")
    words = tokenizer.get_vocab_size(with_added_tokens=True)
    model = Decoder(spec, Facts(classes=words, vocabulary=words, length=length))
    return LanguageModel(model, *fill_weights(model, _unmade(model), file), tokenizer)


def _unmade(model: Model) -> PyTree:
    """Parameters as ``init`` makes them, all zero."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
