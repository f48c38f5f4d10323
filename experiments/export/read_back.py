"""An export read back, run, and compared with the design it was made from."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax import rng
from atis_jax.circuits.chip import Chip, nominal_chip, nominal_environment
from atis_jax.circuits.hardware import Hardware
from atis_jax.data.dataset import Split
from atis_jax.data.pipeline import eval_batches
from atis_jax.export.bundle import Bundle
from atis_jax.numerics import layer_of
from atis_jax.scoring.atis.analog import read_scores, realise_design
from atis_jax.scoring.atis.calibration import CalibrationTokens
from atis_jax.scoring.atis.design import Design, layer_design
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.registry import make_method
from atis_jax.training import evaluate
from atis_jax.training.calibration_tokens import record_tokens
from experiments.build import fed
from experiments.chips import Trained, perfect_inputs
from experiments.trained_run import TrainedRun


@dataclasses.dataclass(frozen=True)
class ReferenceTokens:
    """Real tokens at each layer's array: what decisions are compared on.

    Attributes:
        inputs: (L, t, N) array inputs u.
        score_v: (L, t, G) of the design on the perfect chip, V.
        keep: (L, t, G) its decisions.
    """

    inputs: np.ndarray
    score_v: np.ndarray
    keep: np.ndarray


def layer_tokens(run: TrainedRun, split: Split, examples: int, count: int, key: jax.Array) -> CalibrationTokens:
    """``count`` tokens of each layer of the perfect chip, from the first ``examples`` of a split."""
    evaluator = run.trained.evaluator
    return record_tokens(
        evaluator.model,
        evaluator.params,
        evaluator.method,
        perfect_inputs(run.trained, evaluator.model.depth),
        fed(run.settings, split, slice(examples)),
        count,
        key,
        scored=evaluator.scored,
    )


def reference_tokens(run: TrainedRun, bundle: Bundle, count: int, examples: int, seed: int) -> ReferenceTokens:
    """``count`` tokens of each layer from the first test examples, drawn from those that reach its comparator."""
    found = layer_tokens(run, run.test, examples, count, rng.key_of(jax.random.key(seed), "evaluation"))
    inputs = np.asarray(found.inputs)
    keep = decisions(run.trained.state.design, bundle, run.trained.evaluator.hardware, inputs)
    return ReferenceTokens(inputs, np.asarray(found.score_v), keep)


def decisions(
    design: Design,
    bundle: Bundle,
    hardware: Hardware,
    inputs: np.ndarray,
    spec: ScorerSpec | None = None,
    chip: Chip | None = None,
) -> np.ndarray:
    """Keep bits (L, t, G) of a design (leaves (L, ...)) without read noise.

    Args:
        design: what is programmed.
        bundle: gives the queries, and the structure unless ``spec`` does.
        hardware: it runs on.
        inputs: (L, t, N) array inputs.
        spec: of the design, if it is not the bundle's.
        chip: leaves (L, ...); the perfect one if None.
    """
    spec = bundle.spec if spec is None else spec
    perfect, environment = nominal_chip(hardware, spec.geometry), nominal_environment(hardware)
    found = []
    for layer in range(bundle.layers):
        query = jnp.asarray(bundle.query[layer])
        made = perfect if chip is None else layer_of(chip, layer)
        realised = realise_design(layer_design(design, layer), spec, hardware, query, made, environment)
        scores_v = read_scores(realised, spec, jnp.asarray(inputs[layer]), None)
        found.append(np.asarray(scores_v > realised.threshold_v[: spec.groups]))
    return np.stack(found)


@dataclasses.dataclass(frozen=True)
class ReadBack:
    """How a design read back does.

    Attributes:
        perfect: accuracy on the perfect chip.
        chips: accuracy of each sampled chip.
        kept: (L,) mean kept fraction over the chips.
        equal: share of decisions on the tokens that equal the original's.
        layer_equal: the same, layer by layer.
    """

    perfect: float
    chips: np.ndarray
    kept: np.ndarray
    equal: float
    layer_equal: tuple[float, ...]

    def summary(self) -> dict[str, Any]:
        """The numbers of the run's summary."""
        return {
            "perfect": self.perfect,
            "hardware_mean": float(self.chips.mean()),
            "hardware_std": float(self.chips.std()),
            "hardware_worst": float(self.chips.min()),
            "chips": len(self.chips),
            "kept_per_layer": self.kept.tolist(),
            "decisions_equal": self.equal,
            "decisions_equal_per_layer": list(self.layer_equal),
        }


def read_back(
    run: TrainedRun,
    bundle: Bundle,
    design: Design,
    hardware: Hardware,
    spec: ScorerSpec,
    tokens: ReferenceTokens,
    chips: int,
    seed: int,
) -> ReadBack:
    """Accuracy on the test set, on the perfect chip and on sampled ones at the nominal temperature; decisions."""
    evaluator, settings = run.trained.evaluator, run.settings
    target = jnp.asarray(settings.pruning.kept_of_incoming(settings.model.depth))
    same = (spec, hardware) == (evaluator.spec, evaluator.hardware)
    # The run's own scorer where nothing differs: its programs are compiled already.
    method = evaluator.method if same else make_method(spec, hardware, target)
    mine = dataclasses.replace(evaluator, method=method)
    trained = Trained(mine, dataclasses.replace(run.trained.state, design=design))
    batches = list(eval_batches(settings.data, run.test))
    depth = settings.model.depth
    ideal = evaluate.count(mine.masked(), mine.task, batches, perfect_inputs(trained, depth), None)
    key, noise = (rng.key_of(jax.random.key(seed), name) for name in ("chip", "read_noise"))
    environment = nominal_environment(hardware)
    drawn = evaluate.chips_for(key, method, depth, chips)
    accuracies, kept = [], []
    for number in range(chips):
        inputs = trained.inputs(jax.tree.map(lambda leaf, n=number: leaf[n], drawn), environment)
        one = evaluate.count(mine.masked(), mine.task, batches, inputs, jax.random.fold_in(noise, number))
        accuracies.append(one.accuracy)
        kept.append(one.kept_fraction)
    equal = decisions(design, bundle, hardware, tokens.inputs, spec) == tokens.keep
    scored = list(bundle.scored)
    return ReadBack(
        ideal.accuracy,
        np.array(accuracies),
        np.mean(kept, axis=0),
        float(equal[scored].mean()),
        tuple(float(equal[layer].mean()) for layer in scored),
    )
