"""Open a data set that TFDS has prepared, or say what is there instead and how to get it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.naming import parse_builder_name_kwargs

from atis_jax.data.errors import DatasetError
from atis_jax.validation import SettingError

FORMAT = "array_record"
"""The file format that is read without TensorFlow."""
_INFO = "dataset_info.json"


def parse_name(name: str) -> tuple[str, dict[str, Any]]:
    """A TFDS name such as ``cifar10:3.0.2`` or ``glue/sst2`` as the data set's own and its ``config``, ``version``.

    Raises:
        SettingError: TFDS cannot read it.
    """
    if not name:
        raise SettingError("config.data.name is empty; name a TFDS data set, e.g. cluttered_digits or cifar10")
    try:
        own, asked = parse_builder_name_kwargs(name)
    except ValueError as error:
        raise SettingError(
            f"config.data.name = {name!r} is no name of a TFDS data set; write it as NAME, NAME/CONFIG or NAME:1.2.3"
        ) from error
    return str(own), asked


def check_directory(name: str, directory: Path) -> None:
    """Whether data sets can be in ``directory``, which need not be there.

    Raises:
        DatasetError: it is a file.
    """
    if directory.exists() and not directory.is_dir():
        raise DatasetError(
            f"data set {name!r}: {directory} is a file, not a directory; name the directory that holds the data set "
            "with --config.data.data_dir=DIR"
        )


def open_builder(name: str, directory: Path) -> tfds.core.DatasetBuilder:
    """The TFDS builder of a data set that is ready to be read.

    Raises:
        DatasetError: it is not there, in another version or format, or damaged; the message says what is there, and
            how to get it.
    """
    check_directory(name, directory)
    try:
        builder = tfds.builder(name, data_dir=str(directory), file_format=FORMAT)
    except Exception as error:  # TFDS lets JSON, protobuf, import and assertion errors through
        raise _not_opened(name, directory, error) from error
    if not (Path(builder.data_dir) / _INFO).exists():
        raise _missing(name, directory, f"it is not prepared in {builder.data_dir};")
    return builder


def first_line(error: Exception) -> str:
    """The first line of what an error says; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _not_opened(name: str, directory: Path, error: Exception) -> DatasetError:
    """What the files say of why a builder could not be made."""
    wanted = parse_name(name)[1].get("version")
    prepared = _prepared(name, directory)
    fitting = [place for place in prepared if wanted is None or tfds.core.Version(place.name).match(wanted)]
    if prepared and not fitting:
        return _missing(name, directory, f"version {wanted} is not among those prepared;")
    for place in fitting:
        stored = _format(place)
        if stored is not None and stored != FORMAT:
            return DatasetError(
                f"data set {name!r} in {place} is stored as {stored or 'files of an unknown format'}, and {FORMAT} is "
                f"read. Prepare it once more: {_how_to_prepare(name, directory)}"
            )
    if fitting:
        return DatasetError(
            f"data set {name!r} in {fitting[-1]} is damaged: {_reason(error)}. Remove that directory and prepare it "
            "again"
        )
    if isinstance(error, tfds.core.registered.DatasetNotFoundError):
        return _missing(name, directory, "TFDS knows no data set of that name, and")
    return DatasetError(f"data set {name!r} cannot be opened: {_reason(error)}; {_found_in(directory)}")


def _prepared(name: str, directory: Path) -> list[Path]:
    """The folders of all versions of a data set that are there, oldest first."""
    own, asked = parse_name(name)
    config = asked.get("config")
    found = (directory / own / config if config else directory / own).glob(f"*/{_INFO}")
    return sorted(
        (path.parent for path in found if tfds.core.Version.is_valid(path.parent.name)),
        key=lambda place: tfds.core.Version(place.name),
    )


def _format(place: Path) -> str | None:
    """The file format that a prepared data set says it has; None where it says nothing readable."""
    try:
        told = json.loads((place / _INFO).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return str(told.get("fileFormat", "")) if isinstance(told, dict) else None


def _reason(error: Exception) -> str:
    """TFDS's own words, without the arguments that it puts in front of them."""
    head, found, tail = first_line(error).partition('}": ')
    return tail if found else head


def _missing(name: str, directory: Path, what: str) -> DatasetError:
    versions = [place.name for place in _prepared(name, directory)]
    other = f" To use a version that is there, set data.name = {_at_version(name, versions[-1])!r}." if versions else ""
    return DatasetError(
        f"data set {name!r}: {what} {_found_in(directory)}.{other} Either name the directory that holds it with "
        f"--config.data.data_dir=DIR, or prepare it once: {_how_to_prepare(name, directory)}"
    )


def _at_version(name: str, version: str) -> str:
    return f"{name.partition(':')[0]}:{version}"


def _how_to_prepare(name: str, directory: Path) -> str:
    return (
        f"'tfds build {name} --file_format={FORMAT} --data_dir={directory}' (only this needs 'pip install tensorflow')"
    )


def _found_in(directory: Path) -> str:
    """What a person would see who looked into ``directory``."""
    if not directory.is_dir():
        return f"{directory} does not exist"
    infos = sorted({path.parent.relative_to(directory) for path in directory.glob(f"*/**/{_INFO}")})
    if not infos:
        return f"{directory} holds no prepared data set"
    return f"{directory} holds {', '.join(map(str, infos[:8]))}{' and more' if len(infos) > 8 else ''}"
