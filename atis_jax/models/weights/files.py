"""Files of weights: arrays by name, and what stands beside them of the network they belong to."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from atis_jax.data.located import locate
from atis_jax.models.weights.errors import WeightsError
from atis_jax.models.weights.gguf import Packed, load_gguf
from atis_jax.models.weights.graph import load_graph
from atis_jax.validation import SettingError

NAMES = ("model.safetensors", "*.safetensors", "*.onnx", "*.gguf")
"""Of a file of weights in a folder, the preferred first."""
CONFIG, PREPARATION = "config.json", "preprocessor_config.json"
"""Names of Hugging Face's files beside it: the network's shape, and how its inputs are prepared."""


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """What is in a file of weights.

    Attributes:
        path: of the file.
        tensors: arrays by published name; some know their shape and are read from the file when NumPy asks for them.
        config: what the file or its neighbour says of the network, by the names of Hugging Face's ``config.json``.
        preparation: what its neighbour says of the inputs, by the names of ``preprocessor_config.json``.
    """

    path: Path
    tensors: Mapping[str, np.ndarray | Packed]
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    preparation: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def find_weights(where: str) -> Path:
    """The file that ``model.weights`` names.

    Raises:
        SettingError: it is not there.
    """
    return locate(where, NAMES, "config.model.weights")


def read_weights(path: Path) -> WeightsFile:
    """A file of weights and what stands beside it.

    Raises:
        SettingError: it is no safetensors, no ONNX and no GGUF.
        WeightsError: it, or a file beside it, cannot be read.
    """
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise SettingError(f"config.model.weights: {path} ends in {path.suffix!r}; give one of {', '.join(_READERS)}")
    try:
        tensors, said = reader(path)
    except ImportError as error:
        raise WeightsError(
            f"config.model.weights: {path} cannot be read here: {error}; install what reads it: "
            "pip install 'atis-jax[pretrained]'"
        ) from error
    except Exception as error:  # each library has exceptions of its own
        raise WeightsError(f"config.model.weights: {path} is damaged ({str(error).splitlines()[0]})") from error
    return WeightsFile(path, tensors, {**said, **_beside(path, CONFIG)}, _beside(path, PREPARATION))


def read_config(path: Path) -> dict[str, Any]:
    """The ``config.json`` beside a file of weights; empty where there is none."""
    return _beside(path, CONFIG)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(path: Path, name: str) -> dict[str, Any]:
    """A file of Hugging Face's in the same folder; empty where there is none."""
    neighbour = path.parent / name
    if not neighbour.exists():
        return {}
    try:
        found = json.loads(neighbour.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"config.model.weights: {neighbour} cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise WeightsError(f"config.model.weights: {neighbour} holds a {type(found).__name__}, not names and values")
    return found


_READERS: dict[str, Callable[[Path], tuple[Mapping[str, np.ndarray | Packed], dict[str, Any]]]] = {
    ".safetensors": lambda path: (load_file(path), {}),
    ".onnx": load_graph,
    ".gguf": load_gguf,
}
"""By the end of a file's name: what reads its arrays, and what it says of the network."""
