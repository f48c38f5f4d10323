"""Co-design: train a dense network, then network and analog scorer together, then the controls; measure all.

Stages, each with its own checkpoints: ``dense`` (the network alone), ``codesign`` (with the configured scorer), and
for each control in ``config.compare`` a stage from the same dense network, on the same batches and equally long:
``dense_longer``, ``digital``, ``random``.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax import rng
from atis_jax.config import as_dict, as_stored_now, differing_fields, from_config_dict, results_part, stored_hash
from atis_jax.data.dataset import Split
from atis_jax.data.pipeline import check_batch, eval_batches
from atis_jax.data.registry import load_split, make_dataset
from atis_jax.energy.baselines import energy_ratio
from atis_jax.export.store import write_bundle
from atis_jax.models.backbone import Model
from atis_jax.models.forward import check_capacities
from atis_jax.models.kernels.fit import FITTED_ON, with_kernel
from atis_jax.models.weights.files import file_digest, find_weights
from atis_jax.models.weights.load import load_weights
from atis_jax.report import write_report
from atis_jax.scoring.atis.analog import Analog
from atis_jax.strict_json import read_json
from atis_jax.training import evaluate
from atis_jax.training.checkpoints import Checkpoints
from atis_jax.training.schedule import is_hard
from atis_jax.training.state import TrainState, create_state, optimiser
from atis_jax.training.step import Codesign, codesign_step, dense_step
from atis_jax.training.survey import survey
from atis_jax.typing import PyTree
from atis_jax.validation import UnknownKind, UserError
from experiments import measure
from experiments.build import build_kernel, build_method, build_model, build_task, fed
from experiments.chips import with_scorer
from experiments.codesign_report.contents import CODESIGN, DENSE
from experiments.export.bundle import measured_bundle
from experiments.inputs import Input, check_inputs
from experiments.ledgers import run_bill
from experiments.loop import Loop, Stage, steps_done
from experiments.metrics import MetricsLog
from experiments.progress import Progress
from experiments.rundir import RunFolder
from experiments.settings import CodesignSettings

EXPORT = "export"
"""Folder of the design bundle in that of the run."""
WEIGHTS = "weights"
"""Name of pretrained weights among a run's inputs."""
SURVEYED = 256
"""Training examples from which the starting design's spread, variances and queries are taken."""


def run(settings: CodesignSettings, folder: RunFolder) -> dict[str, Any]:
    """Run or go on with the experiment; returns what it wrote to ``summary.json``."""
    started = time.time()
    train, test = load_split(settings.data, "train"), load_split(settings.data, settings.data.evaluation)
    root = jax.random.key(settings.seed)
    model = build_model(settings, train)
    # Only the data say how many tokens there are, and of how many values each is made.
    settings.check_model(model)
    if settings.evaluation.capacities:
        check_capacities(settings.evaluation.capacities, model)
    trained = train_stages(settings, folder, model, plan(settings, root), train, root)
    summary = measure.measure(settings, folder, model, trained, train, test, root)
    method = build_method(settings, settings.scorer.kind)
    if isinstance(method, Analog):
        summary["bundle"] = write_export(settings, folder, model, trained["codesign"], test, summary["accuracy"])
    elif method.fabricated:
        print(f"no design bundle: it holds an array of OTAs, and scorer.kind = {settings.scorer.kind!r} has none")
    summary["timing"]["seconds"] = time.time() - started
    folder.write_summary(summary)
    write_report(folder.path, CODESIGN)
    return summary


def write_export(
    settings: CodesignSettings,
    folder: RunFolder,
    model: Model,
    state: TrainState,
    test: Split,
    accuracy: dict[str, Any],
) -> dict[str, Any]:
    """The design as a bundle in ``export/``, with the accuracies found and that of the design before quantisation."""
    design = with_scorer(settings, model, state, settings.scorer.kind)
    bundle = measured_bundle(settings, design, folder.path, test, accuracy)
    write_bundle(bundle, folder.path / EXPORT)
    names = ("before_quantisation", "after_quantisation")
    return {"folder": EXPORT, **{name: bundle.accuracy[name] for name in names}}


def run_dense(settings: CodesignSettings, folder: RunFolder) -> dict[str, Any]:
    """Train the dense network alone, for other runs to start from (``config.start_from``)."""
    started = time.time()
    train, test = load_split(settings.data, "train"), load_split(settings.data, settings.data.evaluation)
    root = jax.random.key(settings.seed)
    model = build_model(settings, train)
    trained = train_stages(settings, folder, model, plan(settings, root)[:1], train, root)
    batches = eval_batches(settings.data, test)
    answers = evaluate.dense_answers(model, build_task(settings), trained["dense"].params, batches)
    summary = {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "dataset": measure.dataset_summary(settings, test),
        "accuracy": {"dense": answers.accuracy},
        **measure.language_summary(settings, test, {"dense": answers.loss}),
        "timing": {"seconds": time.time() - started},
    }
    folder.write_summary(summary)
    write_report(folder.path, DENSE)
    return summary


def train_stages(
    settings: CodesignSettings,
    folder: RunFolder,
    model: Model,
    stages: list[Stage],
    train: Split,
    root: jax.Array,
) -> dict[str, TrainState]:
    """Every stage in turn, each from its newest checkpoint; the last state of each by name.

    Raises:
        UserError: the batch is too large or ``settings.start_from`` the wrong folder; nothing is written then.
    """
    trained: dict[str, TrainState] = {}
    check_batch(settings.data, train)
    read: dict[str, Input] = {}
    past: tuple[str, ...] = ()
    first: TrainState | None = None
    if settings.start_from is not None:
        trained["dense"] = dense_from(settings, fresh_dense(settings, model, root))
        read["start_from"] = Input(settings.start_from, trained["dense"].params)
    elif (weights := getattr(settings.model, "weights", None)) is not None:
        begun = Checkpoints(folder.checkpoints / "dense", folder.config_hash, read_only=True).latest_step()
        if begun is None:
            first, read[WEIGHTS] = pretrained(model, fresh_dense(settings, model, root), weights)
        else:  # its checkpoint holds them: the file may be gone
            past = (WEIGHTS,)
    folder.begin()
    check_inputs(folder, read, past)
    done, unit = steps_done(folder, stages), make_dataset(settings.data).unit
    with (
        MetricsLog(folder.metrics, after_step=done) as log,
        Progress(stages[-1].offset + stages[-1].steps, unit=f"{unit}s", start_step=done) as bar,
    ):
        loop = Loop(folder, settings.data, train, log, bar, settings.checkpoint_every)
        for stage in stages:
            step_fn, state = prepare(settings, stage, model, train, root, trained, first)
            teacher = {} if stage.name == "dense" else trained["dense"].params
            trained[stage.name] = loop.run(stage, step_fn, state, teacher)
    return trained


def plan(settings: CodesignSettings, root: jax.Array) -> list[Stage]:
    """The stages in order. All but the first see the same batches."""
    data_key = rng.key_of(root, "data")
    seeds = [int(jax.random.bits(jax.random.fold_in(data_key, i))) for i in range(2)]
    hard = np.asarray(is_hard(jnp.arange(settings.tune.steps), settings.tune.steps, settings.pruning))

    def gates(step: int) -> str:
        return "hard" if hard[step - 1] else "soft"

    stages = [] if settings.start_from else [Stage("dense", settings.dense.steps, 0, seeds[0], lambda step: "dense")]
    arms = {"dense": "dense_longer"}
    phases = {"codesign": gates} | {arms.get(arm, arm): lambda step, arm=arm: arm for arm in settings.compare}
    for name, phase in phases.items():
        offset = stages[-1].offset + stages[-1].steps if stages else 0
        stages.append(Stage(name, settings.tune.steps, offset, seeds[1], phase))
    return stages


def prepare(
    settings: CodesignSettings,
    stage: Stage,
    model: Model,
    train: Split,
    root: jax.Array,
    trained: dict[str, TrainState],
    first: TrainState | None = None,
):
    """The step function of a stage and the state it starts from; ``first`` is the dense one's, None: untrained."""
    if stage.name == "dense":
        transform = optimiser(settings.dense, settings.codesign)
        state = fresh_dense(settings, model, root) if first is None else first
        return dense_step(model, build_task(settings), settings.dense, transform), state
    params = trained["dense"].params
    if stage.name == "dense_longer":
        transform = optimiser(settings.tune, settings.codesign)
        task = build_task(settings)
        return dense_step(model, task, settings.tune, transform), create_state(params, (), (), root, transform)
    kind = settings.scorer.kind if stage.name == "codesign" else stage.name
    setup, transform = codesign_setup(settings, model, kind)
    examples = fed(settings, train, slice(SURVEYED))
    design_key = jax.random.fold_in(rng.key_of(root, "init"), 1)
    wanted = jnp.asarray(settings.pruning.kept_per_layer(settings.model.depth))

    @jax.jit
    def start(key, params, batch):
        return setup.method.begin(key, survey(model, params, setup.method, batch), wanted)

    design, memory = start(design_key, params, examples)
    setup.method.check_design(run_bill(settings, model), design, memory)
    params = with_kernel_of(settings, model, params, train, root)
    return codesign_step(setup, transform), create_state(params, design, memory, root, transform)


def with_kernel_of(settings: CodesignSettings, model: Model, params: PyTree, train: Split, root: jax.Array) -> PyTree:
    """The dense network's parameters with what the section ``kernel`` is fitted to."""
    kernel, examples = build_kernel(settings), fed(settings, train, slice(FITTED_ON))
    key = jax.random.fold_in(rng.key_of(root, "init"), 2)
    return jax.jit(lambda params, batch, key: with_kernel(model, params, kernel, batch, key))(params, examples, key)


def fresh_dense(settings: CodesignSettings, model: Model, root: jax.Array) -> TrainState:
    """The untrained network and its optimiser."""
    # Jitted: operation by operation it would take longer than the first hundred steps.
    params = jax.jit(model.init)(rng.key_of(root, "init"))
    return create_state(params, (), (), root, optimiser(settings.dense, settings.codesign))


def pretrained(model: Model, untrained: TrainState, where: str) -> tuple[TrainState, Input]:
    """The state with published weights where ``where`` names them; tells in one line what they are."""
    file = find_weights(where)
    params, line = load_weights(model, untrained.params, file)
    print(line, flush=True)
    return dataclasses.replace(untrained, params=params), Input(file, sha256=file_digest(file))


def codesign_setup(settings: CodesignSettings, model: Model, kind: str):
    """Everything a co-design step needs for a method ``kind``, and its optimiser."""
    method = build_method(settings, kind)
    costs = run_bill(settings, model)
    dense = costs.dense()
    setup = Codesign(
        model=model,
        method=method,
        task=build_task(settings),
        stage=settings.tune,
        pruning=settings.pruning,
        loss=settings.loss,
        codesign=settings.codesign,
        energy_ratio=lambda kept, design, state: energy_ratio(method.bill(costs, kept, design, state), dense),
        kernel=settings.kernel,
    )
    return setup, optimiser(settings.tune, settings.codesign, method, method.chooses_hardware)


def dense_from(settings: CodesignSettings, abstract: TrainState) -> TrainState:
    """The dense network of the run ``settings.start_from``, so that several runs can share one training.

    Raises:
        UserError: that folder is no finished run, or its network or data set is another.
    """
    folder = Path(settings.start_from or "")
    other, stored_as = dense_settings(folder, "start_from")
    for name in ("model", "dense"):
        mine, theirs = getattr(settings, name), getattr(other, name)
        if mine != theirs:
            lines = differing_fields(as_dict(theirs), as_dict(mine), f"config.{name}")
            raise UserError(
                f"config.start_from = {str(folder)!r} trained another dense network:\n  "
                + "\n  ".join(lines)
                + "\nGive these fields the values of that run, or train a dense network here (start_from=None)"
            )
    if other.data.name != settings.data.name:
        raise UserError(
            f"config.start_from = {str(folder)!r} was trained on {other.data.name!r}, this config is for "
            f"{settings.data.name!r}; use a run on the same data set"
        )
    return dense_state(folder, "start_from", other, stored_as, abstract)


def dense_settings(folder: Path, field: str) -> tuple[CodesignSettings, str]:
    """The settings of a run that trained a dense network, and the hash that its checkpoints carry.

    Args:
        folder: of the run.
        field: of the config that names it.

    Raises:
        UserError: it is no run, or trained none.
    """
    what = f"config.{field} = {str(folder)!r}"
    try:
        stored = read_json(folder / "config.json")
        other = from_config_dict(CodesignSettings, as_stored_now(CodesignSettings, stored))
    except UnknownKind as error:
        raise UserError(f"{what} cannot be read here: {error}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{what} holds no run ({error}); give the folder of a codesign run") from error
    if other.start_from is not None:
        raise UserError(
            f"{what} trained no dense network itself, it started from {other.start_from!r}; give that folder"
        )
    return other, stored_hash(results_part(CodesignSettings, stored))


def dense_state(
    folder: Path, field: str, settings: CodesignSettings, stored_as: str, abstract: TrainState
) -> TrainState:
    """The dense network at the end of its training; ``settings`` and ``stored_as`` as of ``dense_settings``.

    Raises:
        UserError: its training has not ended.
    """
    store = Checkpoints(folder / "checkpoints" / "dense", stored_as, read_only=True)
    if store.latest_step() != settings.dense.steps:
        raise UserError(
            f"config.{field} = {str(folder)!r} stopped at step {store.latest_step()} of its {settings.dense.steps} "
            "dense steps; finish that run first"
        )
    # The network alone: which optimiser it was trained with does not matter to what comes after.
    return dataclasses.replace(abstract, params=store.restore(abstract.params, part="params")[0])
