"""What a finished co-design run is measured on: chips, controls, agreement, energy; and the arrays of its report."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax import rng
from atis_jax.circuits.dac import dac_levels_v
from atis_jax.circuits.frontend import ota_curves_a
from atis_jax.data.dataset import Split
from atis_jax.data.pipeline import Batch, Shape, by_shape, eval_batches
from atis_jax.data.registry import make_dataset
from atis_jax.energy.ledger import Ledger
from atis_jax.models.backbone import Model
from atis_jax.models.forward import dense_forward
from atis_jax.models.passes import ScorerInputs
from atis_jax.numerics import layer_of
from atis_jax.pruning.stream import spread
from atis_jax.scoring.atis.analog import Analog, realise_design
from atis_jax.scoring.atis.knobs import designed_hardware, input_gates
from atis_jax.scoring.atis.method import Atis
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.operations import counting
from atis_jax.statistics import language
from atis_jax.training import agreement, evaluate
from atis_jax.training.state import TrainState
from atis_jax.units import celsius_to_kelvin
from experiments.chips import Trained, count_chips, fabricate, perfect_inputs, with_scorer
from experiments.design_summary import design_summary
from experiments.files import write_arrays_atomically
from experiments.ledgers import run_bill
from experiments.rundir import RunFolder
from experiments.settings import ARMS, CodesignSettings

CURVE_POINTS = 201
CURVES = 8
"""OTAs and converters whose transfer curves the report draws."""
HISTOGRAM_BINS = 60


def measure(
    settings: CodesignSettings,
    folder: RunFolder,
    model: Model,
    trained: dict[str, TrainState],
    train: Split,
    test: Split,
    root: jax.Array,
) -> dict[str, Any]:
    """Everything ``summary.json`` holds but the wall clock; writes ``artifacts.npz`` on the way."""
    batches = list(eval_batches(settings.data, test))
    key = rng.key_of(root, "evaluation")
    design = with_scorer(settings, model, trained["codesign"], settings.scorer.kind)
    depth = settings.model.depth
    dense_params, task = trained.get("dense_longer", trained["dense"]).params, design.evaluator.task
    perfect = perfect_inputs(design, depth)
    masked = design.evaluator.masked()
    ideals = {shape: evaluate.count(masked, task, group, perfect, None) for shape, group in by_shape(batches).items()}
    ideal = evaluate.added(list(ideals.values()))
    made = fabricate(settings, design, train, key, root)
    chips = count_chips(made, batches, ideals, settings.evaluation.capacities)
    few = batches[: max(1, settings.evaluation.agreement_examples // settings.data.eval_batch_size)]
    on_chips, first_chip = made.trained, made.inputs(0)
    noise = jax.random.fold_in(key, 0)
    agreed = agreement.added(
        [
            agreement.masked_against_gathered(on_chips.evaluator, chips.capacities[shape], group, first_chip, noise)
            for shape, group in by_shape(few).items()
        ]
    )
    arrays, spearman, recall = pictures(settings, on_chips, trained["dense"].params, few, first_chip, key, test)
    kept = chips.kept_per_layer.mean(axis=0)
    if isinstance(design.evaluator.method, Analog):
        arrays |= transfer_curves(settings, on_chips, first_chip)
    arrays |= {
        "kept_per_layer_mean": kept,
        "kept_per_layer_std": chips.kept_per_layer.std(axis=0),
        "kept_target": np.asarray(settings.pruning.kept_per_layer(depth)),
        "chip_accuracy": chips.accuracy,
        "chip_temperature_c": made.temperature_c,
        "agreement_layer_spearman": spearman,
        "agreement_recall": recall,
    }
    others, answers = controls(settings, model, trained, batches, kept, key)
    answers = {
        "dense": evaluate.dense_answers(model, task, dense_params, batches),
        "dense_before": evaluate.dense_answers(model, task, trained["dense"].params, batches),
        "ideal": ideal.each,
        "hardware": evaluate.Answers(*(np.stack([getattr(one, of) for one in chips.each]) for of in ("right", "loss"))),
        **answers,
    }
    arrays |= {f"right_{name}": found.right.astype(np.float16) for name, found in answers.items()}
    said = language_summary(settings, test, {name: found.loss for name, found in answers.items()})
    if said:
        arrays |= {f"loss_{name}": found.loss.astype(np.float32) for name, found in answers.items()}
    write_arrays_atomically(folder.path / "artifacts.npz", arrays)
    scored = list(design.evaluator.scored)
    return {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "dataset": dataset_summary(settings, test),
        "accuracy": {
            "dense": answers["dense"].accuracy,
            "dense_before": answers["dense_before"].accuracy,
            "ideal": ideal.accuracy,
            "hardware_mean": float(chips.accuracy.mean()),
            "hardware_std": float(chips.accuracy.std()),
            "hardware_worst": float(chips.accuracy.min()),
            "chips": len(chips.accuracy),
            "temperature_c": list(settings.evaluation.temperature_c),
            "supply": list(settings.evaluation.supply),
            "calibration": [] if made.trims is None else list(settings.evaluation.calibration),
            **others,
        },
        **said,
        "tokens": {
            "kept_per_layer": kept.tolist(),
            "pruned_fraction": float(1.0 - kept.mean()),
            "pruned_fraction_final_layer": float(1.0 - kept[-1]),
        },
        "agreement": {
            "masked_vs_gathered_max_abs_logit": agreed.max_abs_logit,
            "decisions_equal_fraction": agreed.equal / agreed.decisions,
            "decisions": agreed.decisions,
            "decisions_inside_margin": agreed.inside,
            "decisions_unequal_outside_margin": agreed.unequal_outside,
            "examples_compared": agreed.examples_compared,
            "rounding_margin_v": agreement.ROUNDING_V,
            "capacities": capacities_summary(chips.capacities),
            "capacity_overflow": chips.overflow + agreed.overflow,
            "attention_spearman": float(np.mean(spearman[scored])),
            "attention_recall": float(np.mean(recall[scored])),
        },
        "design": design_summary(design.state.design, design.evaluator.method, design.evaluator.scored),
        "energy": energy_summary(settings, model, design, kept, each := chips.each if train.facts.mean_length else ()),
        "operations": operations_summary(settings, model, design, kept, each),
        "network": {"parameters": int(sum(leaf.size for leaf in jax.tree.leaves(trained["dense"].params)))},
        "versions": {
            name: importlib.metadata.version(name) for name in ("jax", "flax", "optax", "orbax-checkpoint", "numpy")
        },
        "timing": {},
    }


def capacities_summary(capacities: dict[Shape, tuple[int, ...]]) -> list[Any]:
    """Room of each layer; of batches of several shapes a list for each, the least room first."""
    found = sorted(list(room) for room in capacities.values())
    return found[0] if len(found) == 1 else found


def dataset_summary(settings: CodesignSettings, test: Split) -> dict[str, Any]:
    """The data set as the summary names it."""
    return {
        "name": settings.data.name,
        "split": settings.data.evaluation,
        **({"parts": dict(test.parts)} if len(test.parts) > 1 else {}),
        "unit": make_dataset(settings.data).unit,
        "examples": len(test),
        "class_names": list(test.class_names),
    }


def language_summary(settings: CodesignSettings, test: Split, losses: dict[str, np.ndarray]) -> dict[str, Any]:
    """Loss of the next token, perplexity and bits a character of each arm; empty of data whose task is another.

    Args:
        settings: of the run.
        test: what was evaluated on; where it is of several splits, each of two windows or more is told too.
        losses: by arm, (n,) or (chips, n) nats a token of each window; of chips the mean is told.
    """
    if make_dataset(settings.data).task != "next_word":
        return {}
    characters, tokens = test.extra["characters"], test.labels.shape[1]

    def of(part: slice) -> dict[str, dict[str, float]]:
        return {
            name: dataclasses.asdict(language(np.atleast_2d(found).mean(axis=0)[part], tokens, characters[part]))
            for name, found in losses.items()
        }

    ends = np.cumsum([0, *(count for _, count in test.parts)])
    parts = {name: of(slice(*ends[at : at + 2])) for at, (name, count) in enumerate(test.parts) if count > 1}
    return {
        "language": {
            "tokens": tokens,
            "characters_per_token": float(characters.sum() / test.labels.size),
            "all": of(slice(None)),
            **({"parts": parts} if len(parts) > 1 else {}),
        }
    }


def controls(
    settings: CodesignSettings,
    model: Model,
    trained: dict[str, TrainState],
    batches: list[Batch],
    kept: np.ndarray,
    key: jax.Array,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Accuracy of the trained controls that need a scorer; the same masked pass as the perfect chip's.

    What keeps given fractions was trained at the target ones and is measured at ``kept``, those of the design.

    Returns:
        The numbers of the summary, and of each control ``right`` and ``loss`` example by example.
    """
    found, answers = {}, {}
    for number, kind in enumerate(arm for arm in ARMS if arm != "dense"):
        if kind in trained:
            control = with_scorer(settings, model, trained[kind], kind)
            inputs = control.inputs(None, None)
            design = control.evaluator.method.scheduled(inputs.design, jnp.asarray(kept, jnp.float32))
            inputs = dataclasses.replace(inputs, design=design)
            noise = jax.random.fold_in(key, 10 + number)
            run, task = control.evaluator.masked(), control.evaluator.task
            counted = evaluate.count(run, task, batches, inputs, noise)
            found[kind] = counted.accuracy
            found[f"{kind}_pruned_fraction"] = float(1.0 - np.mean(counted.kept_fraction))
            answers[kind] = counted.each
    return found, answers


def pictures(
    settings: CodesignSettings,
    trained: Trained,
    dense_params,
    batches: list[Batch],
    inputs: ScorerInputs,
    key: jax.Array,
    test: Split,
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Kept tokens, score distributions and agreement with attention, on one chip."""
    masked = trained.evaluator.masked()
    model, dataset = trained.evaluator.model, make_dataset(settings.data)

    # Tokens that the network puts in front of what the data show: all that it protects, unless the data have them.
    example = dataset.show({name: column[:1] for name, column in batches[0].items()})
    first = model.length - (test.facts.length if "real" in example else model.tokens)

    @jax.jit
    def attention_received(batch):
        _, attention = dense_forward(model, dense_params, batch, needs={"received"})
        assert attention.received is not None
        return jnp.mean(attention.received, axis=2)[:, :, first:]

    outs, spearman, recall = [], [], []
    for batch in batches:
        out = masked(batch, inputs, evaluate.example_keys(jax.random.fold_in(key, 100), batch["number"]))
        real = batch["weight"] > 0
        alive, voltage, logits, counted, received = jax.device_get(
            (out.alive, out.voltage, out.logits, spread(out.counted, len(real)), attention_received(batch))
        )
        score, kept = voltage.max(axis=-1)[:, :, first:], alive.any(axis=-1)[:, :, first:]
        s, r = agreement.attention_agreement(score[:, real], kept[:, real], received[:, real], counted[real][:, first:])
        spearman.append(s)
        recall.append(r)
        outs.append((alive, voltage, logits, counted))
    alive, voltage, logits, counted = outs[0]
    # Spread over the batch: stored sets are often in order of class.
    examples = int(batches[0]["weight"].sum())
    shown = np.unique(np.linspace(0, examples - 1, settings.evaluation.pictures).round().astype(int))
    kept_LxBxT = alive.any(axis=-1)[:, :, first:]
    score_LxBxT = voltage.max(axis=-1)[:, :, first:]
    edges, keep, prune = histograms(kept_LxBxT, score_LxBxT, counted[:, first:], trained.evaluator.scored)
    arrays = {
        **dataset.show({name: column[shown] for name, column in batches[0].items()}),
        "kept": np.moveaxis(kept_LxBxT, 0, 1)[shown],
        "score_v": np.moveaxis(score_LxBxT, 0, 1)[shown],
        "score_hist_v": edges,
        "score_hist_keep": keep,
        "score_hist_prune": prune,
    }
    if batches[0]["label"].ndim == 1:
        arrays |= {"labels": batches[0]["label"][shown], "predicted": logits[shown].argmax(axis=-1)}
    grid = getattr(model, "grid", None)
    if grid is not None:  # a network whose tokens lie in rows and columns says so
        arrays["grid"] = np.asarray(grid)
    method = trained.evaluator.method
    if inputs.chip is not None and isinstance(method, Atis):
        every_layer = jax.jit(jax.vmap(method.reference_v, in_axes=(0, 0, None, 0)))
        arrays["threshold_v"] = np.asarray(every_layer(inputs.design, inputs.chip, inputs.environment, inputs.state))
    unscored = [layer for layer in range(model.depth) if layer not in trained.evaluator.scored]
    mean_spearman = np.concatenate(spearman, axis=1).mean(axis=1)
    mean_recall = np.concatenate(recall, axis=1).mean(axis=1)
    mean_spearman[unscored], mean_recall[unscored] = np.nan, np.nan
    return arrays, mean_spearman, mean_recall


def histograms(kept_LxBxT: np.ndarray, score_LxBxT: np.ndarray, counted_BxT: np.ndarray, scored: range):
    """Per layer, edges and counts of the scores of tokens kept and pruned there (of those that reached it)."""
    edges, keep, prune = [], [], []
    before = counted_BxT
    for layer, (kept, score) in enumerate(zip(kept_LxBxT, score_LxBxT, strict=True)):
        low, high = (
            (float(score[counted_BxT].min()), float(score[counted_BxT].max())) if layer in scored else (-1.0, 1.0)
        )
        edge = np.linspace(low, max(high, low + 1e-6), HISTOGRAM_BINS + 1)
        has_scorer = layer in scored
        edges.append(edge)
        keep.append(np.histogram(score[before & kept], edge)[0] * has_scorer)
        prune.append(np.histogram(score[before & ~kept], edge)[0] * has_scorer)
        before = kept
    return np.stack(edges), np.stack(keep), np.stack(prune)


def realised_layer(trained: Trained, inputs: ScorerInputs, layer: int):
    """One layer's array as programmed on the chip, both halves of a differential one."""
    spec, hardware = trained.evaluator.spec, trained.evaluator.hardware
    design, chip, state = (layer_of(part, layer) for part in (inputs.design, inputs.chip, inputs.state))
    assert inputs.environment is not None
    return realise_design(design, spec, hardware, state.query, chip, inputs.environment)


def transfer_curves(settings: CodesignSettings, trained: Trained, inputs: ScorerInputs) -> dict[str, np.ndarray]:
    """OTA and DAC transfer curves of the first scored layer of the chip used.

    The perfect curves are at the chip's temperature, and each OTA's current is scaled by what its own perfect curve
    would need to match the first one's: the curves differ by the chip's errors, not by temperature or weights.
    """
    first, spec = trained.evaluator.scored[0], trained.evaluator.spec
    design = layer_of(inputs.design, first)
    converter = designed_hardware(design, spec, trained.evaluator.hardware).dac
    gates = input_gates(design, spec)
    built = np.arange(spec.inputs) if gates is None else np.flatnonzero(gates)
    realised = realised_layer(trained, inputs, first)
    voltage_v = jnp.linspace(-1.5, 1.5, CURVE_POINTS) * converter.full_scale_v
    nominal = perfect_inputs(trained, trained.evaluator.model.depth)
    nominal = dataclasses.replace(nominal, environment=inputs.environment)
    perfect = realised_layer(trained, nominal, first)
    current_a, wanted_a = (np.asarray(ota_curves_a(array, voltage_v))[0][built] for array in (realised, perfect))
    largest = np.argsort(-np.abs(wanted_a[:, -1]))[:CURVES]
    scale = wanted_a[largest[0], -1] / wanted_a[largest, -1]
    curves = {
        "ota_v": np.asarray(voltage_v),
        "ota_current": current_a[largest] * scale[:, None],
        "ota_current_nominal": wanted_a[largest[0]],
        "ota_temperature_k": np.asarray(celsius_to_kelvin(settings.evaluation.temperature_c[0])),
    }
    if converter.resolution is not None:
        bits = int(converter.resolution)
        levels = jax.vmap(dac_levels_v, (1, None))
        curves["dac_code"] = np.arange(2**bits)
        curves["dac_v"] = np.asarray(levels(realised.dac_weights[:bits], converter.full_scale_v))[built[:CURVES]]
        curves["dac_v_nominal"] = np.asarray(levels(perfect.dac_weights[:bits], converter.full_scale_v))[0]
    return curves


def charged(
    costs: Bill, bill: Callable[[Bill, Float[Array, "L"]], Ledger], kept: np.ndarray, each: Sequence[evaluate.Each]
) -> Ledger:
    """The ledger at ``kept``; where examples differ in length the mean of theirs, as in ``energy_summary``."""
    if not each:
        return bill(costs, jnp.asarray(kept))
    counted, left = (np.concatenate([getattr(one, name) for one in each]) for name in ("counted", "kept"))
    return jax.tree.map(jnp.mean, costs.of_each(bill, counted, left))


def operations_summary(
    settings: CodesignSettings, model: Model, trained: Trained, kept: np.ndarray, each: Sequence[evaluate.Each]
) -> dict[str, float]:
    """Multiply-accumulates of an example, the method's own included, beside those of the dense network."""
    costs, method, state = counting(run_bill(settings, model)), trained.evaluator.method, trained.state
    dense, done = (
        float(charged(costs, bill, kept, each).total_j)
        for bill in (
            lambda costs, kept: costs.dense(),
            lambda costs, kept: method.bill(costs, kept, state.design, state.scorer_state),
        )
    )
    return {"dense": dense, "done": done, "share": done / dense}


def energy_summary(
    settings: CodesignSettings,
    model: Model,
    trained: Trained,
    kept: np.ndarray,
    each: Sequence[evaluate.Each] = (),
) -> dict[str, Any]:
    """The ledger, and what no pruning and digital scoring would cost.

    Args:
        settings: of the run.
        model: the network.
        trained: network and design.
        kept: (L,) mean kept fractions.
        each: of examples of different lengths, what every chip finds of each. The ledgers are then the mean over
            examples and chips, each example at its own length and its own kept tokens; else one at ``kept``.
    """
    costs, method = run_bill(settings, model, trained.state.params), trained.evaluator.method
    state = trained.state

    def joules(bill: Callable[[Bill, Float[Array, "L"]], Ledger]) -> Ledger:
        return charged(costs, bill, kept, each)

    spent = joules(lambda costs, kept: method.bill(costs, kept, state.design, state.scorer_state))
    rivals = {}
    if isinstance(method, Atis):
        rivals["digital"] = joules(lambda costs, kept: method.ledger(costs).digital(kept, state.design, folded=False))
        if method.ledger(costs).folds:
            rivals["digital_folded"] = joules(
                lambda costs, kept: method.ledger(costs).digital(kept, state.design, folded=True)
            )
    return {
        "dense_j": float(joules(lambda costs, kept: costs.dense()).total_j),
        "total_j": float(spent.total_j),
        "scoring_j": float(spent.scoring_j),
        "ledger_j": {line: float(value) for line, value in spent.as_dict().items()},
        **{f"{name}_j": float(one.total_j) for name, one in rivals.items()},
        **{f"{name}_scoring_j": float(one.scoring_j) for name, one in rivals.items()},
        **({"examples": len(each[0].number)} if each else {}),
        "preset": settings.energy.preset,
    }
