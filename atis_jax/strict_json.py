"""JSON that anybody may have written: a regular file of bounded size, strictly parsed, every fault in words."""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atis_jax.validation import UserError

LARGEST_BYTES = 64 * 2**20
DEEPEST = 64
"""Tables and lists inside each other; ours have a dozen."""
DIGITS = 18
"""Of a whole number: what fits into 64 bits."""
# A text, closed or running to the end, or a bracket; each character is looked at once.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


class JsonError(UserError, ValueError):
    """A file or a text is not JSON that we read; the message is what follows its name."""


def file_size(path: str | Path) -> int:
    """Bytes of a regular file; a link is followed.

    Raises:
        OSError: there is none, or it may not be looked at.
        JsonError: it is a folder, a pipe or a device, which could be read without end.
    """
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode):
        raise JsonError("is no regular file")
    return found.st_size


def read_bytes(path: str | Path, largest: int = LARGEST_BYTES) -> bytes:
    """The content of a regular file of at most ``largest`` bytes.

    Raises:
        OSError: it cannot be read.
        JsonError: it is no regular file, or larger.
    """
    size = file_size(path)
    if size <= largest:
        with open(path, "rb") as file:
            content = file.read(largest + 1)
        size = max(size, len(content))  # a file may grow, and those of /proc say 0
    if size > largest:
        raise JsonError(f"has {size:,} bytes or more; at most {largest:,} are read")
    return content


def read_json(path: str | Path, *, largest: int = LARGEST_BYTES, nan: bool = False) -> Any:
    """What ``parse_json`` finds in a file.

    Raises:
        OSError: it cannot be read.
        JsonError: no regular file, too large, or what ``parse_json`` refuses; the message starts with the path.
    """
    try:
        return parse_json(read_bytes(path, largest), nan=nan)
    except JsonError as error:
        raise JsonError(f"{path} {error}") from error


def parse_json(content: bytes | str, *, nan: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        content: the text, or its bytes in UTF-8.
        nan: whether NaN and infinities, which Python writes and JSON does not have, are taken.

    Raises:
        JsonError: it is no JSON or not UTF-8, is nested deeper than ``DEEPEST``, names a key twice in one table, or
            holds a number beyond a float, a whole number of more than ``DIGITS`` digits, or half a character.
    """
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
        _check_depth(text)
        value = json.loads(
            text,
            parse_constant=float if nan else _refused,
            parse_int=_whole,
            parse_float=_finite,
            object_pairs_hook=_table,
        )
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise JsonError(f"is not valid JSON ({error.reason}: it is not all UTF-8)") from error
    except json.JSONDecodeError as error:
        raise JsonError(f"is not valid JSON ({error})") from error
    return value


def _check_depth(text: str) -> None:
    depth = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in ("[", "{"):
            depth += 1
            if depth > DEEPEST:
                raise JsonError(f"has more than {DEEPEST} tables and lists inside each other")
        elif token in ("]", "}"):
            depth -= 1


def _refused(constant: str) -> Any:
    raise JsonError(f"holds {constant}, which is no number")


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > DIGITS:
        raise JsonError(f"holds the number {digits[:DIGITS]}..., which is beyond any")
    return int(digits)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise JsonError(f"holds the number {text[:DIGITS]}, which is beyond any")
    return value


def _table(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise JsonError(f"names {name[:40]!r} twice in one table")
        found[name] = value
    return found
