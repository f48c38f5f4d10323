"""Accuracy of a network that is trained no further, with tokens removed by one score after another.

A finished run gives the dense network, its data and its task. Every arm prunes it to the same shares, each layer
keeping the same part of what reaches it. Prototypes and thresholds are fitted to training examples; attention, norm,
place and chance need nothing. Beside the curve: how each score ranks the tokens of the dense network against their
attention.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from atis_jax import rng
from atis_jax.circuits.chip import nominal_environment
from atis_jax.data.pipeline import eval_batches
from atis_jax.models.forward import masked_forward
from atis_jax.models.passes import EVERY_LAYER, Batch, ScorerInputs
from atis_jax.report import write_report
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Method
from atis_jax.scoring.operations import counting
from atis_jax.statistics.intervals import mean_and_ends
from atis_jax.training import evaluate
from atis_jax.training.evaluate import Count, Evaluator, chips_for
from atis_jax.training.survey import survey
from atis_jax.typing import Key, PyTree
from atis_jax.validation import UserError
from experiments.attention.comparison import compared, share_of_groups
from experiments.attention.experiment import TARGETS
from experiments.build import build_task, fed
from experiments.files import write_arrays_atomically
from experiments.inputs import check_inputs
from experiments.ledgers import run_bill
from experiments.measure import charged, dataset_summary
from experiments.rundir import RunFolder
from experiments.trained_run import DenseRun, load_dense
from experiments.zero_shot.arms import ARMS, Watched, at_share
from experiments.zero_shot.contents import ZERO_SHOT, printed
from experiments.zero_shot.settings import ZeroShotSettings, kept_by

LIKE = "analog"
"""The arm that the others' difference is from, where it is among them."""


class Scorer(NamedTuple):
    """A method that can be run: with design and memory as the examples put them."""

    method: Method
    design: Any
    state: Any


def run(settings: ZeroShotSettings, folder: RunFolder) -> dict[str, Any]:
    """Run the experiment; writes summary.json and the report.

    Raises:
        UserError: ``settings.checkpoint`` is no run with a dense network, or its data are too few.
    """
    started = time.time()
    dense = load_dense(settings.checkpoint)
    check(settings, dense)
    folder.begin()
    check_inputs(folder, {"checkpoint": dense.as_input()})
    root, task = jax.random.key(settings.seed), build_task(dense.settings)
    depth, costs = dense.model.depth, run_bill(dense.settings, dense.model)
    fit = fed(dense.settings, dense.train, slice(settings.fit_examples))
    shown = fed(dense.settings, dense.test, slice(settings.examples))
    batches = list(eval_batches(dense.settings.data, dense.test))
    unpruned = evaluate.dense_answers(dense.model, task, dense.params, batches)
    seen = attention_of(dense, shown)
    length = round(float(seen.counted.sum(axis=-1).mean()))

    def realised(method: Method, kept: np.ndarray) -> np.ndarray:
        return np.asarray(method.realised(jnp.asarray(kept), length))

    arms: dict[str, Any] = {}
    right: dict[str, np.ndarray] = {"right_dense": unpruned.right[None]}
    for number, name in enumerate(settings.arms):
        arm, key = ARMS[name], jax.random.fold_in(rng.key_of(root, "init"), number)
        method = arm.method(arm.spec(settings), settings.hardware.build())
        taught = None if arm.imitates is None else taught_by(settings, dense, arm.imitates, fit, key)
        noise = jax.random.fold_in(rng.key_of(root, "evaluation"), number)
        shares = {}
        for pruned in settings.pruned:
            kept = kept_by(pruned, depth, functools.partial(realised, method))
            scorer = started_at(dense, method, fit, key, kept, taught)
            found = [
                evaluate.count(evaluator(dense, method).masked(), task, batches, inputs, one)
                for inputs, one in on_chips(scorer, noise, settings.chips if arm.sampled else None)
            ]
            right[f"right_{pruned:g}_{name}"] = np.stack([one.each.right for one in found])
            done = done_by(costs, scorer, found)
            shares[f"{pruned:g}"] = {
                "accuracy": float(np.mean([one.accuracy for one in found])),
                "each_chip": [one.accuracy for one in found],
                "kept_per_layer": mean_kept(found).tolist(),
                "pruned": float(1.0 - mean_kept(found).mean()),
                "operations": done,
            }
            print(
                f"{arm.words}, {100 * pruned:g} % removed: {100 * shares[f'{pruned:g}']['accuracy']:.1f} %", flush=True
            )
        arms[name] = {"words": arm.words, "shares": shares}
        if arm.scores:
            open_ = started_at(dense, method, fit, key, (1.0,) * depth, taught)
            arms[name]["agreement"] = agreement(settings, dense, open_, shown, seen, noise)
    for pruned in settings.pruned:
        share = f"{pruned:g}"
        for name, found in arms.items():
            mine = right[f"right_{share}_{name}"].mean(axis=0)
            behind = {"dense": right["right_dense"]}
            if LIKE in arms and name != LIKE:
                behind[LIKE] = right[f"right_{share}_{LIKE}"]
            found["shares"][share]["less"] = {
                other: mean_and_ends(mine - theirs.mean(axis=0)) for other, theirs in behind.items()
            }
    summary: dict[str, Any] = {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "dataset": dataset_summary(dense.settings, dense.test),
        "accuracy": {"dense": unpruned.accuracy},
        "network": {"folder": str(dense.folder), "layers": depth, "tokens": dense.model.tokens},
        "zero_shot": {
            "chips": settings.chips,
            "fit_examples": settings.fit_examples,
            "examples": settings.examples,
            "arms": arms,
        },
        "timing": {"seconds": time.time() - started},
    }
    write_arrays_atomically(
        folder.path / "artifacts.npz", {name: np.asarray(one, np.float32) for name, one in right.items()}
    )
    folder.write_summary(summary)
    print(printed(summary), flush=True)
    write_report(folder.path, ZERO_SHOT)
    return summary


def check(settings: ZeroShotSettings, dense: DenseRun) -> None:
    """Whether the run's network and data have what is asked for.

    Raises:
        UserError: they have not; names the field, its value and the bound.
    """
    for name, bound, of in (
        ("fit_examples", len(dense.train), "training examples"),
        ("examples", len(dense.test), "evaluation examples"),
        ("inputs", dense.model.width, "values of a token"),
        ("selection_inputs", dense.model.width, "values of a token"),
    ):
        if getattr(settings, name) > bound:
            raise UserError(
                f"config.{name} = {getattr(settings, name)} is above the {bound} {of} of {str(dense.folder)!r}; "
                "lower it"
            )


def evaluator(dense: DenseRun, method: Method) -> Evaluator:
    """The network with a method in front of, or behind, every layer's attention."""
    return Evaluator(dense.model, dense.params, method, range(dense.model.depth), build_task(dense.settings))


def started_at(
    dense: DenseRun,
    method: Method,
    fit: Batch,
    key: Key,
    kept: tuple[float, ...],
    taught: Float[Array, "L B N 1"] | None = None,
) -> Scorer:
    """A method as the examples put it, keeping ``kept`` of the tokens after each layer.

    Args:
        dense: network and data.
        method: what decides.
        fit: training examples.
        key: of what is drawn.
        kept: share of the tokens left after each layer.
        taught: score of each token of the examples, above 0, that a prototype is fitted to; None: attention received.
    """
    own = jax.random.clone(key)  # one prototype for all shares
    design, state = _begun(dense.model, method, own, dense.params, fit, jnp.asarray(kept), taught)

    def scores(design) -> tuple[np.ndarray, np.ndarray]:
        out = evaluator(dense, method).masked()(fit, perfect(Scorer(method, design, state)), None)
        voltage = np.asarray(out.voltage)[..., 0]
        return voltage, np.broadcast_to(np.asarray(out.counted), voltage.shape[1:])

    return Scorer(method, design if min(kept) >= 1.0 else at_share(method, design, scores, kept), state)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _begun(model, method: Method, key: Key, params: PyTree, fit: Batch, kept: Float[Array, "L"], taught):
    told = survey(model, params, method, fit)
    if taught is not None:
        attended = dataclasses.replace(told.attended, received=taught[:, :, None, :, 0])
        told = dataclasses.replace(told, attended=attended)
    return method.begin(key, told, kept)


def taught_by(settings: ZeroShotSettings, dense: DenseRun, name: str, fit: Batch, key: Key) -> Float[Array, "L B N 1"]:
    """What an arm scores on the training examples, every token kept."""
    teacher = ARMS[name].method(ARMS[name].spec(settings), settings.hardware.build())
    scorer = started_at(dense, teacher, fit, key, (1.0,) * dense.model.depth)
    return _scores(dense.model, Watched(teacher), dense.params, fit, perfect(scorer), None)


def perfect(scorer: Scorer) -> ScorerInputs:
    """On the chip without errors, at the nominal temperature; without one for a method that is no circuit."""
    if not scorer.method.fabricated:
        return ScorerInputs(scorer.design, None, None, scorer.state)
    depth = len(jax.tree.leaves(scorer.design)[0])
    chip = jax.tree.map(lambda leaf: jnp.stack([leaf] * depth), scorer.method.perfect_chip())
    return ScorerInputs(scorer.design, chip, nominal_environment(scorer.method.hardware), scorer.state)


def on_chips(scorer: Scorer, key: Key, chips: int | None) -> list[tuple[ScorerInputs, Key]]:
    """What the scorers need on each of so many chips, and its noise; None: once, on the chip without errors."""
    of_chips, of_noise = jax.random.split(jax.random.clone(key))  # the same chips at every share
    if chips is None:
        return [(perfect(scorer), of_noise)]
    depth = len(jax.tree.leaves(scorer.design)[0])
    made = chips_for(of_chips, scorer.method, depth, chips)
    environment = nominal_environment(scorer.method.hardware)
    return [
        (
            ScorerInputs(scorer.design, jax.tree.map(lambda leaf, n=n: leaf[n], made), environment, scorer.state),
            jax.random.fold_in(of_noise, n),
        )
        for n in range(chips)
    ]


def done_by(costs: Bill, scorer: Scorer, found: list[Count]) -> float:
    """Multiply-accumulates over the dense network's, each example at its own length where they differ."""
    each = [one.each for one in found]
    each = each if len(np.unique(each[0].counted)) > 1 else []
    done, dense = (
        charged(counting(costs), bill, mean_kept(found), each).total_j
        for bill in (
            lambda costs, kept: scorer.method.bill(costs, kept, scorer.design, scorer.state),
            lambda costs, kept: costs.dense(),
        )
    )
    return float(done / dense)


def mean_kept(found: list[Count]) -> np.ndarray:
    """(L,) share of the tokens kept after each layer, mean of the chips."""
    return np.mean([one.kept_fraction for one in found], axis=0)


class Seen(NamedTuple):
    """Attention that each token gets in the dense network, and which tokens are a method's to judge."""

    given: dict[str, Float[np.ndarray, "L B N 1"]]
    counted: Bool[np.ndarray, "B N"]


def attention_of(dense: DenseRun, batch: Batch) -> Seen:
    """Attention of the dense network, in the mean over heads."""
    plain = ARMS["norm"]
    method = plain.method(plain.spec(ZeroShotSettings()), ZeroShotSettings().hardware.build())
    attended, counted = _attention(dense.model, method, dense.params, batch)
    given = {name: share_of_groups(np.asarray(one), 1) for name, one in attended.items()}
    shape = given[TARGETS[0]].shape[1:3]
    return Seen(given, np.broadcast_to(np.asarray(counted), shape))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _attention(model, method: Method, params: PyTree, batch: Batch):
    told = survey(model, params, method, batch, more=TARGETS)
    return {name: getattr(told.attended, name) for name in TARGETS}, told.counted


def agreement(
    settings: ZeroShotSettings, dense: DenseRun, scorer: Scorer, batch: Batch, seen: Seen, key: Key
) -> Mapping[str, Any]:
    """Rank correlation with attention in every layer, and recall at each share kept; read noise and all."""
    inputs, noise = on_chips(scorer, key, None)[0]
    keys = evaluate.example_keys(noise, np.arange(settings.examples))
    score = np.asarray(_scores(dense.model, Watched(scorer.method), dense.params, batch, inputs, keys))
    found: dict[str, Any] = {}
    for target, given in seen.given.items():
        by_share = {
            f"{1.0 - pruned:g}": compared(score, given, seen.counted, 1.0 - pruned) for pruned in settings.pruned
        }
        first = next(iter(by_share.values()))
        found[target] = {
            "spearman": first["spearman"],
            "spearman_se": first["spearman_se"],
            "recall": {share: one["recall"] for share, one in by_share.items()},
        }
    return found


@functools.partial(jax.jit, static_argnums=(0, 1))
def _scores(model, method: Method, params: PyTree, batch: Batch, inputs: ScorerInputs, keys: Key | None):
    return masked_forward(model, params, method, batch, inputs, keys, scored=EVERY_LAYER).voltage
