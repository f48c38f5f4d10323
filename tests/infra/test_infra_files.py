"""A file is the old one or the new one, whatever happens while it is written."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.files import write_arrays_atomically, write_text_atomically


class Breaks:
    """An array that cannot be read."""

    def __array__(self, *args, **kwargs):
        raise RuntimeError("out of memory")


def test_arrays_come_back_by_name(tmp_path):
    write_arrays_atomically(tmp_path / "a.npz", {"one": np.arange(3.0), "two": np.zeros((2, 1), np.float32)})
    with np.load(tmp_path / "a.npz") as found:
        assert sorted(found) == ["one", "two"]
        np.testing.assert_array_equal(found["one"], [0.0, 1.0, 2.0])
        assert found["two"].dtype == np.float32
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_what_fails_on_the_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.npz"
    write_arrays_atomically(path, {"one": np.arange(3.0)})
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="out of memory"):
        write_arrays_atomically(path, {"one": np.zeros(1000), "two": Breaks()})
    assert path.read_bytes() == before


def test_text_is_written_as_it_is(tmp_path):
    write_text_atomically(tmp_path / "a.txt", "25 °C\nline\n")
    assert (tmp_path / "a.txt").read_bytes() == "25 °C\nline\n".encode()
