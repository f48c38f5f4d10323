"""Settings that contradict each other, and runs to start from that cannot serve: one clear message each."""

from __future__ import annotations

import dataclasses
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_training import SETTINGS, changed, split

import experiments.build
import experiments.codesign
import experiments.measure
from atis_jax.circuits.presets import get_preset
from atis_jax.config import config_hash, results_part, stored_hash, to_json
from atis_jax.data.dataset import Facts
from atis_jax.data.images import ImagesSpec
from atis_jax.data.text import ToyTextSpec
from atis_jax.models.encoder import EncoderSpec
from atis_jax.scoring.rivals.random import RandomSpec
from atis_jax.training.checkpoints import Checkpoints
from atis_jax.training.state import create_state, optimiser
from atis_jax.validation import SettingError, UserError
from experiments.codesign import dense_from
from experiments.rundir import RunDirError, open_run
from experiments.settings import CodesignSettings


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            dict(scorer=dict(inputs=65)),
            r"config.scorer.inputs = 65 exceeds the 64 array inputs of hardware.preset 'nominal'; lower scorer.inputs",
        ),
        (
            dict(scorer=dict(inputs=17, projection="selection")),
            r"config.scorer.inputs = 17 exceeds model.width = 16: selection .*another projection",
        ),
        (
            dict(scorer=dict(groups=3, arrangement="grouped")),
            r"config.scorer.groups = 3 does not divide model.heads = 2; every head group needs the same number",
        ),
        (
            dict(energy=dict(preset="horowitz_45nm", dac="sar_8b"), hardware=dict(dac_bits=10)),
            r"config.energy.dac = 'sar_8b' is a published converter of 8 bits, and the hardware's has 10",
        ),
        (
            dict(energy=dict(preset="horowitz_45nm", core="bias", token_time_s=1e-6)),
            r"config.energy.token_time_s = 1e-06 s is shorter than the .*e-06 s that the circuit needs",
        ),
        (
            dict(energy=dict(preset="horowitz_45nm", core="bias", token_time_s=4e-6), hardware=dict(token_time_s=2e-6)),
            r"config.energy.token_time_s = 4e-06 with config.hardware.token_time_s = 2e-06: the time that is simulated",
        ),
        (dict(scorer=RandomSpec()), r"config.scorer.kind = 'random' .*put 'random' into config.compare"),
        (
            dict(evaluation=dict(capacities=(9,))),
            r"config.evaluation.capacities has 1 entries for 2 layers; give one per layer, or none",
        ),
        (
            dict(codesign=dict(chips_per_step=3)),
            r"config.codesign.chips_per_step = 3 does not divide data.batch_size = 8; every chip",
        ),
        (
            dict(scorer=dict(adaptive_rate_v=1e-3), codesign=dict(threshold="tracked")),
            r"config.scorer.adaptive_rate_v = 0.001 with config.codesign.threshold = 'tracked'.*'gradient'",
        ),
        (
            dict(scorer=dict(reads="first_layer", prototype="ema")),
            r"scorer.prototype = 'ema' with scorer.reads = 'first_layer'.*set prototype = 'static'",
        ),
        (
            dict(scorer=dict(reads="first_layer", shared=True)),
            r"scorer.shared = True with scorer.reads = 'first_layer'.*one array.*set shared = False",
        ),
        (
            dict(scorer=dict(reads="first_layer", hysteresis=True)),
            r"scorer.hysteresis = True with scorer.reads = 'first_layer'.*set hysteresis = False",
        ),
        (
            dict(scorer=dict(reads="first_layer", adaptive_rate_v=0.1)),
            r"scorer.adaptive_rate_v = 0.1 with scorer.reads = 'first_layer'.*adaptive_rate_v = 0",
        ),
        (dict(pruning=dict(first_layer=2)), r"pruning.first_layer = 2 leaves no layer of 2 .*at most 1"),
        (
            dict(experiment="dense", start_from="runs/x"),
            r"config.start_from = 'runs/x' with config.experiment = 'dense'.*start_from = None",
        ),
        (dict(compare=("random", "random")), r"config.compare = .* has 'random' twice; give each once"),
        (dict(compare=("rnadom",)), r"config.compare\[0\] = 'rnadom' is not one of: dense, digital, random.*'random'"),
    ],
)
def test_contradictions_name_field_value_and_remedy(sections, message):
    with pytest.raises(SettingError, match=message):
        changed(**sections)


@pytest.mark.parametrize(
    ("section", "fields", "message"),
    [
        ("scorer", dict(groups=2), r"scorer.groups = 2 with scorer.arrangement = 'consensus'.*groups = 1"),
        ("scorer", dict(projection="fourier"), r"scorer.projection = 'fourier' is not one of: learned, gaussian"),
        ("scorer", dict(inputs=0), r"scorer.inputs = 0 is below its lower bound 1"),
        ("hardware", dict(preset="nominl"), r"hardware.preset = 'nominl' is not one of: .*did you mean 'nominal'"),
        ("hardware", dict(bias="ptatt"), r"hardware.bias = 'ptatt' is not one of: .*did you mean 'ptat'"),
        ("hardware", dict(dac_bits=0), r"hardware.dac_bits = 0 is below its lower bound 1"),
        ("hardware", dict(imperfections=-1.0), r"hardware.imperfections = -1.0 is below its lower bound 0"),
        (
            "hardware",
            dict(imperfections=1000.0),
            r"hardware.imperfections = 1000.0 is too large: .*ota.additive_sigma = .* must be zero or more, and below",
        ),
        ("hardware", dict(preset="ideal", programming_bits=4), r"config.hardware: .*min_current_a = 0.0 must be above"),
        ("hardware", dict(attenuation=0.3), r"config.hardware.attenuation = 0.3 has no effect on OTAs of law .tanh."),
        ("codesign", dict(temperature_c=(70.0, 0.0)), r"codesign.temperature_c = .* must be \(lowest, highest\)"),
        ("codesign", dict(temperature_c=(27.0,)), r"codesign.temperature_c = .* must be \(lowest, highest\)"),
        (
            "codesign",
            dict(threshold_learning_rate=1.0),
            r"threshold_learning_rate = 1.0 .*'gradient'.*at most 0.5",
        ),
        ("tune", dict(clip=0.0), r"stage.clip = 0.0 is not above its lower bound 0.0"),
        ("evaluation", dict(temperature_c=()), r"evaluation.temperature_c = \(\) is empty; give 1 or more"),
        ("pruning", dict(kept=()), r"pruning.kept = \(\) is empty"),
        ("evaluation", dict(capacities=(9, 0)), r"evaluation.capacities\[1\] = 0 is below its lower bound 1"),
        ("energy", dict(preset="paper"), r"energy.preset = 'paper' is not one of: .*paper_4_2"),
    ],
)
def test_sections_refuse_by_name(section, fields, message):
    with pytest.raises(SettingError, match=message):
        dataclasses.replace(getattr(SETTINGS, section), **fields)


def test_only_runs_with_chips_must_deal_their_batches_to_them():
    three = dict(chips_per_step=3)
    assert changed(codesign=three, experiment="dense").codesign.chips_per_step == 3
    assert changed(codesign=three, scorer=dict(kind="digital")).codesign.chips_per_step == 3


def test_the_hardware_is_the_preset_with_its_bias_replaced_on_demand():
    assert SETTINGS.hardware.build().thermal.bias == "constant"
    assert dataclasses.replace(SETTINGS.hardware, bias="ptat").build().thermal.bias == "ptat"


def test_bits_and_imperfections_of_the_preset_are_replaced_on_demand():
    plain = SETTINGS.hardware.build()
    assert plain == get_preset("nominal")
    built = dataclasses.replace(SETTINGS.hardware, dac_bits=3, programming_bits=5, imperfections=2.0).build()
    assert (built.dac.bits, built.floating_gate.bits) == (3, 5)
    assert built.ota.offset_sigma_v == pytest.approx(2 * plain.ota.offset_sigma_v)
    assert built.tia.bandwidth_hz == pytest.approx(4 * plain.tia.bandwidth_hz), "noise power goes with the square"


def test_capacities_that_do_not_fit_the_images_stop_the_run_before_it_trains(monkeypatch):
    monkeypatch.setattr(experiments.codesign, "load_split", lambda *_: split())
    monkeypatch.setattr(experiments.codesign, "train_stages", lambda *_: pytest.fail("it trained"))
    for capacities, message in [((18, 5), r"capacities\[0\] = 18 .* at most the 17"), ((5, 6), r"capacities\[1\] = 6")]:
        with pytest.raises(SettingError, match=message):
            experiments.codesign.run(changed(evaluation=dict(capacities=capacities)), None)


@pytest.mark.slow
def test_a_wrong_start_from_makes_no_folder(tmp_path):
    settings, path, key = changed(start_from=str(tmp_path / "nothing")), tmp_path / "run", jax.random.key(0)
    model, stages = experiments.build.build_model(settings, split()), experiments.codesign.plan(settings, key)
    with pytest.raises(UserError, match="holds no run"), open_run(path, settings) as folder:
        experiments.codesign.train_stages(settings, folder, model, stages, split(), key)
    assert not path.exists()


def test_training_and_measuring_adapt_to_the_same_targets(monkeypatch):
    """The adaptive threshold watches tokens that reach it: of those the first layer leaves, 0.4/0.6 are to stay."""
    settings, targets = changed(scorer=dict(adaptive_rate_v=1e-3)), []
    made = experiments.build.make_method

    def make_method(spec, hardware, target):
        targets.append(np.asarray(target))
        return made(spec, hardware, target)

    monkeypatch.setattr(experiments.build, "make_method", make_method)
    model, state = experiments.build.build_model(settings, split()), types.SimpleNamespace(params={})
    experiments.codesign.codesign_setup(settings, model, "analog")
    experiments.chips.with_scorer(settings, model, state, "analog")
    assert len(targets) == 2
    for target in targets:
        np.testing.assert_allclose(target, [0.6, 0.4 / 0.6], rtol=1e-6)


def state_of(weights=(0.0, 1.0, 2.0), **codesign):
    transform = optimiser(SETTINGS.dense, dataclasses.replace(SETTINGS.codesign, **codesign))
    return create_state({"weights": jnp.asarray(weights)}, (), (), jax.random.key(0), transform)


STATE = state_of()


@pytest.fixture
def finished(tmp_path):
    """A run whose dense stage is finished, as far as another run looks at it."""
    folder = tmp_path / "finished"
    folder.mkdir()
    (folder / "config.json").write_text(to_json(SETTINGS))
    store = Checkpoints(folder / "checkpoints" / "dense", config_hash(SETTINGS))
    store.save(SETTINGS.dense.steps, STATE, {})
    return folder


def starting(folder, **sections) -> CodesignSettings:
    return changed(start_from=str(folder), **sections)


def test_a_finished_run_lends_its_dense_network_and_is_not_touched(finished):
    # What a run that is still going leaves in passing; clearing it away would break that run.
    (finished / "checkpoints" / "dense" / ".writing-00000099").mkdir()
    before = sorted(path.name for path in finished.rglob("*"))
    # Another scorer, another seed, other controls: the dense network is the same.
    settings = starting(finished, scorer=dict(inputs=4), seed=3, compare=())
    # And so are other optimisers: only the network is read.
    fresh = state_of((9.0, 9.0, 9.0), threshold="tracked")
    assert jax.tree.structure(fresh.opt_state) != jax.tree.structure(STATE.opt_state)
    np.testing.assert_array_equal(dense_from(settings, fresh).params["weights"], STATE.params["weights"])
    assert sorted(path.name for path in finished.rglob("*")) == before


def test_a_run_goes_on_with_the_teacher_it_began_with_or_not_at_all(finished, tmp_path, monkeypatch):
    class Begun(Exception):
        """The stages would be trained now."""

    def begin(folder, _):
        folder.metrics.write_text('{"step": 1}')  # without a step the folder would be free again
        raise Begun

    monkeypatch.setattr(experiments.codesign, "fresh_dense", lambda *_: STATE)
    monkeypatch.setattr(experiments.codesign, "steps_done", begin)
    settings = starting(finished)

    def launch() -> None:
        with open_run(tmp_path / "run", settings) as folder:
            experiments.codesign.train_stages(settings, folder, None, [], split(), jax.random.key(0))

    for _ in range(2):
        with pytest.raises(Begun):
            launch()
    trained_again = dataclasses.replace(STATE, params={"weights": STATE.params["weights"].at[1].add(1e-6)})
    store = Checkpoints(finished / "checkpoints" / "dense", config_hash(SETTINGS))
    store.save(SETTINGS.dense.steps, trained_again, {})
    with pytest.raises(RunDirError, match=f"another network or design than {finished} now holds .*new --workdir"):
        launch()


def test_a_run_from_before_a_setting_existed_still_lends_its_network(finished):
    """Its checkpoints carry the hash of the config as it was stored, without the new field."""
    stored = json.loads((finished / "config.json").read_text())
    del stored["loss"]["swing"]
    (finished / "config.json").write_text(json.dumps(stored))
    record = finished / "checkpoints" / "dense" / f"step_{SETTINGS.dense.steps:08d}" / "checkpoint.json"
    old = json.loads(record.read_text()) | {"config_hash": stored_hash(results_part(CodesignSettings, stored))}
    del old["sha256"]  # nor had they a checksum
    record.write_text(json.dumps(old))
    np.testing.assert_array_equal(dense_from(starting(finished), STATE).params["weights"], STATE.params["weights"])


def test_a_folder_that_holds_no_run_is_named_and_left_alone(tmp_path):
    with pytest.raises(
        UserError, match=r"config.start_from = '.*nowhere' holds no run .*give the folder of a codesign"
    ):
        dense_from(starting(tmp_path / "nowhere"), STATE)
    (tmp_path / "config.json").write_text("{not json")
    with pytest.raises(UserError, match="holds no run"):
        dense_from(starting(tmp_path), STATE)
    (tmp_path / "config.json").write_text('{"experiment": "tiny"}')
    with pytest.raises(UserError, match="holds no run .*config.experiment = 'tiny'"):
        dense_from(starting(tmp_path), STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_another_network_is_listed_field_by_field(finished):
    settings = starting(finished, model=dict(mlp_width=24), dense=dict(steps=7))
    with pytest.raises(UserError) as caught:
        dense_from(settings, STATE)
    for part in ("trained another dense network", "config.model.mlp_width: 16 there, 24 now", "start_from=None"):
        assert part in str(caught.value)
    with pytest.raises(UserError, match="config.dense.steps: 6 there, 7 now"):
        dense_from(starting(finished, dense=dict(steps=7)), STATE)


def test_another_data_set_is_named(finished):
    settings = starting(finished, data=ImagesSpec(name="cifar10", augmentation="none", batch_size=8))
    with pytest.raises(
        UserError, match="was trained on 'numbered', this config is for 'cifar10'; use a run on the same"
    ):
        dense_from(settings, STATE)


def test_an_unfinished_run_says_how_far_it_is(finished):
    store = Checkpoints(finished / "checkpoints" / "dense", config_hash(SETTINGS))
    store.save(4, STATE, {})  # saving an earlier step drops the later one
    with pytest.raises(UserError, match="stopped at step 4 of its 6 dense steps; finish that run first"):
        dense_from(starting(finished), STATE)


def test_a_run_that_was_lent_its_network_itself_names_the_lender(finished):
    stored = json.loads(to_json(SETTINGS)) | {"start_from": "runs/first"}
    (finished / "config.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match="trained no dense network itself, it started from 'runs/first'; give that"):
        dense_from(starting(finished), STATE)


def test_a_camera_is_not_charged_for_words():
    settings = changed(
        data=ToyTextSpec(batch_size=8), model=EncoderSpec(width=16, heads=2, depth=2), energy=dict(camera=True)
    )
    model = experiments.build.make_model(settings.model, Facts(classes=2, vocabulary=20, length=8))
    with pytest.raises(SettingError, match=r"config.energy.camera = True with config.model.kind = 'encoder'"):
        settings.check_model(model)
