"""Scores of tokens against the attention that a pretrained network gives them, layer by layer; nothing is trained.

The dense network runs over examples; its layers' inputs and attention are what every score is made from and compared
with. What has to be fitted is fitted on other examples.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from atis_jax import rng
from atis_jax.data.dataset import Split
from atis_jax.data.registry import load_split, make_dataset
from atis_jax.models.backbone import Model
from atis_jax.models.passes import Batch
from atis_jax.models.registry import make_model
from atis_jax.pruning.stream import Attended
from atis_jax.report import write_report
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.method import Survey
from atis_jax.training.survey import survey
from atis_jax.typing import Key, PyTree
from atis_jax.validation import UserError
from experiments.attention.comparison import chosen_rules, compared, concentration, share_of_groups
from experiments.attention.contents import ATTENTION
from experiments.attention.designs import (
    FITTED,
    QUERIES,
    of_groups,
    query_scores,
    ridge_scores,
    specs_for,
    starting_scores,
)
from experiments.attention.figures import printed
from experiments.attention.rules import rule_scores
from experiments.attention.settings import AttentionSettings
from experiments.inputs import check_inputs
from experiments.pretrained_network import network
from experiments.rundir import RunFolder

TARGETS = ("received", "cls_row")
"""Parts of the attention that scores are compared with: what a token gets from all, and from CLS."""

Score = Float[np.ndarray, "L B N G"]


class Few(Protocol):
    """Settings of an experiment that looks at a few examples of a pretrained network."""

    @property
    def data(self) -> Any:
        """Section of the data."""
        ...

    @property
    def model(self) -> Any:
        """Section of the network."""
        ...

    @property
    def examples(self) -> int:
        """Of the evaluation split."""
        ...

    @property
    def fit_examples(self) -> int:
        """Of the training split."""
        ...


def run(settings: AttentionSettings, folder: RunFolder) -> dict[str, Any]:
    """Run the experiment; writes summary.json and the report.

    Raises:
        UserError: there are fewer examples than are asked for.
        SettingError: the weights are of another network, or not there.
    """
    started = time.time()
    train, test = load_few(settings)
    model = make_model(settings.model, train.facts)
    root = jax.random.key(settings.seed)
    params, read, line = network(settings.model, model, rng.key_of(root, "init"))
    folder.begin()
    check_inputs(folder, read)
    print(line, flush=True)
    method = Analog(ScorerSpec(inputs=settings.inputs), settings.hardware.build())
    fit = examples_shown(settings, model, method, params, train, settings.fit_examples)
    pool, shown = (
        examples_shown(settings, model, method, params, split, settings.examples, "keys") for split in (train, test)
    )
    found = scores(settings, fit.survey, shown.survey, pool.survey, jax.random.fold_in(rng.key_of(root, "init"), 1))
    summary: dict[str, Any] = {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "dataset": {
            "name": settings.data.name,
            "split": settings.data.evaluation,
            "unit": make_dataset(settings.data).unit,
            "examples": settings.examples,
            "fit_examples": settings.fit_examples,
            "fit_split": "train",
        },
        "network": {
            "kind": settings.model.kind,
            "weights": getattr(settings.model, "weights", None) or "none, untrained",
            "layers": model.depth,
            "heads": model.heads,
            "tokens_mean": float(shown.survey.counted.sum(axis=-1).mean()),
        },
        "attention": {
            "kept": settings.kept,
            "top_keys": settings.top_keys,
            "concentration": shown.concentration.tolist(),
            "received_by_protected": shown.protected.tolist(),
            **found,
        },
        "timing": {"seconds": time.time() - started},
    }
    folder.write_summary(summary)
    print(printed(summary), flush=True)
    write_report(folder.path, ATTENTION)
    return summary


def load_few(settings: Few) -> tuple[Split, Split]:
    """Training and evaluation examples; of a data set whose section does not say how many, no more than are used.

    Raises:
        UserError: there are fewer than are asked for.
    """
    few: dict[str, Any] = {}
    if settings.data.train_examples is None:
        few["train_examples"] = max(settings.fit_examples, settings.examples, settings.data.batch_size)
    if settings.data.eval_examples is None:
        few["eval_examples"] = settings.examples
    data = dataclasses.replace(settings.data, **few)
    train, test = load_split(data, "train"), load_split(data, data.evaluation)
    for name, split, part in (
        ("fit_examples", train, "train_examples"),
        ("examples", train, "train_examples"),
        ("examples", test, "eval_examples"),
    ):
        if getattr(settings, name) > len(split):
            raise UserError(
                f"config.{name} = {getattr(settings, name)} is above the {len(split)} that config.data.{part} leaves; "
                "lower the one or raise the other"
            )
    return train, test


@dataclasses.dataclass(frozen=True)
class Shown:
    """What the dense network shows of some examples.

    Attributes:
        survey: layers' inputs, and attention without ``full``; ``counted`` with an axis of all examples.
        concentration: (L,) share of a query's attention on its most attended keys.
        protected: (L,) share of the attention that CLS, and SEP of text, receive.
    """

    survey: Survey
    concentration: np.ndarray
    protected: np.ndarray


def examples_shown(
    settings: AttentionSettings, model: Model, method: Analog, params: PyTree, split: Split, count: int, *more: str
) -> Shown:
    """The first ``count`` examples of a split through the dense network; ``more``: further parts of the attention."""
    batch = make_dataset(settings.data).feed(split.at(slice(count)))
    told, focus, outside = _look(model, method, (*TARGETS, *more), settings.top_keys, params, batch)
    return Shown(told, np.asarray(focus), np.asarray(outside))


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _look(model: Model, method: Analog, parts: tuple[str, ...], top_keys: float, params: PyTree, batch: Batch):
    told = survey(model, params, method, batch, more=(*parts, "full"))
    stream = model.embed(params, batch)
    shape = stream.x.shape[:2]
    real = jnp.ones(shape, bool) if stream.real is None else jnp.broadcast_to(stream.real, shape)
    counted = jnp.broadcast_to(stream.counted, shape)
    assert told.attended.full is not None and told.attended.received is not None
    focus = jax.vmap(lambda full: concentration(full, real, top_keys))(told.attended.full)
    outside = jnp.where(counted[:, None], 0.0, told.attended.received)
    seen = Survey(told.seen, counted, dataclasses.replace(told.attended, full=None))
    return seen, focus, jnp.mean(jnp.sum(outside, axis=-1), axis=(1, 2))


def fitted_to(fit: Survey, target: str) -> Survey:
    """The examples with ``target`` as the part that designs start from: one program serves all targets."""
    return dataclasses.replace(
        fit, attended=Attended(query=fit.attended.query, **{FITTED: getattr(fit.attended, target)})
    )


def scores(settings: AttentionSettings, fit: Survey, shown: Survey, pool: Survey, key: Key) -> dict[str, Any]:
    """Every score compared with both targets, and scores of head groups with the attention of their own heads.

    Args:
        settings: of the run.
        fit: what is fitted is fitted to it.
        shown: what scores are compared on, with keys.
        pool: of the examples of ``fit``, some with keys, on which a rule a layer is chosen.
        key: of what is drawn.
    """
    counted, hardware = np.asarray(shown.counted), settings.hardware.build()
    rules_key, pool_key, design_key = jax.random.split(key, 3)

    def rules(of: Survey, key: Key) -> dict[str, Score]:
        found = jax.jit(rule_scores)(of.seen, of.attended.keys, of.counted, key)
        return {name: np.asarray(score)[..., None] for name, score in found.items()}

    start, regress = jax.jit(starting_scores, static_argnums=0), jax.jit(ridge_scores, static_argnums=2)

    @functools.cache
    def method(spec: ScorerSpec) -> Analog:
        return Analog(spec, hardware)

    def started(spec: ScorerSpec, target: str = FITTED) -> Score:
        same = jax.random.clone(design_key)  # one draw for all, to compare them
        return np.asarray(start(method(spec), same, fitted_to(fit, target), shown))

    def ridge(target: str, groups: int) -> Score:
        return np.asarray(regress(fitted_to(fit, target), shown, groups))

    of_all, of_pool = rules(shown, rules_key), rules(pool, pool_key)
    queries = {name: started(spec) for name, spec in specs_for(settings).items() if name in QUERIES}
    queries["mean_query"] = np.asarray(jax.jit(query_scores)(fit, shown))
    apart: float | None = None
    targets: dict[str, Any] = {}
    for target in TARGETS:
        given, of_fit = (np.asarray(getattr(part.attended, target)) for part in (shown, pool))

        def against(score: Score, groups: int = 1, given: np.ndarray = given) -> dict[str, list[float]]:
            return compared(score, share_of_groups(given, groups), counted, settings.kept)

        wanted = share_of_groups(of_fit, 1)
        tried = {
            name: compared(score, wanted, np.asarray(pool.counted), settings.kept) for name, score in of_pool.items()
        }
        choice = chosen_rules({name: one for name, one in tried.items() if name != "random"})
        chosen = np.stack([sign * of_all[name][layer] for layer, (name, sign) in enumerate(choice)])
        fitted = {name: started(spec, target) for name, spec in specs_for(settings).items() if name not in QUERIES}
        one = {**of_all, "chosen": chosen, "ridge": ridge(target, 1), **fitted, **queries}
        groups: dict[str, Any] = {}
        for number in settings.groups:
            own = started(of_groups(settings, number, "grouped"), target)
            if apart is None:  # one array in turns: nothing in the scores is another, which one case shows
                in_turns = started(of_groups(settings, number, "multiplexed"), target)
                apart = float(np.abs(own - in_turns).max())
            groups[str(number)] = {
                "ridge_consensus": against(one["ridge"], number),
                "ridge_grouped": against(ridge(target, number), number),
                "consensus": against(one["learned"], number),
                "grouped": against(own, number),
            }
        targets[target] = {
            "scores": {name: against(score) for name, score in one.items()},
            "groups": groups,
            "chosen": [f"{'-' if sign < 0 else ''}{name}" for name, sign in choice],
        }
    return {"targets": targets, "multiplexed_apart_v": apart}
