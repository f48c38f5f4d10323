"""A bundle as a folder: written whole or not at all, checked file by file when read."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from atis_jax.export.bundle import Bundle
from atis_jax.export.check import SCHEMA_FILE, check_agreement, check_arrays, check_document, check_seal, parse
from atis_jax.export.document import arrays_of, bundle_of, document_of, with_seal
from atis_jax.export.errors import ExportError
from atis_jax.export.page import page_html
from atis_jax.export.tables import tables_of
from atis_jax.strict_json import LARGEST_BYTES as DOCUMENT_BYTES
from atis_jax.strict_json import JsonError, file_size, read_bytes

DOCUMENT, ARRAYS, PAGE, SCHEMA_COPY = "design.json", "arrays.npz", "index.html", "design.schema.json"
LARGEST_BYTES = 2**30
"""Of any file of a bundle, and of all arrays together; a network of a billion parameters has scorers of a few MB."""
_HEADER_BYTES = 4096
"""Of an array's file, at most; NumPy writes 128."""
# Folders and names of letters, digits, dots, dashes and underlines; none starts with a dot.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_Found = TypeVar("_Found")


def bundle_files(bundle: Bundle) -> dict[str, bytes]:
    """Every file of the bundle's folder, by name; the same bundle gives the same bytes."""
    files = {ARRAYS: _npz(arrays_of(bundle)), SCHEMA_COPY: SCHEMA_FILE.read_bytes()}
    files |= {name: text.encode() for name, text in tables_of(bundle).items()}
    listed = {name: {"bytes": len(content), "sha256": _sha256(content)} for name, content in files.items()}
    document = with_seal(document_of(bundle, listed))
    check_document(document)
    check_arrays(document, arrays_of(bundle))
    files[DOCUMENT] = (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()
    files[PAGE] = page_html(document).encode()
    return files


def write_bundle(bundle: Bundle, folder: str | Path) -> Path:
    """Write the bundle as a folder, in the place of an earlier one; returns its path.

    Raises:
        ExportError: the folder holds something else than a bundle, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / DOCUMENT).is_file():
        raise ExportError(f"{folder}: exists and is no design bundle ({DOCUMENT} is missing); choose another folder")
    write_folder(folder, bundle_files(bundle))
    return folder


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put a folder with ``files`` at ``folder``: written beside it, renamed when complete.

    Stopped at any moment it leaves the old folder or the new one, and at worst a hidden one beside it that the next
    call removes.

    Raises:
        ExportError: it cannot be written.
    """
    beside = folder.parent / f".{folder.name}.part"
    old = folder.parent / f".{folder.name}.old"
    try:
        if old.exists() and not folder.exists():  # stopped between the two renames
            os.rename(old, folder)
        for left in (beside, old):
            shutil.rmtree(left, ignore_errors=True)
        try:
            for name, content in files.items():
                path = beside / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with open(path, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            if folder.exists():
                os.rename(folder, old)
            os.rename(beside, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            if folder.exists():
                shutil.rmtree(old, ignore_errors=True)
            elif old.exists():
                os.rename(old, folder)
    except OSError as error:
        raise ExportError(f"{folder}: cannot be written ({error}); choose a folder you may write to") from error


def read_bundle(folder: str | Path) -> Bundle:
    """The bundle in a folder, equal to the bit to the one that was written.

    Files inside the folder alone are read, each no further than the document says it goes.

    Raises:
        ExportError: a file is missing, cut off, changed, outside the folder or too large; a field is missing; a unit is
            wrong; a value is out of its range; an array has another shape; the document is not the one its checksum
            was made of; or the schema is newer. The message names it.
    """
    folder = Path(folder)
    document = parse(_read(folder, DOCUMENT))
    check_document(document)
    for name, entry in document["files"].items():
        content = _listed(folder, name, entry)
        if name == ARRAYS:
            arrays = _arrays(content, document["arrays"], folder / ARRAYS)
    check_arrays(document, arrays)
    bundle = bundle_of(document, arrays)
    check_agreement(document, bundle)
    for name in (SCHEMA_COPY, *tables_of(bundle)):
        if name not in document["files"]:
            raise ExportError(f"design.json: files lacks {name!r}; export it anew")
    check_seal(document)
    return bundle


def _listed(folder: Path, name: str, entry: Mapping[str, Any]) -> bytes:
    """A file that the document lists, if it is there as it was written."""
    if not _NAME.fullmatch(name):
        raise ExportError(f"design.json: files names {name!r}, which is no file inside the bundle; export it anew")
    wanted = entry["bytes"]
    if wanted > LARGEST_BYTES:
        raise ExportError(f"design.json: files.{name}.bytes = {wanted} is above {LARGEST_BYTES}; export it anew")
    size = _inside(folder, name, file_size)
    content = _read(folder, name) if size == wanted else b""
    if len(content) != wanted or _sha256(content) != entry["sha256"]:
        raise ExportError(
            f"{folder / name}: {'was cut off' if size < wanted else 'was changed'} after the export ({size} bytes, "
            f"{wanted} were written); export it anew"
        )
    return content


def _read(folder: Path, name: str) -> bytes:
    return _inside(folder, name, lambda path: read_bytes(path, DOCUMENT_BYTES if name == DOCUMENT else LARGEST_BYTES))


def _inside(folder: Path, name: str, reader: Callable[[Path], _Found]) -> _Found:
    """What ``reader`` finds at ``name``, unless a link leads out of the folder."""
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ExportError(f"{path}: is a link out of the bundle's folder; put the file itself there")
        return reader(path)
    except JsonError as error:
        raise ExportError(f"{path}: {error}; export it anew") from error
    except (OSError, RuntimeError) as error:  # before Python 3.13 a ring of links is a RuntimeError
        raise ExportError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); give the folder of a design "
            "bundle, as configs/export.py makes it"
        ) from error


def _arrays(content: bytes, listed: Mapping[str, Mapping[str, Any]], path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz``; none is unpacked beyond the size that the document gives it."""
    sizes = {name: math.prod(one["shape"]) * np.dtype(one["dtype"]).itemsize for name, one in listed.items()}
    if sum(sizes.values()) > LARGEST_BYTES:
        raise ExportError(f"design.json: its arrays are larger than {LARGEST_BYTES} bytes together; export it anew")
    found: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as stored:
            for entry in stored.infolist():
                name = entry.filename.removesuffix(".npy")
                if name in found:
                    raise ExportError(f"{path}: holds the array {name!r} twice; export it anew")
                if name not in sizes:
                    raise ExportError(f"design.json: arrays lacks {name!r}; export it anew")
                # What else a zip can be packed with unpacks without a bound.
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ExportError(f"{path}: {name!r} is packed as {entry.compress_type}; export it anew")
                if entry.file_size > sizes[name] + _HEADER_BYTES:
                    raise ExportError(
                        f"{path}: {name!r} unpacks to {entry.file_size} bytes, design.json says "
                        f"{listed[name]['dtype']}{listed[name]['shape']}; export it anew"
                    )
                found[name] = _array(stored.read(entry))
    except ExportError:
        raise
    except _DAMAGED as error:
        raise ExportError(f"{path}: is damaged ({error}); export it anew") from error
    return found


_DAMAGED = (
    ValueError,
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    OverflowError,
    RuntimeError,  # a password is asked for
)
"""What zipfile and NumPy raise on bytes that are none of theirs."""


def _array(content: bytes) -> np.ndarray:
    """An array of a ``.npy``, whose header must tell of as many bytes as follow."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array is of version {version}")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"an array of {dtype}{list(shape)} has {len(content) - file.tell()} bytes")
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An ``.npz`` whose bytes depend on the arrays alone, not on the time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as stored:
        for name, array in arrays.items():
            one = io.BytesIO()
            np.lib.format.write_array(one, np.asarray(array, order="C"), allow_pickle=False)
            stored.writestr(zipfile.ZipInfo(f"{name}.npy"), one.getvalue(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
