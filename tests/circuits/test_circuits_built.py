"""Inputs that are left out of an array: the smaller array, to rounding; and the gradient of building one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from atis_jax.circuits import (
    ArrayGeometry,
    Program,
    get_preset,
    nominal_environment,
    ota_curves_a,
    read,
    read_exact,
    realise,
    sample_chip,
    with_fields,
)

realise, sample_chip = jax.jit(realise), jax.jit(sample_chip)  # hundreds of small compilations otherwise
read_many, read_exactly = jax.jit(jax.vmap(read, (None, 0, 0))), jax.jit(jax.vmap(read_exact, (None, 0, 0, 0)))

INPUTS, PROTOTYPES = 9, 2
BUILT = np.array([1, 0, 1, 1, 0, 1, 1, 1, 0], bool)
# Every imperfection of an OTA there is, large, so that one of an input left out would be seen.
HARDWARE = with_fields(
    get_preset("nominal"),
    {"ota.additive_sigma": 0.2, "ota.offset_sigma_v": 0.02, "tia.open_loop_gain": 50.0, "ota.early_voltage_v": 2.0},
)


def program_for(built=None):
    rng = np.random.default_rng(0)
    signed = rng.normal(0, 3e-8, (PROTOTYPES, INPUTS)).clip(-9e-8, 9e-8)
    return Program(jnp.asarray(signed), jnp.asarray([2e6, 3e6]), jnp.asarray([0.01, -0.02]), built)


def only_built(tree):
    """The leaves of a chip or program without the columns of what is left out."""
    return jax.tree.map(lambda leaf: leaf[..., BUILT] if jnp.shape(leaf)[-1:] == (INPUTS,) else leaf, tree)


def cases():
    chip = sample_chip(jax.random.key(1), HARDWARE, ArrayGeometry(INPUTS, PROTOTYPES))
    small = only_built(dataclasses.replace(chip, dac_element_error=chip.dac_element_error.T))
    small = dataclasses.replace(small, dac_element_error=small.dac_element_error.T)
    environment = nominal_environment(HARDWARE)
    left_out = realise(program_for(jnp.asarray(BUILT, float)), HARDWARE, chip, environment)
    return left_out, realise(only_built(program_for()), HARDWARE, small, environment), chip


@pytest.mark.slow
def test_what_is_left_out_is_not_there(x64):
    """Signal, offsets, additive currents, conductance, shot noise and kT/C, against the array without the columns."""
    left_out, smaller, _ = cases()
    tokens = jnp.asarray(np.random.default_rng(2).normal(0, 0.6, (20, INPUTS)))
    noise = jnp.asarray(np.random.default_rng(3).normal(size=(20, PROTOTYPES)))
    each = jnp.asarray(np.random.default_rng(4).normal(size=(20, INPUTS)))
    for drawn in (None, noise):
        whole = read_many(left_out, tokens, drawn)
        np.testing.assert_allclose(whole, read_many(smaller, tokens[:, BUILT], drawn), rtol=1e-12)
    whole = read_exactly(left_out, tokens, noise, each)
    part = read_exactly(smaller, tokens[:, BUILT], noise, each[:, BUILT])
    np.testing.assert_allclose(whole, part, rtol=1e-12)
    np.testing.assert_array_equal(left_out.weight_v[:, ~BUILT], 0.0)
    np.testing.assert_array_equal(left_out.bias_current_a[:, ~BUILT], 0.0)
    np.testing.assert_array_equal(ota_curves_a(left_out, jnp.linspace(-0.1, 0.1, 3))[:, ~BUILT], 0.0)
    np.testing.assert_array_equal(program_for(jnp.asarray(BUILT, float)).drawn_current_a[:, ~BUILT], 0.0)


@pytest.mark.slow
def test_building_everything_changes_no_bit():
    """Operation by operation: no compiler rounds one of the two elsewhere."""
    _, _, chip = cases()
    plain, all_built = (
        realise(program_for(built), HARDWARE, chip, nominal_environment(HARDWARE)) for built in (None, jnp.ones(INPUTS))
    )
    jax.tree.map(np.testing.assert_array_equal, plain, all_built)


@pytest.mark.slow
@pytest.mark.parametrize("law", ["tanh", "ekv"])
def test_the_gradient_of_building_is_its_finite_difference(x64, law):
    """At zero too, with the weight's own sign: an input that is off must know what it would be good for."""
    hardware = with_fields(HARDWARE, {"ota.law": law})
    chip = sample_chip(jax.random.key(1), hardware, ArrayGeometry(INPUTS, PROTOTYPES))
    token = jnp.asarray(np.random.default_rng(5).normal(0, 0.6, INPUTS))

    @jax.jit
    def score(built):
        realised = realise(program_for(built), hardware, chip, nominal_environment(hardware))
        return read(realised, token, jnp.asarray([1.0, -0.5]))

    check_grads(score, (jnp.asarray(BUILT, float),), order=1, modes=("rev",), atol=1e-5, rtol=1e-5)
    check_grads(score, (jnp.full(INPUTS, 0.4),), order=1, modes=("rev",), atol=1e-5, rtol=1e-5)
