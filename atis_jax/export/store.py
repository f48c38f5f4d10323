"""A bundle as a folder: written whole or not at all, checked file by file when read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from atis_jax.export.bundle import Bundle
from atis_jax.export.check import SCHEMA_FILE, check_agreement, check_arrays, check_document, parse
from atis_jax.export.document import arrays_of, bundle_of, document_of
from atis_jax.export.errors import ExportError
from atis_jax.export.page import page_html
from atis_jax.export.tables import tables_of

DOCUMENT, ARRAYS, PAGE, SCHEMA_COPY = "design.json", "arrays.npz", "index.html", "design.schema.json"


def bundle_files(bundle: Bundle) -> dict[str, bytes]:
    """Every file of the bundle's folder, by name; the same bundle gives the same bytes."""
    files = {ARRAYS: _npz(arrays_of(bundle)), SCHEMA_COPY: SCHEMA_FILE.read_bytes()}
    files |= {name: text.encode() for name, text in tables_of(bundle).items()}
    listed = {name: {"bytes": len(content), "sha256": _sha256(content)} for name, content in files.items()}
    document = document_of(bundle, listed)
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

    Raises:
        ExportError: a file is missing, cut off or changed; a field is missing; a unit is wrong; a value is out of its
            range; an array has another shape; or the schema is newer. The message names it.
    """
    folder = Path(folder)
    document = parse(_read(folder, DOCUMENT).decode("utf-8", errors="replace"))
    check_document(document)
    for name, entry in document["files"].items():
        content = _read(folder, name)
        if len(content) != entry["bytes"] or _sha256(content) != entry["sha256"]:
            what = "was cut off" if len(content) < entry["bytes"] else "was changed"
            raise ExportError(
                f"{folder / name}: {what} after the export ({len(content)} bytes, {entry['bytes']} were written); "
                "export it anew"
            )
    arrays = _arrays(_read(folder, ARRAYS), folder)
    check_arrays(document, arrays)
    bundle = bundle_of(document, arrays)
    check_agreement(document, bundle)
    for name in (SCHEMA_COPY, *tables_of(bundle)):
        if name not in document["files"]:
            raise ExportError(f"design.json: files lacks {name!r}; export it anew")
    return bundle


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ExportError(
            f"{folder / name}: cannot be read ({error.strerror}); give the folder of a design bundle, as "
            "configs/export.py makes it"
        ) from error


def _arrays(content: bytes, folder: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, OSError, zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise ExportError(f"{folder / ARRAYS}: is damaged ({error}); export it anew") from error


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
