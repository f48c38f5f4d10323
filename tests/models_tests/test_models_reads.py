"""One read for several layers: what is read, what each layer compares it with, and what travels with a token."""

from __future__ import annotations

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_vit import QUICK, images_for, lively_params, tiny_model

from atis_jax.circuits import Environment, get_preset, sample_chip, with_fields
from atis_jax.models.forward import gathered_forward, masked_forward
from atis_jax.models.layers import UNSEEN_V
from atis_jax.models.passes import ScorerInputs
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.sharing import with_one_array
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.registry import make_method
from atis_jax.scoring.types import initial_state

IMAGES, DEPTH, FIRST, INPUTS, WIDTH, VALUES = 4, 4, 1, 6, 16, 4
NOMINAL = with_fields(get_preset("nominal"), {"comparator.noise_v": 2e-3})
TOKENS = ScorerSpec(reads="first_layer", inputs=INPUTS)
PIXELS = dataclasses.replace(TOKENS, source="pixels", projection="selection", inputs=VALUES, differential=True)
CASES = {
    "analog": (TOKENS, NOMINAL, FIRST),
    "pixels": (PIXELS, with_fields(NOMINAL, {"dac.bits": None}), 0),
    "digital": (dataclasses.replace(TOKENS, kind="digital"), NOMINAL, FIRST),
}


EACH = pytest.mark.parametrize(
    "name", ["analog", *(pytest.param(one, marks=pytest.mark.slow) for one in list(CASES)[1:])]
)


def design_for(spec: ScorerSpec) -> Design:
    """Every layer's leaves differ: those that are not in use would be seen."""
    rng = np.random.default_rng(3)
    columns = VALUES if spec.source == "pixels" else WIDTH
    leaves = dict(
        projection=rng.normal(0, 0.4, (DEPTH, spec.inputs, columns)),
        input_gain=rng.normal(0.6, 0.1, DEPTH),
        prototype=rng.normal(0, 0.7, (DEPTH, 1, spec.inputs)),
        bias_scale=rng.normal(1, 0.3, DEPTH),
        feedback=rng.normal(0.2, 0.1, (DEPTH, 1)),
        threshold=np.linspace(-0.2, 1.6, DEPTH)[:, None],
    )
    return Design(**{name: jnp.asarray(leaf, jnp.float32) for name, leaf in leaves.items()})


@functools.cache
def case(name: str):
    spec, hardware, first = CASES[name]
    model, images = tiny_model(stem="linear", depth=DEPTH), images_for(1, IMAGES)
    params, method = lively_params(model), make_method(spec, hardware)
    draw = jax.vmap(lambda key: sample_chip(key, hardware, spec.geometry))
    chip = jax.jit(draw, compiler_options=QUICK)(jax.random.split(jax.random.key(3), DEPTH))
    state = jax.vmap(lambda _: initial_state(1, WIDTH))(jnp.arange(DEPTH))
    inputs = ScorerInputs(design_for(spec), chip, Environment(jnp.float32(310.0), jnp.float32(1.8)), state)
    batch, where = {"image": images}, {"scored": range(first, DEPTH)}

    @functools.partial(jax.jit, compiler_options=QUICK)
    def masked(inputs):
        return masked_forward(model, params, method, batch, inputs, jax.random.key(5), **where)

    @functools.partial(jax.jit, static_argnums=1, compiler_options=QUICK)
    def gathered(inputs, capacities):
        return gathered_forward(model, params, method, batch, inputs, jax.random.key(5), capacities=capacities, **where)

    return types.SimpleNamespace(inputs=inputs, masked=masked, gathered=gathered, first=first, model=model)


@EACH
def test_masked_and_gathered_agree(name):
    here = case(name)
    whole = here.masked(here.inputs)
    room = tuple(int(n) for n in jnp.max(jnp.sum(jnp.any(whole.alive, -1), -1), axis=1))
    assert room[-1] < room[here.first] < here.model.length
    packed = here.gathered(here.inputs, room)
    assert np.array_equal(whole.alive, packed.alive) and not np.any(packed.overflow)
    np.testing.assert_allclose(whole.logits, packed.logits, atol=2e-5)
    there = packed.voltage > UNSEEN_V
    np.testing.assert_allclose(np.where(there, whole.voltage, 0), np.where(there, packed.voltage, 0), atol=1e-5)


@EACH
def test_behind_the_read_a_layer_has_a_comparator_of_its_own_and_nothing_else(name):
    """Other arrays in later layers change nothing; another offset there changes that layer's bits by its own amount."""
    here = case(name)
    later = np.arange(DEPTH) > here.first

    def changed(leaf, by):
        return jnp.where(later.reshape(-1, *(1,) * (leaf.ndim - 1)), leaf + by, leaf)

    design, chip = here.inputs.design, here.inputs.chip
    other = jax.tree.map(lambda leaf: changed(leaf, 0.3), design)
    other = dataclasses.replace(other, threshold=design.threshold)
    made = jax.tree.map(lambda leaf: changed(leaf, 0.05), chip)
    comparators = ("comparator_offset_v", "comparator_offset_drift_v_per_k")
    made = dataclasses.replace(made, **{leaf: getattr(chip, leaf) for leaf in comparators})
    plain = here.masked(here.inputs)
    same = here.masked(dataclasses.replace(here.inputs, design=other, chip=made))
    assert np.array_equal(plain.alive, same.alive)
    np.testing.assert_array_equal(plain.voltage, same.voltage)
    if name != "digital":
        lifted = dataclasses.replace(chip, comparator_offset_v=changed(chip.comparator_offset_v, 10.0))
        bits = here.masked(dataclasses.replace(here.inputs, chip=lifted)).alive[:, :, 1:]
        assert bits[here.first].any() and not bits[here.first + 1].any()


def test_the_score_is_the_read_of_the_first_layer_and_each_comparator_adds_its_own_noise():
    """Between layers scores of a token differ by two draws of the comparator's noise, 2 mV each, and nothing else."""
    here = case("analog")
    voltage = np.asarray(here.masked(here.inputs).voltage)
    apart = (voltage[FIRST + 1] - voltage[FIRST]).ravel(), (voltage[FIRST + 2] - voltage[FIRST]).ravel()
    for one in apart:
        # 4 x 17 draws: the standard deviation is known to 1 / sqrt(2 x 67), 9 %; four of them.
        assert np.std(one) == pytest.approx(2e-3 * np.sqrt(2), rel=0.35)
    assert np.std(voltage[FIRST]) > 20e-3
    assert abs(np.corrcoef(*apart)[0, 1] - 0.5) < 0.4


def test_chips_of_one_read_differ_in_their_comparators_alone():
    chip = case("analog").inputs.chip
    wired = with_one_array(chip)
    for name, leaf in vars(wired).items():
        own = name.startswith("comparator_")
        np.testing.assert_array_equal(
            leaf, getattr(chip, name) if own else np.repeat(getattr(chip, name)[:1], DEPTH, 0)
        )
