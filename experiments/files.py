"""Writing files so that a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""What the system says of a disk that is full, read-only or broken."""


def write_json_atomically(path: str | os.PathLike, value: Any) -> None:
    """Write ``value`` to ``path`` through a temporary file and one rename.

    Args:
        path: the file; its folder exists.
        value: anything ``plain`` accepts.

    Raises:
        FloatingPointError: a number is NaN or infinite; names it.
    """
    write_text_atomically(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def write_text_atomically(path: str | os.PathLike, text: str) -> None:
    """Write ``text`` to ``path`` through a temporary file and one rename."""
    with _replacing(path) as file:
        file.write(text.encode())


def write_arrays_atomically(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an ``.npz`` of named arrays to ``path`` through a temporary file and one rename."""
    with _replacing(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


@contextlib.contextmanager
def _replacing(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """A temporary file that takes the place of ``path`` when the block ends without an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # on a full disk it would stand in its own way
        raise


def plain(value: Any, name: str = "") -> Any:
    """``value`` in JSON's own types: arrays become lists, NumPy and JAX scalars numbers.

    Args:
        value: nested mappings and sequences of numbers, texts and arrays.
        name: dotted name, for messages.

    Raises:
        FloatingPointError: a number is NaN or infinite.
        TypeError: something JSON cannot hold.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{name}.{key}" if name else str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, np.generic) or (hasattr(value, "dtype") and hasattr(value, "shape")):
        return plain(np.asarray(value).tolist(), name)
    if isinstance(value, float) and not math.isfinite(value):
        raise FloatingPointError(f"{name} is {value}")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{name} is a {type(value).__name__}, which JSON cannot hold")
