"""The tokenizer out of a GGUF file: tokens against those put down by hand, and what is refused."""

from __future__ import annotations

import pytest

from atis_jax.data.errors import DatasetError
from atis_jax.data.tokenizer import read_tokenizer

gguf = pytest.importorskip("gguf")
TOKENS = ("<|end|>", "Ġ", "Ċ", "1", "2", "i", "t", "Ã", "¯", "ĠĠ", "it", "Ġit", "12")
MERGES = ("Ġ Ġ", "i t", "Ġ it", "1 2")


def written(path, model="gpt2", cut="smollm"):
    """A file that holds a tokenizer alone."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(cut)
    writer.add_token_list(TOKENS)
    writer.add_token_merges(MERGES)
    writer.add_token_types([3, *[1] * (len(TOKENS) - 1)])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return str(path)


@pytest.mark.parametrize(
    ("cut", "pieces"),
    [
        ("smollm", ["it", "ĠĠ", "1", "2", "Ġit", "Ċ", "Ã", "¯", "<|end|>", "1"]),
        ("gpt-2", ["it", "Ġ", "Ġ", "12", "Ġit", "Ċ", "Ã", "¯", "<|end|>", "1"]),
    ],
)
def test_bytes_are_merged_in_order_within_the_words_of_the_cut(tmp_path, cut, pieces):
    """Digits apart, a space belongs to no digit; without, the second space leads the number, and 1 2 is a pair."""
    text = "it  12 it\nï<|end|>1"
    path, tokenizer = read_tokenizer(written(tmp_path / "some.gguf", cut=cut), "config.data.tokenizer")
    found = tokenizer.encode(text)
    assert found.tokens == pieces and found.ids == [TOKENS.index(piece) for piece in pieces]
    assert tokenizer.get_vocab_size() == len(TOKENS) and path.name == "some.gguf"
    assert tokenizer.decode(found.ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("kind", [dict(model="llama"), dict(cut="qwen2")])
def test_a_tokenizer_of_another_kind_is_refused(tmp_path, kind):
    with pytest.raises(DatasetError, match=r"config.data.tokenizer = .*'gpt2' like gpt-2 or smollm is read"):
        read_tokenizer(written(tmp_path / "some.gguf", **kind), "config.data.tokenizer")
