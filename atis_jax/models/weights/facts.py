"""What a file of weights says of its network, held against the section of the config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atis_jax.data.dataset import Facts
from atis_jax.models.weights.errors import WeightsError
from atis_jax.models.weights.files import CONFIG, WeightsFile
from atis_jax.validation import SettingError

ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh"}
"""Our names of Hugging Face's activations."""


def check_facts(path: Path, spec: Any, says: Mapping[str, Any]) -> tuple[str, ...]:
    """Whether a network has the shape that its weights have.

    Args:
        path: of the weights.
        spec: the section ``model``.
        says: what the file says, by the names of the section's fields; None where it says nothing.

    Returns:
        The fields that it says nothing of.

    Raises:
        SettingError: it has not; names every field that differs, both values and what to set.
    """
    lines = [
        f"  model.{name} = {getattr(spec, name)!r}, and the weights have {value!r}: set model.{name} = {value!r}"
        for name, value in says.items()
        if value is not None and getattr(spec, name) != value
    ]
    if lines:
        raise SettingError(
            f"config.model.weights: {path} is of another network:\n" + "\n".join(lines) + "\nOr choose other weights"
        )
    return tuple(name for name, value in says.items() if value is None)


def activation_of(config: Mapping[str, Any], name: str = "hidden_act") -> str | None:
    """Our name of the activation that a ``config.json`` names; another than ours is told by its own, as a difference.

    Args:
        config: as read.
        name: of the field.
    """
    found = config.get(name)
    return None if found is None else ACTIVATIONS.get(str(found), str(found))


def check_family(file: WeightsFile, kind: str, says: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Whether a file is of a network that computes what ours does; what it does not say it does as usual.

    Args:
        file: for messages.
        kind: ``model.kind``, for messages.
        says: what it says, by the names of ``config.json``.
        wanted: what it has to say.

    Raises:
        WeightsError: it is not; names the first difference.
    """
    for name, value in wanted.items():
        if says.get(name, value) != value:
            raise WeightsError(
                f"config.model.weights: {file.path} or its {CONFIG} says {name} = {says[name]!r}, and model.kind = "
                f"{kind!r} computes {value!r} with weights of these names; give weights of such a network"
            )


def check_text(path: Path, facts: Facts, words: int, longest: int | None) -> None:
    """Whether data are of the words that weights know, and no text longer than they do.

    Args:
        path: of the weights.
        facts: of the data.
        words: rows of their table of words.
        longest: words of the longest text; None where they do not say.

    Raises:
        SettingError: they are not.
    """
    if words != facts.vocabulary:
        raise SettingError(
            f"config.model.weights: {path} knows {words} words, and config.data has a vocabulary of "
            f"{facts.vocabulary}; give data.tokenizer the one that belongs to these weights"
        )
    if longest is not None and facts.length > longest:
        raise SettingError(f"config.data.length = {facts.length} is beyond the {longest} positions of {path}; lower it")
