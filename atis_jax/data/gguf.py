"""GGUF files, which hold weights, tokenizer and what is to be said of a network; the library ``gguf`` reads them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np


def open_gguf(path: Path) -> Any:
    """A ``gguf.GGUFReader``; that of the last file is kept, since listing its words takes seconds.

    Raises:
        ImportError: the library is not installed.
        ValueError: it is no GGUF file, or damaged.
    """
    return _reader(path, path.stat().st_mtime_ns)


def said(reader: Any, name: str) -> Any:
    """One of the metadata; None where it is not there. A float is the shortest one that is the stored float32."""
    field = reader.fields.get(name)
    value = None if field is None else field.contents()
    return float(str(np.float32(value))) if isinstance(value, float) else value


@functools.lru_cache(maxsize=1)
def _reader(path: Path, changed_ns: int) -> Any:
    from gguf import GGUFReader

    class Reader(GGUFReader):
        """The same on plain arrays: NumPy's own views of a file make 100,000 short strings take three times as long."""

        def __setattr__(self, name, value):
            super().__setattr__(name, np.asarray(value) if name == "data" else value)

    return Reader(path)
