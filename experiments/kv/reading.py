"""What a run reads of a text: its windows, and the network that reads them."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import jax
import numpy as np

from atis_jax import rng
from atis_jax.data.dataset import Split
from atis_jax.data.registry import load_split, make_dataset
from atis_jax.models.decoder import Decoder
from atis_jax.models.registry import make_model
from atis_jax.typing import Key, PyTree
from atis_jax.validation import SettingError, UserError
from experiments.inputs import Input, check_inputs
from experiments.pretrained_network import network
from experiments.rundir import RunFolder
from experiments.trained_run import load_dense


class TextSettings(Protocol):
    """Sections and numbers of windows that any run on a text has."""

    @property
    def data(self) -> Any:
        """Section ``data``."""
        ...

    @property
    def model(self) -> Any:
        """Section ``model``."""
        ...

    @property
    def checkpoint(self) -> str | None:
        """Folder of a run whose decoder reads; None: that of the section ``model``."""
        ...

    @property
    def windows(self) -> int:
        """Evaluation windows."""
        ...

    @property
    def fit_windows(self) -> int:
        """Training windows."""
        ...


def load_few(settings: TextSettings) -> tuple[Split, Split]:
    """Training and evaluation windows.

    Raises:
        UserError: there are fewer than are asked for.
    """
    data = settings.data
    if data.eval_examples is None:
        data = dataclasses.replace(data, eval_examples=settings.windows)
    train, test = load_split(data, "train"), load_split(data, data.evaluation)
    for name, split in (("fit_windows", train), ("windows", test)):
        if getattr(settings, name) > len(split):
            raise UserError(
                f"config.{name} = {getattr(settings, name)} is above the {len(split)} windows that there are; lower it"
            )
    return train, test


@dataclasses.dataclass(frozen=True)
class Text:
    """A decoder, and the windows of the text that it reads.

    Attributes:
        model: the decoder.
        params: its parameters.
        train: training windows.
        test: evaluation windows.
    """

    model: Decoder
    params: PyTree
    train: Split
    test: Split


def text_of(settings: TextSettings, folder: RunFolder, root: Key) -> Text:
    """What a run reads; begins the run's folder once all of it is there.

    Raises:
        UserError: there are fewer windows than are asked for.
        SettingError: the network is no decoder, its weights are of another, or not there.
    """
    train, test = load_few(settings)
    if settings.checkpoint is None:
        model = make_model(settings.model, train.facts)
        if not isinstance(model, Decoder):
            raise SettingError(f"config.model.kind = {settings.model.kind!r} keeps no cache; choose 'decoder'")
        params, read, line = network(settings.model, model, rng.key_of(root, "init"))
    else:
        model, params, read, line = trained_decoder(settings, settings.checkpoint)
    folder.begin()
    check_inputs(folder, read)
    print(line, flush=True)
    return Text(model, params, train, test)


def trained_decoder(settings: TextSettings, folder: str) -> tuple[Decoder, PyTree, dict[str, Input], str]:
    """The decoder that a run trained: model, parameters, what was read, one line.

    Raises:
        UserError: the run has no decoder, or reads other tokens or windows of another length.
    """
    dense = load_dense(folder)
    if not isinstance(dense.model, Decoder):
        raise UserError(
            f"config.checkpoint = {folder!r} has a network of the kind {dense.settings.model.kind!r}, which keeps no "
            "cache; give a run with model.kind = 'decoder'"
        )
    for name in ("name", "tokenizer", "length"):
        mine, theirs = getattr(settings.data, name), getattr(dense.settings.data, name)
        if mine != theirs:
            raise UserError(
                f"config.data.{name} = {mine!r}, and config.checkpoint = {folder!r} was trained with {theirs!r}; set "
                "it to that"
            )
    return dense.model, dense.params, {"checkpoint": dense.as_input()}, f"network: trained by {folder}"


def told_of_text(settings: TextSettings, model: Decoder) -> dict[str, Any]:
    """What a summary says of both."""
    return {
        "dataset": {
            "name": settings.data.name,
            "split": settings.data.evaluation,
            "unit": make_dataset(settings.data).unit,
            "examples": settings.windows,
            "fit_examples": settings.fit_windows,
            "fit_split": "train",
        },
        "network": {
            "kind": settings.model.kind,
            "weights": settings.checkpoint or settings.model.weights or "none, untrained",
            "layers": model.depth,
            "heads": model.heads,
        },
    }


def fit_tokens(settings: TextSettings, train: Split, key: Key, number: int | None = None) -> np.ndarray:
    """Training windows from all over the text, ``number`` or as many as policies are fitted to."""
    number = settings.fit_windows if number is None else number
    if number > len(train):
        raise UserError(f"{number} training windows are asked for and there are {len(train)}; lower it")
    chosen = jax.random.choice(key, len(train), (number,), replace=False)
    return train.at(np.sort(np.asarray(chosen)))["token"]
