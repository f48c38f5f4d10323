"""Scoring on the sensor: what the scorer sees, that pruned patches are never needed, and who does not see pixels."""

from __future__ import annotations

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import numpy_vit
import pytest
from numpy_vit import QUICK, images_for, lively_params, tiny_model

from atis_jax.circuits import Environment, get_preset, nominal_chip, sample_chip, with_fields
from atis_jax.data.dataset import Facts
from atis_jax.models.forward import gathered_forward, masked_forward
from atis_jax.models.passes import Relaxation, ScorerInputs
from atis_jax.models.vit import ModelSpec, VisionTransformer
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.registry import make_method
from atis_jax.scoring.rivals.random import RandomSpec
from atis_jax.scoring.types import initial_state

IMAGES, DEPTH, TOKENS, VALUES, GROUPS = 6, 3, 16, 4, 2
SENSOR = with_fields(get_preset("nominal"), {"dac.bits": None})
SPEC = ScorerSpec(
    source="pixels", projection="selection", inputs=VALUES, arrangement="grouped", groups=GROUPS, differential=True
)
WHERE = {"scored": range(1)}
MARGIN_V = 1e-5
FULL = (TOKENS + 1,) * DEPTH

BOLTZMANN, CHARGE = 1.380649e-23, 1.602176634e-19


def design_for(seed: int = 2) -> Design:
    """A row for every layer, all different; only the first is in use."""
    rng = np.random.default_rng(seed)
    leaves = dict(
        projection=np.stack([np.eye(VALUES)] * DEPTH),
        input_gain=rng.normal(0.6, 0.1, DEPTH),
        prototype=rng.normal(0, 0.7, (DEPTH, GROUPS, VALUES)),
        bias_scale=rng.normal(1, 0.3, DEPTH),
        feedback=rng.normal(0.2, 0.1, (DEPTH, GROUPS)),
        threshold=rng.normal(0.2, 0.1, (DEPTH, GROUPS)),
    )
    return Design(**{name: jnp.asarray(leaf, jnp.float32) for name, leaf in leaves.items()})


def state_for(groups: int = GROUPS):
    return jax.vmap(lambda _: initial_state(groups, 16))(jnp.arange(DEPTH))


@pytest.fixture(scope="module")
def case():
    """A network and a chip at 310 K; both passes jitted, the masked one's result under read noise."""
    model, images = tiny_model(stem="linear", depth=DEPTH), images_for(1, IMAGES)
    params, method = lively_params(model), make_method(SPEC, SENSOR)
    draw = jax.jit(jax.vmap(lambda k: sample_chip(k, SENSOR, SPEC.geometry)), compiler_options=QUICK)
    chip = draw(jax.random.split(jax.random.key(3), DEPTH))
    inputs = ScorerInputs(design_for(), chip, Environment(jnp.float32(310.0), jnp.float32(1.8)), state_for())

    @functools.partial(jax.jit, compiler_options=QUICK)
    def masked(images, key):
        return masked_forward(model, params, method, {"image": images}, inputs, key, **WHERE)

    @functools.partial(jax.jit, static_argnums=2, compiler_options=QUICK)
    def gathered(images, key, capacities):
        return gathered_forward(model, params, method, {"image": images}, inputs, key, capacities=capacities, **WHERE)

    return types.SimpleNamespace(
        model=model,
        images=images,
        params=params,
        inputs=inputs,
        masked=masked,
        gathered=gathered,
        key=jax.random.key(5),
        out=masked(images, jax.random.key(5)),
    )


def squares(images, size: int) -> np.ndarray:
    """(B, T, size^2 C) patches cut out one by one, pixel by pixel in rows."""
    images = np.asarray(images, np.float64)
    side = images.shape[1]
    corners = [(row, column) for row in range(0, side, size) for column in range(0, side, size)]
    cut = [images[:, r : r + size, c : c + size].reshape(len(images), -1) for r, c in corners]
    return np.stack(cut, axis=1)


def painted(images, patches_BxT, value) -> np.ndarray:
    """The images with the marked patches' pixels replaced by ``value`` (a number, or (B, T, 4))."""
    found = np.array(images)
    value = np.broadcast_to(value, (*patches_BxT.shape, 4))
    for image, patch in np.argwhere(patches_BxT):
        row, column = 2 * (patch // 4), 2 * (patch % 4)
        found[image, row : row + 2, column : column + 2, 0] = value[image, patch].reshape(2, 2)
    return found


def test_pixels_are_the_patches_scaled_channel_by_channel():
    spec = ModelSpec(width=16, depth=1, heads=2, mlp_width=16, patch=4, stem="linear")
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)
    model = VisionTransformer(spec, Facts(classes=2, rows=8, columns=8, channels=3, mean=mean, std=std))
    images = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)
    expected = squares((images - np.asarray(mean)) / np.asarray(std), 4)
    params = lively_params(model)
    stream = model.embed(params, {"image": jnp.asarray(images)}, raw=True)
    found = np.asarray(stream.along["raw"])
    assert found.shape == (3, 5, 48)
    np.testing.assert_array_equal(found[:, 0], 0.0)
    np.testing.assert_allclose(found[:, 1:], expected, atol=1e-5)
    # The order is that of the stem's rows: its matrix makes the tokens of them.
    stem = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)["params"]
    tokens = expected @ stem["stem"]["patch"]["kernel"] + stem["stem"]["patch"]["bias"] + stem["position"][:, 1:]
    np.testing.assert_allclose(stream.x[:, 1:], tokens, atol=1e-4)


@pytest.mark.slow
def test_a_digital_score_is_the_inner_product_with_raw_pixels(case):
    """In float64 from the images; a normalised patch, or one seen by a later layer's row, would score otherwise."""
    spec = dataclasses.replace(SPEC, kind="digital", differential=False)
    inputs = dataclasses.replace(case.inputs, chip=None, environment=None)
    method = make_method(spec, SENSOR)
    run = jax.jit(
        lambda x: masked_forward(case.model, case.params, method, {"image": x}, inputs, None, **WHERE),
        compiler_options=QUICK,
    )
    out, d = run(case.images), jax.tree.map(lambda leaf: np.asarray(leaf[0], np.float64), vars(case.inputs.design))

    def between(raw, low, high):
        return low * (high / low) ** (1 / (1 + np.exp(-raw)))

    pixels = squares((np.asarray(case.images) - 0.3) / 0.5, 2)
    current_a = between(d["bias_scale"], 4e-9, 100e-9) * np.tanh(d["prototype"])
    slope_per_v = 0.689 / (2 * BOLTZMANN * 300.15 / CHARGE)
    volts = 0.1 * between(d["input_gain"], 0.01, 10.0) * pixels
    expected = between(d["feedback"], 1e3, 1e10) * slope_per_v * (volts @ current_a.T)
    np.testing.assert_allclose(out.voltage[0, :, 1:], expected, rtol=1e-4, atol=1e-6)
    theta = 0.5 * (2 / (1 + np.exp(-d["threshold"])) - 1)
    clear = np.abs(expected - theta) > MARGIN_V
    np.testing.assert_array_equal(np.asarray(out.alive[0, :, 1:])[clear], (expected > theta)[clear])
    assert 0.1 < np.mean(expected > theta) < 0.9


def test_later_layers_keep_what_the_sensor_left_and_prune_nothing(case):
    alive = np.asarray(case.out.alive)
    assert 0.2 < alive[0, :, 1:].any(-1).mean() < 0.9
    assert np.all(alive[0, :, 0])
    for layer in range(1, DEPTH):
        np.testing.assert_array_equal(alive[layer], alive[0])
        np.testing.assert_array_equal(case.out.probability[layer], 1.0)
    for number in range(IMAGES):
        expected, _ = numpy_vit.forward(case.model, case.params, case.images[number], alive[:, number])
        np.testing.assert_allclose(case.out.logits[number], expected, atol=2e-5)


@pytest.mark.slow
def test_gathered_equals_masked(case):
    room = int(np.asarray(case.out.alive[0]).any(-1).sum(-1).max())
    assert room < TOKENS + 1
    out = case.gathered(case.images, case.key, (room,) * DEPTH)
    np.testing.assert_array_equal(out.overflow, 0)
    np.testing.assert_allclose(out.voltage[0], case.out.voltage[0], atol=5e-6)
    np.testing.assert_array_equal(out.alive, case.out.alive)
    np.testing.assert_allclose(out.logits, case.out.logits, atol=1e-4)


@pytest.mark.slow
def test_pruned_patches_may_hold_anything_without_a_bit_of_the_logits_changing(case):
    """Not a number in every pixel of a pruned patch: no comparison with it keeps it, and nothing else meets it."""
    pruned = ~np.asarray(case.out.alive[0]).any(-1)[:, 1:]
    broken = jnp.asarray(painted(case.images, pruned, np.nan))
    room = (int((~pruned).sum(1).max()) + 1,) * DEPTH
    plain, other = (case.gathered(images, case.key, room) for images in (case.images, broken))
    np.testing.assert_array_equal(other.alive, plain.alive)
    np.testing.assert_array_equal(other.logits, plain.logits)
    # A kept patch is needed.
    kept = jnp.asarray(painted(case.images, ~pruned, np.nan))
    assert not np.any(np.isfinite(np.asarray(case.gathered(kept, case.key, FULL).voltage[0, :, 1:])[~pruned]))
    moved = jnp.asarray(painted(case.images, np.eye(TOKENS, dtype=bool)[np.argmax(~pruned, axis=1)], 0.9))
    assert np.abs(np.asarray(case.gathered(moved, case.key, FULL).logits - plain.logits)).max() > 1e-3


def test_masked_logits_do_not_depend_on_pruned_patches_while_they_stay_pruned(case):
    """Every pruned patch takes the pixels of another pruned patch of its image."""
    pruned, rng = ~np.asarray(case.out.alive[0]).any(-1)[:, 1:], np.random.default_rng(0)
    values = squares(case.images, 2)
    donors = np.stack([rng.choice(np.flatnonzero(row), TOKENS) for row in pruned])
    swapped = painted(case.images, pruned, np.take_along_axis(values, donors[..., None], axis=1))
    assert np.abs(swapped - np.asarray(case.images)).max() > 0.3
    out = case.masked(jnp.asarray(swapped), case.key)
    same = (np.asarray(out.alive) == np.asarray(case.out.alive)).all((0, 2, 3))
    assert same.sum() >= 3, "a token's own noise may turn it; most images keep their decisions"
    np.testing.assert_allclose(out.logits[same], np.asarray(case.out.logits)[same], atol=1e-6)


@pytest.mark.slow
def test_a_stem_that_overlaps_would_need_the_pruned_patches():
    """Why it is refused: kept tokens are made of pruned neighbours' pixels."""
    model, images = tiny_model(stem="conv", depth=DEPTH), images_for(1, IMAGES)
    params, method = lively_params(model), make_method(dataclasses.replace(SPEC, kind="digital"), SENSOR)
    inputs = ScorerInputs(design_for(), None, None, state_for())
    run = jax.jit(
        lambda x: masked_forward(model, params, method, {"image": x}, inputs, None, **WHERE), compiler_options=QUICK
    )
    plain = run(images)
    pruned = ~np.asarray(plain.alive[0]).any(-1)[:, 1:]
    # The pixels of another pruned patch of the image are pruned too.
    values = squares(images, 2)
    donors = np.argmax(pruned, axis=1)[:, None, None]
    swapped = run(jnp.asarray(painted(images, pruned, np.take_along_axis(values, donors, axis=1))))
    np.testing.assert_array_equal(swapped.alive, plain.alive)
    assert np.abs(np.asarray(swapped.logits - plain.logits)).max() > 1e-2


@pytest.mark.slow
def test_random_pruning_counts_at_the_sensor_and_nowhere_else(case):
    method, inputs = make_method(RandomSpec(), SENSOR), ScorerInputs(jnp.asarray([5.0, 2.0, 1.0]) / 16, None, None, ())

    def run(forward, **more):
        return jax.jit(
            lambda x, k: forward(case.model, case.params, method, {"image": x}, inputs, k, **WHERE, **more),
            compiler_options=QUICK,
        )(case.images, jax.random.key(8))

    a, b = run(masked_forward), run(gathered_forward, capacities=(6, 6, 6))
    np.testing.assert_array_equal(np.asarray(a.alive)[..., 0].sum(-1), 6)
    np.testing.assert_array_equal(a.alive, b.alive)
    np.testing.assert_allclose(a.logits, b.logits, atol=1e-4)


def test_the_class_token_never_comes_to_the_sensors_comparator(case):
    """Its adaptive threshold follows the 16 patches alone: a low-pass written out, one image at a time."""
    spec = dataclasses.replace(SPEC, kind="digital", differential=False, adaptive_rate_v=1e-9, activity_rate=0.1)
    inputs = ScorerInputs(design_for(), None, None, state_for())
    method = make_method(spec, SENSOR, jnp.full(DEPTH, 0.5))
    run = jax.jit(
        lambda x: masked_forward(case.model, case.params, method, {"image": x}, inputs, None, **WHERE),
        compiler_options=QUICK,
    )
    for number in range(2):
        out = run(case.images[number : number + 1])
        activity = np.full(GROUPS, 0.5)
        for bits in np.asarray(out.alive[0, 0, 1:]):
            activity = 0.9 * activity + 0.1 * bits
        np.testing.assert_allclose(out.state.activity[0], activity, rtol=1e-5)
        np.testing.assert_array_equal(out.state.activity[1:], 0.5)


@pytest.mark.slow
def test_the_noise_of_sampling_a_pixel_is_kt_over_c_of_a_capacitor_a_side(case):
    """The preset's 1 fF, all other noise off, OTAs straight: every pixel adds its own through its weight."""
    quiet = {"tia.bandwidth_hz": 0.0, "tia.shot_noise_factor": 0.0, "comparator.noise_v": 0.0}
    hardware = with_fields(SENSOR, quiet | {"tia.swing_v": np.inf, "ota.law": "linear"})
    spec = dataclasses.replace(SPEC, differential=False)
    chip = jax.tree.map(lambda leaf: jnp.stack([leaf] * DEPTH), nominal_chip(hardware, spec.geometry))
    kelvin = 330.0
    inputs = dataclasses.replace(case.inputs, chip=chip, environment=Environment(jnp.float32(kelvin), jnp.float32(1.8)))
    method = make_method(spec, hardware)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def voltages(keys):
        batch = {"image": case.images[:1]}
        return jax.lax.map(
            lambda k: masked_forward(case.model, case.params, method, batch, inputs, k, **WHERE).voltage[0, 0, 1:],
            keys,
        )

    found = np.asarray(voltages(jax.random.split(jax.random.key(7), 400)), np.float64)  # (400, 16, G)
    # Slope of each pixel's voltage to the score, by finite differences of the noiseless circuit.
    step = 1e-3
    gain_v = 0.1 * 0.01 * 1000 ** (1 / (1 + np.exp(-float(case.inputs.design.input_gain[0]))))

    @functools.partial(jax.jit, compiler_options=QUICK)
    def still(images):
        batch = {"image": images}
        return masked_forward(case.model, case.params, method, batch, inputs, None, **WHERE).voltage[0, :, 1:]

    slope = []
    for value in range(4):
        offset = np.zeros(4)
        offset[value] = step * 0.5  # the data set's standard deviation
        ends = [still(jnp.asarray(case.images[:1] + sign * patch_grid(offset)))[0] for sign in (1, -1)]
        slope.append(np.asarray(ends[0] - ends[1], np.float64) / (2 * step * gain_v))
    expected = np.sqrt(2 * BOLTZMANN * kelvin / 1e-15 * np.square(slope).sum(0))  # a capacitor a side
    # 400 x 16 draws of each group pooled: one standard error of a deviation is 1 / sqrt(2 * 6400) = 0.9 %.
    ratio = (found.std(0) / expected).mean(0)
    np.testing.assert_allclose(ratio, 1.0, atol=0.045)


def patch_grid(values) -> np.ndarray:
    """(8, 8, 1): the same four pixel values in every patch."""
    return np.tile(np.asarray(values, np.float32).reshape(2, 2), (4, 4))[..., None]


@pytest.mark.slow
def test_the_soft_gates_gradient_to_the_prototype_is_a_finite_difference(case, x64):
    """Through pixels, scorer, gates and three layers, in double precision; unused rows have none."""
    spec, state = dataclasses.replace(SPEC, kind="digital"), case.inputs.state
    params, images, design = jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float64), (case.params, case.images, case.inputs.design)
    )
    direction = np.random.default_rng(4).normal(size=design.prototype.shape)

    def loss(prototype):
        inputs = ScorerInputs(dataclasses.replace(design, prototype=prototype), None, None, state)
        relaxation, batch = Relaxation(smoothing=0.3, hardness=0.0), {"image": images}
        method = make_method(spec, SENSOR)
        out = masked_forward(case.model, params, method, batch, inputs, None, relaxation=relaxation, **WHERE)
        return jnp.sum(out.logits[:, 0] ** 2)

    run, step = jax.jit(jax.value_and_grad(loss), compiler_options=QUICK), 1e-4
    _, gradient = run(design.prototype)
    ends = [float(run(design.prototype + sign * step * direction)[0]) for sign in (1, -1)]
    slope = (ends[0] - ends[1]) / (2 * step)
    assert abs(slope) > 1e-3
    np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-5)
    np.testing.assert_array_equal(gradient[1:], 0.0)
