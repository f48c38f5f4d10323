"""JSON from anybody: what is no JSON of ours is refused in words, and nothing is read without a bound."""

import json
import math
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atis_jax.strict_json import DEEPEST, JsonError, parse_json, read_bytes, read_json

WHOLE = st.integers(-(10**18) + 1, 10**18 - 1)
LEAVES = st.none() | st.booleans() | WHOLE | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@settings(max_examples=60)
@given(VALUES)
def test_what_json_writes_comes_back(value):
    for text in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        found = parse_json(text.encode())
        assert repr(found) == repr(value) and parse_json(text) == found


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not valid JSON"),
        (b'{"a": 1', "is not valid JSON"),
        (b"{'a': 1}", "is not valid JSON"),
        (b'"\xff"', "not all UTF-8"),
        ('{"ä": 1}'.encode("utf-16"), "not all UTF-8"),
        ('"ä"'.encode("latin-1"), "not all UTF-8"),
        (b"\xef\xbb\xbf{}", "is not valid JSON"),
        (b'["\\ud800"]', "surrogates not allowed"),
        (b'{"a": NaN}', "holds NaN, which is no number"),
        (b"[-Infinity]", "holds -Infinity, which is no number"),
        (b"[1e400]", "holds the number 1e400, which is beyond any"),
        (b"[-1" + b"0" * 400 + b"]", "holds the number -1000.*, which is beyond any"),
        (b"1" * 5000, "which is beyond any"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "names 'c' twice in one table"),
        (b"[" * 100_000, f"more than {DEEPEST} tables and lists"),
        (b'{"a":' * 100_000, f"more than {DEEPEST} tables and lists"),
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), f"more than {DEEPEST} tables and lists"),
    ],
)
def test_what_is_refused_is_told(content, told):
    with pytest.raises(JsonError, match=told):
        parse_json(content)


def test_brackets_in_texts_are_no_depth():
    for text in ("[" * 200, '"' * 9 + "[" * 99 + "\\" * 7, "\\"):
        assert parse_json(json.dumps({text: text})) == {text: text}
    deep = "[" * DEEPEST + "]" * DEEPEST
    assert json.dumps(parse_json(deep)) == deep


def test_quotes_that_never_close_are_looked_at_once():
    """A pattern that starts anew at each of them takes a time that grows with the square."""
    with pytest.raises(JsonError, match="is not valid JSON"):
        parse_json('["' + '\\"' * 2_000_000)


def test_a_summary_may_say_that_a_number_was_none():
    found = parse_json('{"a": NaN, "b": -Infinity}', nan=True)
    assert math.isnan(found["a"]) and found["b"] == -math.inf


def test_a_file_is_named_and_bounded(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert read_json(path) == {"a": 1} and read_bytes(path, 8) == b'{"a": 1}'
    with pytest.raises(JsonError, match=re.escape(f"{path} has 8 bytes or more; at most 7 are read")):
        read_json(path, largest=7)
    path.write_text("{")
    with pytest.raises(JsonError, match=re.escape(f"{path} is not valid JSON")):
        read_json(path)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "gone.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_what_could_be_read_without_end_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "zero", tmp_path):
        with pytest.raises(JsonError, match="is no regular file"):
            read_json(path)
