"""A co-design run's energy ledger, made from its settings; and before any training, from its config alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array
from ml_collections import ConfigDict

from atis_jax.config import from_config_dict
from atis_jax.data.dataset import Facts, Split
from atis_jax.data.registry import load_split
from atis_jax.energy.ledger import Ledger
from atis_jax.models.backbone import Model
from atis_jax.models.kernels.circuit import Circuit, fitted
from atis_jax.models.registry import make_model
from atis_jax.pruning.stream import PARTS, Attended
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Method, Survey
from atis_jax.scoring.operations import counting, kept_at
from atis_jax.scoring.registry import make_method
from atis_jax.typing import Key, PyTree
from atis_jax.validation import SettingError
from experiments.build import build_kernel, fed
from experiments.settings import CodesignSettings

EXAMPLES = 4
"""Drawn for an untrained design to start from."""
SEEN = 512
"""Examples whose lengths are looked at."""


class Ledgers(NamedTuple):
    """What an example costs.

    Attributes:
        dense: without pruning.
        pruned: with the config's scorer, at the kept fractions of its section ``pruning``.
    """

    dense: Ledger
    pruned: Ledger


def run_bill(settings: CodesignSettings, model: Model, params: PyTree | None = None) -> Bill:
    """Prices and shapes of loss, summary and report alike.

    Args:
        settings: of the run.
        model: the network.
        params: where attention is computed by a circuit, what it was fitted to says which pairs stay; None: the wanted.
    """
    scored, kernel = settings.pruning.scored(model.depth), build_kernel(settings)
    network = model.shape(settings.energy.camera)
    if isinstance(kernel, Circuit):
        circuit = kernel.circuit(None if params is None else fitted(params))
        network = dataclasses.replace(network, attention=circuit)
    return Bill(
        energy=settings.energy,
        network=network,
        layers=tuple(layer in scored for layer in range(model.depth)),
    )


def ledgers_of(config: ConfigDict, facts: Facts | None = None) -> Ledgers:
    """The ledgers of a config, of which nothing was trained: its bias currents are those that training starts from.

    Those of a trained design differ by what the loss's weight of the energy takes off.

    Args:
        config: of a co-design run, as ``get_config`` of a file in ``configs`` returns it.
        facts: of the data; None: read from the config's data set, which must then be on this machine.

    Raises:
        SettingError: a section is wrong, or two do not go together.
        DatasetError: ``facts`` is None, and the data set is not there.
    """
    begun = Begun.of(config, facts)
    begun.method.check_design(begun.costs, begun.design, begun.state)

    @jax.jit
    def bill(design: Any, state: Any) -> tuple[Ledger, Ledger]:
        return begun.costs.dense(), begun.method.bill(begun.costs, begun.kept, design, state)

    return Ledgers(*bill(begun.design, begun.state))


def kept_for(config: ConfigDict, share: float, facts: Facts | None = None) -> tuple[float, ...]:
    """``pruning.kept`` with which a config's method does ``share`` of the dense network's multiply-accumulates.

    Its own are among them (``scoring.operations``). The cascade is a power of the config's, to four digits. Examples of
    different lengths are taken for one of their mean length.

    Args:
        config: of a co-design run; ``pruning.kept`` gives the cascade's form.
        share: wanted, of the dense network's.
        facts: as of ``ledgers_of``.

    Raises:
        SettingError: no such cascade does; names the shares in reach.
    """
    begun = Begun.of(config, facts)
    scored = from_config_dict(CodesignSettings, config).pruning.scored(len(begun.kept))
    costs = dataclasses.replace(counting(begun.costs), length=jnp.asarray(begun.length))

    @jax.jit
    def of(kept: Array) -> Array:
        left = begun.method.realised(kept, round(begun.length))
        return begun.method.bill(costs, left, begun.design, begun.state).total_j / costs.dense().total_j

    try:
        kept = kept_at(share, tuple(map(float, begun.kept)), of)
    except ValueError as error:
        raise SettingError(
            f"config.scorer.kind = {config.scorer.kind!r} with pruning.kept = {tuple(config.pruning.kept)}: {error}"
        ) from error
    return tuple(round(one, 4) for one in kept[scored.start : scored.stop])


class Begun(NamedTuple):
    """What a config starts from, of which nothing was trained.

    Attributes:
        method: of the section ``scorer``.
        costs: prices and shapes.
        kept: (L,) wanted fractions after each layer.
        design: of every layer.
        state: the scorer's memory.
        length: tokens of an example that may be pruned, in the mean of ``SEEN`` where examples differ.
    """

    method: Method
    costs: Bill
    kept: Array
    design: Any
    state: Any
    length: float

    @classmethod
    def of(cls, config: ConfigDict, facts: Facts | None = None) -> Begun:
        """See ``ledgers_of``, errors too."""
        settings, length = from_config_dict(CodesignSettings, config), None
        if facts is None:
            split = load_split(settings.data, settings.data.evaluation)
            facts = split.facts
            length = mean_length(settings, make_model(settings.model, facts), split)
        model = make_model(settings.model, facts)
        method = make_method(
            settings.scorer, settings.scorer_hardware(), jnp.asarray(settings.pruning.kept_of_incoming(model.depth))
        )
        kept = jnp.asarray(settings.pruning.kept_per_layer(model.depth))

        @jax.jit
        def begin(key: Key) -> tuple[Any, Any]:
            of_survey, of_design = jax.random.split(key)
            return method.begin(of_design, _drawn_survey(of_survey, model, method), kept)

        design, state = begin(jax.random.key(settings.seed))
        length = float(model.tokens) if length is None else length
        return cls(method, run_bill(settings, model), kept, design, state, length)


def mean_length(settings: CodesignSettings, model: Model, split: Split) -> float:
    """Tokens of an example that may be pruned, mean of the first ``SEEN``."""
    batch = fed(settings, split, slice(SEEN))
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(model.init, jax.random.key(0)))
    counted = jax.jit(lambda params, batch: model.embed(params, batch).counted)(empty, batch)
    return float(jnp.mean(jnp.sum(counted, axis=-1)))


def _drawn_survey(key: Key, model: Model, method: Method) -> Survey:
    """Standard normal tokens, and attention of standard normal logits, in the place of a trained network's."""
    values = model.shape(camera=True).pixel_values if method.raw else model.width
    depth, tokens, heads, width = model.depth, model.tokens, model.heads, model.width

    def drawn(name: str, *shape: int) -> Array:
        own = jax.random.fold_in(key, ("seen", *PARTS).index(name))
        return jax.random.normal(own, (depth, EXAMPLES, *shape))

    parts: dict[str, Callable[[], Array]] = {
        "received": lambda: jax.nn.softmax(drawn("received", heads, tokens)),
        "cls_row": lambda: jax.nn.softmax(drawn("cls_row", heads, tokens)),
        "keys": lambda: drawn("keys", heads, tokens, width // heads),
        "query": lambda: drawn("query", heads, width),
        "full": lambda: jax.nn.softmax(drawn("full", heads, tokens, tokens)),
    }
    return Survey(
        seen=drawn("seen", tokens, values),
        counted=jnp.ones((EXAMPLES, tokens), bool),
        attended=Attended(**{name: parts[name]() for name in method.surveys}),
    )
