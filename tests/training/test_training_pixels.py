"""Co-design with the scorer on the sensor: what is refused, where it starts, what moves, and what is measured."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import resume_config
from tiny_training import QUICK, SETTINGS, SIDE, batch, changed, lively_params, split, started_on, weighted

import experiments.codesign
from atis_jax.circuits import Environment, get_preset, nominal_chip, nominal_environment, read, realise
from atis_jax.circuits.imperfections import IMPERFECTIONS
from atis_jax.config import from_config_dict
from atis_jax.models.forward import masked_forward
from atis_jax.models.passes import ScorerInputs
from atis_jax.models.registry import make_model
from atis_jax.numerics import layer_of
from atis_jax.scoring.atis.calibration import no_trim
from atis_jax.scoring.atis.design import inputs_of
from atis_jax.scoring.atis.initial import initial_design
from atis_jax.scoring.atis.program import program
from atis_jax.scoring.types import initial_state
from atis_jax.training import agreement, evaluate, losses
from atis_jax.training import cells as chip_cells
from atis_jax.training.calibration_tokens import record_tokens
from atis_jax.training.state import create_state
from atis_jax.training.step import codesign_step
from atis_jax.validation import SettingError, UserError
from experiments import chips
from experiments.build import build_method, build_model
from experiments.codesign import codesign_setup
from experiments.drift import experiment as drift
from experiments.drift.settings import DriftSettings
from experiments.ledgers import run_bill
from experiments.montecarlo.precision_sparsity import PrecisionSettings
from experiments.rundir import open_run
from experiments.settings import CodesignSettings
from experiments.trained_run import load_trained

PIXELS = dict(
    scorer=dict(source="pixels", projection="selection", inputs=4, arrangement="grouped", groups=2),
    pruning=dict(kept=(0.4,), scored_layers=1),
)
TRACKED = dict(threshold="tracked", threshold_learning_rate=1.0)
DEPTH, TOKENS, IMAGES = 2, 16, 48
quick_jit = functools.partial(jax.jit, compiler_options=QUICK)


def sensor(**sections) -> CodesignSettings:
    """The tiny settings with the scorer on the sensor, and more fields of some sections."""
    names = {*PIXELS, *sections}
    merged = {
        name: sections[name]
        if not isinstance(sections.get(name, {}), dict)
        else PIXELS.get(name, {}) | sections.get(name, {})
        for name in names
    }
    return changed(**merged)


SENSOR = sensor()
MODEL = build_model(SENSOR, split())
HARDWARE, METHOD = SENSOR.scorer_hardware(), build_method(SENSOR, "analog")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            dict(scorer=dict(projection="learned")),
            r"scorer.projection = 'learned' .*converted first; set projection = 's",
        ),
        (
            dict(scorer=dict(projection="sparse_sign")),
            r"scorer.projection = 'sparse_sign' with scorer.source = 'pixels'",
        ),
        (dict(scorer=dict(prototype="ema")), r"scorer.prototype = 'ema' .*set prototype = 'static'"),
        (
            dict(scorer=dict(shared=True)),
            r"scorer.shared = True with scorer.source = .pixels.*one layer alone.*shared = False",
        ),
        (
            dict(scorer=dict(trainable_bits=True)),
            r"scorer.trainable_bits = True .*no converter .*trainable_bits = False",
        ),
        (dict(scorer=dict(trainable_full_scale=True)), r"scorer.trainable_full_scale = True .*no converter"),
        (dict(scorer=dict(source="pixel")), r"scorer.source = 'pixel' is not one of: tokens, pixels.*'pixels'"),
        (
            dict(pruning=dict(scored_layers=None)),
            r"first_layer = 0 and pruning.scored_layers = None .*scored_layers = 1",
        ),
        (dict(pruning=dict(first_layer=1)), r"config.pruning.first_layer = 1 .*set first_layer = 0"),
        (
            dict(scorer=dict(reads="first_layer"), pruning=dict(first_layer=1, scored_layers=None)),
            r"first_layer = 1 with config.scorer.source = 'pixels'.*set first_layer = 0",
        ),
        (dict(model=dict(stem="conv")), r"config.model.stem = 'conv' .*a pruned patch would be needed .*'linear'"),
        (dict(hardware=dict(dac_bits=6)), r"config.hardware.dac_bits = 6 .*no converter .*hardware.dac_bits = None"),
    ],
)
def test_what_would_need_pruned_pixels_is_refused_by_name(sections, message):
    with pytest.raises(SettingError, match=message):
        sensor(**sections)


def test_a_patch_must_have_the_pixels_that_are_selected(monkeypatch):
    """Only the images say how many; before anything is trained."""
    monkeypatch.setattr(experiments.codesign, "load_split", lambda *_: split())
    monkeypatch.setattr(experiments.codesign, "train_stages", lambda *_: pytest.fail("it trained"))
    with pytest.raises(SettingError, match=r"config.scorer.inputs = 5 exceeds the 4 pixel values .*at most 4"):
        experiments.codesign.run(sensor(scorer=dict(inputs=5)), None)
    three = dataclasses.replace(split().facts, channels=3, mean=(0.5,) * 3, std=(0.3,) * 3)

    def check(settings, facts):
        settings.check_model(make_model(settings.model, facts))

    check(sensor(scorer=dict(inputs=12)), three)  # three channels have twelve
    check(changed(scorer=dict(inputs=12)), split().facts)  # and tokens are not pixels
    # Nor does the width bound what is selected from a patch.
    check(sensor(scorer=dict(inputs=48), model=dict(patch=4)), three)


def test_a_sensor_has_no_converters_and_all_else_of_the_preset():
    built = sensor(hardware=dict(preset="pessimistic", bias="ptat")).scorer_hardware()
    preset = get_preset("pessimistic")
    assert built.dac.bits is None and preset.dac.bits is not None
    wanted = dataclasses.replace(
        preset,
        dac=dataclasses.replace(preset.dac, bits=None),
        thermal=dataclasses.replace(preset.thermal, bias="ptat"),
    )
    assert built == wanted
    assert SETTINGS.scorer_hardware() == get_preset("nominal")


@pytest.fixture(scope="module")
def started():
    images = jnp.asarray(np.random.default_rng(0).random((IMAGES, SIDE, SIDE, 1)), jnp.float32)
    params = lively_params(MODEL)
    start = quick_jit(lambda key, params, images: started_on(key, MODEL, params, METHOD, images)[:2])
    return images, *start(jax.random.key(1), params, images)


def patches(images) -> np.ndarray:
    """(B, T, 4) scaled pixels, cut out one patch after another."""
    scaled = (np.asarray(images, np.float64)[..., 0] - 0.5) / 0.3
    cut = [
        scaled[:, r : r + 2, c : c + 2].reshape(len(scaled), 4) for r in range(0, SIDE, 2) for c in range(0, SIDE, 2)
    ]
    return np.stack(cut, axis=1)


@pytest.mark.slow
def test_scores_of_raw_patches_start_a_third_of_the_half_span_wide(started):
    images, design, _ = started
    assert design.projection.shape == (DEPTH, 4, 4)
    np.testing.assert_array_equal(design.projection[0], np.eye(4))
    first = layer_of(design, 0)
    chip, environment = nominal_chip(HARDWARE, SENSOR.scorer.geometry), nominal_environment(HARDWARE)

    @quick_jit
    def played(pixels):
        programmed = program(first, SENSOR.scorer, HARDWARE, jnp.zeros((2, 16)))
        realised = realise(programmed, HARDWARE, chip, environment)
        return realised, jax.vmap(read, (None, 0))(realised, inputs_of(first, pixels))

    realised, voltage = jax.device_get(played(jnp.asarray(patches(images).reshape(-1, 4), jnp.float32)))
    # Fitted to a tanh without rails: they change the spread by some percent.
    np.testing.assert_allclose(voltage.std(0), 0.5 / 3, rtol=0.25)
    assert np.all((voltage > realised.threshold_v).mean(0) > 0.9)


def test_fewer_inputs_take_the_pixels_that_vary_most():
    settings, params = sensor(scorer=dict(inputs=2)), lively_params(MODEL)
    spread = np.tile(np.array([[0.1, 1.0], [0.4, 0.2]], np.float32), (4, 4))[..., None]
    images = 0.5 + spread * (np.random.default_rng(0).random((IMAGES, SIDE, SIDE, 1), np.float32) - 0.5)
    method = build_method(settings, "analog")
    start = quick_jit(lambda images: started_on(jax.random.key(0), MODEL, params, method, images)[0])
    design = start(jnp.asarray(images))
    np.testing.assert_array_equal(design.projection[0], np.eye(4)[[1, 2]])


def stepped(settings: CodesignSettings, kind: str, steps: int, design=None):
    """The design before and after, and the metrics of every step."""
    setup, transform = codesign_setup(settings, MODEL, kind)
    step, params = quick_jit(codesign_step(setup, transform)), lively_params(MODEL)
    if design is None:
        images = jnp.asarray(np.random.default_rng(0).random((IMAGES, SIDE, SIDE, 1)), jnp.float32)
        start = quick_jit(lambda images: started_on(jax.random.key(1), MODEL, params, setup.method, images)[0])
        design = start(images)
    groups = setup.method.groups
    memory = jax.vmap(lambda _: initial_state(groups, 16))(jnp.arange(DEPTH))
    state, metrics = create_state(params, design, memory, jax.random.key(0), transform), []
    for number in range(steps):
        state, values = step(state, batch(number), lively_params(MODEL, seed=9))
        metrics.append(jax.device_get(values))
    return design, state.design, metrics


@pytest.mark.slow
@pytest.mark.parametrize(("threshold", "kind"), [("tracked", "analog"), ("gradient", "digital")])
def test_the_row_at_the_sensor_moves_and_the_others_do_not(kind, threshold):
    codesign = TRACKED if threshold == "tracked" else dict(threshold="gradient", threshold_learning_rate=0.1)
    settings = sensor(codesign=codesign, loss=dict(energy=5.0, keep=10.0))
    before, after, metrics = stepped(settings, kind, 12 if threshold == "tracked" else 35)
    for name in ("input_gain", "prototype", "bias_scale", "feedback", "threshold"):
        old, new = np.asarray(getattr(before, name)), np.asarray(getattr(after, name))
        np.testing.assert_array_equal(new[1:], old[1:], err_msg=name)
        assert np.abs(new[0] - old[0]).max() > 1e-4, name
    np.testing.assert_array_equal(after.projection, before.projection)
    for values in metrics:
        assert values["kept_per_layer"][0] == values["kept_per_layer"][1]
        assert np.isfinite(values["loss"])
    kept = [values["kept_per_layer"][0] for values in metrics]
    assert kept[0] > 0.85 and np.mean(kept[-3:]) < 0.75, "it closes in on 0.4"
    if threshold == "gradient":  # one scorer is one miss, however many layers live with it
        miss = metrics[5]["kept_per_layer"][0] - 0.4
        np.testing.assert_allclose(metrics[5]["loss_keep"], 10 * miss**2, rtol=1e-5)


@pytest.mark.slow
def test_random_pruning_is_trained_at_the_sensors_fraction():
    settings = sensor(scorer=dict(groups=1, arrangement="consensus"))
    shares = jnp.asarray(settings.pruning.kept_per_layer(DEPTH))
    _, after, metrics = stepped(settings, "random", 3, shares)
    np.testing.assert_array_equal(after, shares)
    # 6.4 of 16: six, and a seventh in four images of ten.
    for values in metrics[1:]:
        assert 6 / 16 <= values["kept_per_layer"][0] <= 7 / 16
        assert values["kept_per_layer"][0] == values["kept_per_layer"][1]


def test_layers_without_scorer_save_by_the_last_one_before_them():
    kept = jnp.asarray([0.9, 0.5, 0.3, 0.2])
    np.testing.assert_array_equal(losses.beyond_scored(kept, 4), kept)
    np.testing.assert_array_equal(losses.beyond_scored(kept, 2), kept[jnp.asarray([0, 1, 1, 1])])
    weight = jnp.asarray([1.0, 2.0, 3.0, 4.0])
    gradient = jax.grad(lambda kept: jnp.sum(weight * losses.beyond_scored(kept, 2)))(kept)
    np.testing.assert_array_equal(gradient, [1.0, 9.0, 0.0, 0.0])


def test_pruned_patches_are_neither_converted_nor_moved_nor_embedded_nor_normalised():
    """Each line of the ledger against that of the dense network, at 40 % of the patches."""
    settings = sensor(energy=dict(preset="horowitz_45nm", camera=True), scorer=dict(groups=1, arrangement="consensus"))
    costs, kept = run_bill(settings, MODEL), jnp.full(DEPTH, 0.4)
    assert costs.layers == (True, False)
    pixels = build_method(settings, "analog")
    tokens = type(pixels)(dataclasses.replace(settings.scorer, source="tokens"), pixels.hardware)

    @quick_jit
    def ledgers():
        design, memory = layer_design(settings), jax.vmap(lambda _: initial_state(1, 16))(jnp.arange(DEPTH))
        return costs.dense(), *(method.bill(costs, kept, design, memory) for method in (pixels, tokens))

    dense, spent, before = jax.device_get(ledgers())
    for line in ("sensor_adc_j", "sensor_link_j"):
        assert getattr(dense, line) > 0
        np.testing.assert_allclose(getattr(spent, line), 0.4 * getattr(dense, line), rtol=1e-6)
    np.testing.assert_allclose(spent.sensor_read_j, dense.sensor_read_j)  # all are read: they are scored
    held_j = 16 * settings.scorer.inputs * costs.energy.prices().pixel_hold_f * 1.8**2
    np.testing.assert_allclose(spent.dac_j, held_j, rtol=1e-5)
    assert spent.projection_j == 0.0 and spent.comparator_j > 0
    mac_j, head = float(costs.energy.prices().network_mac_j), 16 * 3
    np.testing.assert_allclose(spent.embedding_j, mac_j * (0.4 * 16 * 4 * 16 + head), rtol=1e-5)
    # Of 16 patches and CLS those are normalised that a layer's attention sees.
    np.testing.assert_allclose(spent.normalisation_j / dense.normalisation_j, (0.4 * 16 + 1) / 17, rtol=1e-5)
    assert before.dac_j > 0 and before.sensor_adc_j == dense.sensor_adc_j


def layer_design(settings: CodesignSettings):
    """Any design of the settings' shapes, leaves (L, ...)."""
    keys = jax.random.split(jax.random.key(0), DEPTH)
    return jax.vmap(lambda key: initial_design(key, settings.scorer, settings.scorer_hardware(), 4))(keys)


@pytest.fixture(scope="module")
def measured(started):
    """An evaluator, its design cutting through the scores, and three chips at 0, 27 and 70 C."""
    _, design, _ = started
    design = dataclasses.replace(design, threshold=jnp.full_like(design.threshold, 0.3))
    memory = jax.vmap(lambda _: initial_state(2, 16))(jnp.arange(DEPTH))
    state = create_state(
        lively_params(MODEL), design, memory, jax.random.key(0), codesign_setup(SENSOR, MODEL, "analog")[1]
    )
    trained = chips.with_scorer(SENSOR, MODEL, state, "analog")
    draw = quick_jit(lambda key: evaluate.chips_for(key, METHOD, DEPTH, 3))
    return trained, draw(jax.random.key(0)), np.asarray([273.15, 300.15, 343.15], np.float32)


@pytest.mark.slow
def test_masked_and_gathered_agree_on_chips_at_three_temperatures(measured):
    trained, chips, temperatures = measured
    batches, kept, task = [weighted(0), weighted(1)], [], trained.evaluator.task
    for number, kelvin in enumerate(temperatures):
        inputs = trained.inputs(layer_of(chips, number), Environment(jnp.asarray(kelvin), jnp.float32(1.8)))
        counted = evaluate.count(trained.evaluator.masked(), task, batches, inputs, jax.random.key(number))
        capacities = evaluate.capacities_for(counted.largest, MODEL, trained.evaluator.scored)
        assert capacities[0] == capacities[1]
        found = agreement.masked_against_gathered(
            trained.evaluator, capacities, batches, inputs, jax.random.key(number)
        )
        assert found.decisions == 16 * TOKENS * 2, "one scored layer, every patch of it, two groups"
        assert found.unequal_outside == 0 and found.overflow == 0 and found.max_abs_logit < 1e-4
        assert counted.kept[0] == counted.kept[1]
        kept.append(counted.kept[0] / (16 * TOKENS))
    assert 0.1 < min(kept) and max(kept) < 0.95


@pytest.mark.slow
def test_the_temperature_reaches_the_sensors_scores(measured):
    """Slopes go with 1 / U_T: the same chip's scores are wider in the cold."""
    trained, chips, _ = measured
    widths = []
    for kelvin in (273.15, 343.15):
        inputs = trained.inputs(layer_of(chips, 0), Environment(jnp.float32(kelvin), jnp.float32(1.8)))
        out = trained.evaluator.masked()(batch(0), inputs, None)
        widths.append(np.asarray(out.voltage[0, :, 1:]).std((0, 1)))
    assert np.all(widths[0] > 1.03 * widths[1])


@pytest.mark.slow
def test_a_monte_carlo_cell_is_its_chip_run_alone(measured):
    """The program that shares the embedding and the pixels between chips, against the masked pass on each chip."""
    trained, _, temperatures = measured
    evaluator, state, key = trained.evaluator, trained.state, jax.random.key(3)
    cells = chip_cells.Cells(
        chip=jnp.arange(3),
        temperature_k=jnp.asarray(temperatures),
        factors=jnp.ones((3, len(IMPERFECTIONS))),
        trim=jax.tree.map(lambda leaf: jnp.zeros((3, DEPTH, *leaf.shape)), no_trim(evaluator.spec)),
    )
    one = batch(0)
    inputs = chip_cells.Inputs(
        batch=jax.tree.map(jnp.asarray, one),
        weight=jnp.ones(8),
        number=jnp.arange(8),
        reference=jnp.zeros(8, bool),
    )
    mesh = jax.make_mesh((1,), (chip_cells.CELLS,), axis_types=(jax.sharding.AxisType.Auto,))
    program = quick_jit(chip_cells.cell_counter(evaluator, (TOKENS + 1,) * DEPTH, 2, mesh))
    target = jnp.ones(DEPTH)
    tally = program(state.params, state.design, state.scorer_state, target, key, inputs, cells)

    @quick_jit
    def on_its_own(number, kelvin):
        chip = chip_cells.draw_chip(key, number, HARDWARE, DEPTH, evaluator.spec.geometry)
        alone = ScorerInputs(state.design, chip, Environment(kelvin, jnp.float32(1.8)), state.scorer_state)
        noise = chip_cells.noise_keys(key, number, jnp.arange(8))
        return masked_forward(MODEL, state.params, evaluator.method, inputs.batch, alone, noise, scored=range(1))

    for number, kelvin in enumerate(temperatures):
        out = on_its_own(jnp.asarray(number), jnp.asarray(kelvin))
        kept = np.asarray(out.alive)[:, :, 1:].any(-1).sum((1, 2))
        np.testing.assert_array_equal(tally.kept[number], kept)
        assert tally.correct[number] == np.sum(np.argmax(out.logits, -1) == one["label"])
    assert len(np.unique(np.asarray(tally.kept)[:, 0])) > 1


@pytest.mark.slow
def test_recorded_calibration_inputs_are_raw_pixels(measured):
    trained, _, _ = measured
    evaluator, perfect = trained.evaluator, chips.perfect_inputs(trained, DEPTH)
    found = record_tokens(
        MODEL,
        evaluator.params,
        evaluator.method,
        perfect,
        batch(0),
        40,
        jax.random.key(1),
        scored=evaluator.scored,
    )
    gain = 0.01 * 1000 ** (1 / (1 + np.exp(-float(trained.state.design.input_gain[0]))))
    wanted = gain * patches(batch(0)["image"]).reshape(-1, 4)
    nearest = np.abs(np.asarray(found.inputs[0])[:, None] - wanted).max(-1).min(1)
    assert nearest.max() < 1e-5


@pytest.fixture(scope="module")
def sensor_run(tmp_path_factory, digits):
    """A whole run, report included: patches of eight pixels, of which sixteen are wired."""
    place = tmp_path_factory.mktemp("sensor")
    config = resume_config.get_config()
    config.model.depth = 2
    config.scorer.prototype = "static"
    config.scorer.source = "pixels"
    config.scorer.projection = "selection"
    config.scorer.inputs = 16
    config.pruning.scored_layers = 1
    config.data.data_dir = digits
    settings = from_config_dict(CodesignSettings, config)
    with open_run(place / "run", settings) as folder:
        summary = experiments.codesign.run(settings, folder)
    return place / "run", summary


@pytest.mark.slow
def test_a_run_on_the_sensor_from_start_to_end(sensor_run):
    folder, summary = sensor_run
    first, second = summary["tokens"]["kept_per_layer"]
    assert first == second < 1.0
    assert summary["agreement"]["decisions_unequal_outside_margin"] == 0
    assert np.isfinite(summary["agreement"]["attention_spearman"])
    arrays = np.load(folder / "artifacts.npz")
    assert np.isnan(arrays["agreement_layer_spearman"]).tolist() == [False, True]
    assert "dac_v" not in arrays and arrays["ota_current"].shape[0] > 0
    assert (folder / "report.html").exists()
    run = load_trained(folder)
    assert run.trained.evaluator.scored == range(1) and run.trained.evaluator.hardware.dac.bits is None


@pytest.mark.slow
def test_experiments_that_need_converters_or_queries_refuse_a_sensor(sensor_run, tmp_path):
    folder, _ = sensor_run
    with pytest.raises(SettingError, match=r"no converters whose bits could be swept.*'tokens'"):
        PrecisionSettings().finest(load_trained(folder))
    with pytest.raises(UserError, match=r"scores pixels on the sensor.*scorer.source = 'tokens'"):
        drift.run(DriftSettings(checkpoint=str(folder)), tmp_path)
