"""Tokenizers of pretrained networks: a ``tokenizer.json``, or what a GGUF file holds of one. Nothing downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from atis_jax.data.builders import first_line
from atis_jax.data.errors import DatasetError
from atis_jax.data.gguf import open_gguf, said
from atis_jax.data.located import locate

TOKENIZER, GGUF = "tokenizer.json", ".gguf"
"""Name of the file that the library ``tokenizers`` reads, in a folder of Hugging Face's layout; end of the other's."""
_NORMAL, _CONTROL = 1, 3
"""Types of token in a GGUF file: part of a text, and mark between texts."""
_WORDS = pre_tokenizers.ByteLevel(add_prefix_space=False)
_CUTS = {
    "gpt-2": _WORDS,
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _WORDS]),
}
"""How a text is cut before pairs are merged, by llama.cpp's name: GPT-2's words; the same with every digit apart."""


def read_tokenizer(where: str, field: str) -> tuple[Path, Tokenizer]:
    """The tokenizer that ``where`` names, and the file it is from.

    Args:
        where: a file, a folder that holds tokenizer.json or a GGUF file, or package:NAME of an installed package that
            does.
        field: dotted name of the setting, for messages.

    Raises:
        SettingError: it is not there.
        DatasetError: it is no tokenizer, or of a kind that is not read; or the library ``gguf`` is missing.
    """
    path = locate(where, (TOKENIZER, f"*{GGUF}"), field)
    try:
        return path, _of_gguf(path) if path.suffix == GGUF else Tokenizer.from_file(str(path))
    except ImportError as error:
        raise DatasetError(
            f"{field} = {where!r}: {path} cannot be read here: {error}; install what reads it: "
            "pip install 'atis-jax[pretrained]'"
        ) from error
    except Exception as error:  # of the libraries' own, a plain Exception
        raise DatasetError(
            f"{field} = {where!r}: {path} holds no tokenizer of the library tokenizers ({first_line(error)}); give the "
            f"{TOKENIZER} or the {GGUF} file of a pretrained network"
        ) from error


def _of_gguf(path: Path) -> Tokenizer:
    """Pairs of bytes merged in the file's order (Sennrich et al. 2016, arXiv 1508.07909); GPT-2's bytes.

    Raises:
        ValueError: it is of another kind.
    """
    reader = open_gguf(path)

    def found(name: str) -> Any:
        return said(reader, f"tokenizer.ggml.{name}")

    model, cut = found("model"), found("pre") or "gpt-2"
    if model != "gpt2" or cut not in _CUTS:
        raise ValueError(f"a tokenizer {model!r} that cuts like {cut!r}; 'gpt2' like {' or '.join(_CUTS)} is read")
    words = found("tokens")
    pairs = [tuple(pair.split(" ")) for pair in found("merges")]
    tokenizer = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, pairs))
    tokenizer.pre_tokenizer = _CUTS[cut]
    tokenizer.decoder = decoders.ByteLevel()
    kinds = found("token_type") or [_NORMAL] * len(words)
    tokenizer.add_special_tokens(
        [AddedToken(word, special=True) for word, kind in zip(words, kinds, strict=True) if kind == _CONTROL]
    )
    return tokenizer
