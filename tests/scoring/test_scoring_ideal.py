"""On the ideal chip the analog scorer is the digital one, and both are the float64 dot product; gradients too."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scoring_reference import (
    INPUTS,
    QUICK_TO_COMPILE,
    WIDTH,
    context_for,
    key,
    random_design,
    reference,
    spec_for,
    tokens_for,
)

from atis_jax.circuits import get_preset, nominal_chip, nominal_environment, with_fields
from atis_jax.energy.shapes import ARRANGEMENTS, PROJECTIONS
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.digital import Digital
from atis_jax.scoring.atis.program import with_extracted_prototype
from atis_jax.scoring.atis.projection import initial_projection
from atis_jax.scoring.atis.spec import PROTOTYPES

IDEAL = get_preset("ideal")
SMOOTHING = 0.3


@functools.cache
def passes(spec, derivatives: bool):
    """For each scorer: voltage and probability, their derivatives along a direction (if wanted), keep; jitted."""
    chip, environment = nominal_chip(IDEAL, spec.geometry), nominal_environment(IDEAL)

    def both(scorer, uses_key):
        def run(design, tokens, query, noise_key, direction):
            def score(design, tokens):
                context = context_for(spec.groups, query=query, smoothing=SMOOTHING)
                decision, _ = scorer(design, chip, environment, tokens, context, noise_key if uses_key else None)
                return (decision.voltage, decision.keep_probability), decision.keep

            if not derivatives:
                primal, keep = score(design, tokens)
                return primal, None, keep
            return jax.jvp(score, (design, tokens), direction, has_aux=True)

        return jax.jit(run, compiler_options=QUICK_TO_COMPILE)

    # With a read noise key in one of the cases: the ideal chip has no noise for it to move.
    return both(Analog(spec, IDEAL).score, spec.prototype == "static"), both(Digital(spec, IDEAL).score, False)


def random_like(rng, leaf):
    return jnp.asarray(rng.normal(size=leaf.shape), jnp.float32)


def shifted(tree, direction, step):
    return jax.tree.map(lambda a, b: np.asarray(a, np.float64) + step * np.asarray(b, np.float64), tree, direction)


@pytest.mark.slow
@pytest.mark.parametrize("prototype", PROTOTYPES)
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_ideal_analog_is_digital_is_float64(arrangement, prototype):
    spec = spec_for(arrangement, prototype)
    derivatives = arrangement == "grouped" or prototype == "static"  # a compilation takes a second
    run_analog, run_digital = passes(spec, derivatives)
    for seed, projection in enumerate(PROJECTIONS):
        rng = np.random.default_rng(100 + seed)
        variance = jnp.asarray(rng.uniform(0.5, 2.0, WIDTH))
        matrix = initial_projection(projection, key(seed), INPUTS, WIDTH, variance)
        design, tokens = random_design(seed, spec.groups, matrix), tokens_for(seed)
        query = jnp.asarray(rng.normal(size=(spec.groups, WIDTH)), jnp.float32)
        if prototype == "extracted":
            design = with_extracted_prototype(design, query)
        direction = jax.tree.map(functools.partial(random_like, rng), (design, tokens))

        (va, pa), tangents_a, keep_a = run_analog(design, tokens, query, key(7), direction)
        (vd, pd), tangents_d, keep_d = run_digital(design, tokens, query, key(7), direction)

        own = query if prototype == "ema" else None
        volts, threshold, scale = reference(design, tokens, own)
        assert 0.02 < volts.std() < 2.0  # the comparison is of numbers that matter
        # 12 products of float32 numbers, each the end of a chain of a few exponentials of up to ln 1e10.
        np.testing.assert_array_less(np.abs(np.asarray(va) - volts), 1e-5 * scale)
        np.testing.assert_array_less(np.abs(np.asarray(vd) - volts), 1e-5 * scale)
        np.testing.assert_allclose(va, vd, atol=3e-6 * scale.max())
        np.testing.assert_allclose(pa, pd, atol=1e-5)
        clear = np.abs(volts - threshold) > 1e-4
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(np.asarray(keep_a)[clear], (volts > threshold)[clear])
        np.testing.assert_array_equal(np.asarray(keep_d)[clear], (volts > threshold)[clear])

        if not derivatives:
            continue
        (dva, dpa), (dvd, dpd), step = tangents_a, tangents_d, 1e-6
        ahead, behind = (reference(*shifted((design, tokens), direction, sign * step), own)[0] for sign in (1.0, -1.0))
        expected = (ahead - behind) / (2 * step)
        largest = np.abs(expected).max()
        np.testing.assert_allclose(dva, expected, atol=1e-4 * largest)
        np.testing.assert_allclose(dvd, expected, atol=1e-4 * largest)
        np.testing.assert_allclose(dpa, dpd, atol=1e-4 * np.abs(dpd).max())


def test_probability_is_the_normal_law_around_the_threshold():
    from math import erf

    spec = spec_for("grouped")
    design, tokens = random_design(0, 3, np.eye(INPUTS, WIDTH)), tokens_for(0)
    _, run = passes(spec, True)
    zero = jax.tree.map(jnp.zeros_like, (design, tokens))
    (_, probability), _, _ = run(design, tokens, jnp.zeros((3, WIDTH)), key(0), zero)
    volts, threshold, _ = reference(design, tokens)
    z = (volts - threshold) / (SMOOTHING * 0.5)
    expected = np.vectorize(lambda v: 0.5 * (1 + erf(v / np.sqrt(2))))(z)
    np.testing.assert_allclose(probability, expected, atol=2e-6)


@pytest.mark.parametrize("maker", [Analog, Digital])
def test_probability_is_defined_where_a_noiseless_score_sits_on_the_threshold(maker):
    """At evaluation the width of the soft comparator is zero; a score equal to the threshold must not be 0/0."""
    spec = spec_for("consensus", "ema")  # nothing seen yet: all weights zero, the score exactly zero
    design = dataclasses.replace(random_design(0, 1, np.eye(INPUTS, WIDTH)), threshold=jnp.zeros(1))
    chip = nominal_chip(IDEAL, spec.geometry)
    context = context_for(1, query=jnp.zeros((1, WIDTH)))
    score = jax.jit(lambda *args: maker(spec, IDEAL).score(*args, None)[0], compiler_options=QUICK_TO_COMPILE)
    decision = score(design, chip, nominal_environment(IDEAL), tokens_for(0), context)
    np.testing.assert_array_equal(decision.voltage, 0.0)
    np.testing.assert_array_equal(decision.keep_probability, 0.5)


def test_too_many_inputs_for_the_array_names_the_field():
    small = with_fields(IDEAL, {"max_inputs": INPUTS - 1})
    with pytest.raises(ValueError, match=rf"scorer.inputs = {INPUTS} exceeds the {INPUTS - 1} .*lower scorer.inputs"):
        Analog(spec_for("consensus"), small)


def test_analog_without_a_chip_says_where_to_get_one():
    with pytest.raises(ValueError, match="needs a chip.*nominal_chip"):
        Analog(spec_for("consensus"), IDEAL).score(
            random_design(0, 1, np.eye(INPUTS, WIDTH)), None, None, tokens_for(0), context_for(1), None
        )
