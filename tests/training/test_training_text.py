"""Co-design on sentences of different length: the stages run, and the design evaluates as that of images does.

One layer: what a cascade of layers does with padding is asked in ``models_tests/test_models_padding.py``.
"""

from __future__ import annotations

import types

import jax
import numpy as np
import pytest

from atis_jax.data.pipeline import by_shape, eval_batches
from atis_jax.data.registry import load_split
from atis_jax.data.text import ToyTextSpec
from atis_jax.energy.spec import EnergySpec
from atis_jax.models.encoder import EncoderSpec
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.training import agreement, evaluate
from atis_jax.training.spec import CodesignSpec, LossSpec, PruningSpec, StageSpec
from experiments import chips, codesign, measure
from experiments.build import build_model
from experiments.metrics import read_metrics
from experiments.rundir import open_run
from experiments.settings import CodesignSettings, EvaluationSpec

pytestmark = pytest.mark.slow
KEPT = (0.6,)


SETTINGS = CodesignSettings(
    data=ToyTextSpec(
        train_examples=256, eval_examples=90, length=16, buckets=(10, 16), shortest=6, batch_size=32, eval_batch_size=40
    ),
    model=EncoderSpec(width=16, depth=1, heads=2, mlp_width=24),
    scorer=ScorerSpec(inputs=8),
    energy=EnergySpec(preset="horowitz_45nm", weights="sram_1m", tokens="sram_32k"),
    dense=StageSpec(steps=60, warmup=0.2, learning_rate=1e-2),
    tune=StageSpec(steps=45, warmup=0.2, learning_rate=3e-3),
    pruning=PruningSpec(kept=KEPT),
    loss=LossSpec(attention=0.1),
    codesign=CodesignSpec(chips_per_step=4),
    evaluation=EvaluationSpec(chips=2),
    compare=(),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Every stage of a run in a folder of its own, and what there is to evaluate."""
    train, root = load_split(SETTINGS.data, "train"), jax.random.key(SETTINGS.seed)
    model = build_model(SETTINGS, train)
    with open_run(tmp_path_factory.mktemp("text") / "run", SETTINGS) as folder:
        trained = codesign.train_stages(SETTINGS, folder, model, codesign.plan(SETTINGS, root), train, root)
    return types.SimpleNamespace(
        model=model,
        trained=trained,
        train=train,
        batches=list(eval_batches(SETTINGS.data)),
        records=read_metrics(folder.metrics),
        design=chips.with_scorer(SETTINGS, model, trained["codesign"], "analog"),
    )


def test_every_stage_trains(run):
    assert run.trained.keys() == {"dense", "codesign"}
    of = {name: [one for one in run.records if one["stage"] == name] for name in run.trained}
    assert np.mean([one["accuracy"] for one in of["dense"][-5:]]) > 0.6, "a quarter is chance"
    last = of["codesign"][-1]
    assert np.isfinite(last["loss"]) and 0 < last["energy_ratio"] < 1.5
    np.testing.assert_allclose(last["kept_per_layer"], KEPT, atol=0.15)


def test_masked_and_gathered_agree_on_every_chip_and_count_words_alone(run):
    evaluator = run.design.evaluator
    perfect = chips.perfect_inputs(run.design, run.model.depth)
    groups = by_shape(run.batches)
    ideals = {
        shape: evaluate.count(evaluator.masked(), evaluator.task, one, perfect, None) for shape, one in groups.items()
    }
    ideal = evaluate.added(list(ideals.values()))
    words = sum(int(batch["real"].sum()) for batch in run.batches)
    assert (ideal.examples, ideal.counted) == (90, words) and words < 90 * 16
    np.testing.assert_allclose(ideal.kept_fraction, KEPT, atol=0.25)

    key = jax.random.key(1)
    made = chips.fabricate(SETTINGS, run.design, run.train, key, key)
    found = chips.count_chips(made, run.batches, ideals)
    assert found.overflow == 0 and len(found.accuracy) == 2
    inputs = made.inputs(0)
    agreed = agreement.added(
        [
            agreement.masked_against_gathered(evaluator, found.capacities[shape], group, inputs, key)
            for shape, group in groups.items()
        ]
    )
    assert agreed.unequal_outside == 0 and agreed.overflow == 0 and agreed.max_abs_logit < 1e-4
    assert agreed.decisions <= words, "padding is never decided about"
    assert agreed.equal >= 0.999 * agreed.decisions and agreed.examples_compared > 80


def test_what_a_report_draws_of_sentences_is_their_words(run):
    perfect = chips.perfect_inputs(run.design, run.model.depth)
    dense, test = run.trained["dense"].params, load_split(SETTINGS.data, "test")
    arrays, *_ = measure.pictures(SETTINGS, run.design, dense, run.batches[:1], perfect, jax.random.key(2), test)
    assert not {"images", "grid"} & arrays.keys()
    assert arrays["real"].shape == arrays["kept"][:, 0].shape and not arrays["real"].all()
