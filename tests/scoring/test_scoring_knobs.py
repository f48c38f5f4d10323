"""Trainable hardware: gates against the smaller array, bits and full scale against such a hardware, relaxed slopes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scoring_reference import (
    INPUTS,
    TOKENS,
    WIDTH,
    context_for,
    draw_chip,
    gaussian_projection,
    key,
    quick_jit,
    random_design,
    spec_for,
    tokens_for,
)

from atis_jax.circuits import Environment, get_preset, nominal_environment, read, realise, with_fields
from atis_jax.scoring.atis.design import Design, inputs_of
from atis_jax.scoring.atis.initial import initial_design
from atis_jax.scoring.atis.knobs import (
    FULL_SCALE_V,
    active_inputs,
    bits_range,
    dac_bits,
    designed_hardware,
    full_scale_v,
    gates_in_order,
    input_gates,
)
from atis_jax.scoring.atis.program import array_program
from atis_jax.scoring.registry import make_method

HARDWARE = get_preset("nominal")
ENVIRONMENT = Environment(310.0, 1.8)
BUILT = np.array([1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1], bool)
RAW_GATES = np.where(BUILT, 0.3, -0.7)


def gated_design(groups=1, raw=RAW_GATES, **more) -> Design:
    design = random_design(0, groups, gaussian_projection(1))
    leaves = more if raw is None else {"input_gate": raw, **more}
    return dataclasses.replace(design, **{name: jnp.asarray(leaf, jnp.float32) for name, leaf in leaves.items()})


def sigmoid(raw):
    return 1.0 / (1.0 + np.exp(-np.asarray(raw, np.float64)))


@functools.cache
def program_for(spec):
    """Decides on ten tokens under read noise; the converters' numbers are an argument."""

    def run(dac, design, chip, tokens, noise):
        hardware = dataclasses.replace(HARDWARE, dac=dac)
        context = context_for(spec.groups, smoothing=0.2)
        return make_method(spec, hardware).score(design, chip, ENVIRONMENT, tokens, context, noise)[0]

    return quick_jit(run)


def scored(spec, hardware, design, chip, noise=5):
    return jax.tree.map(np.asarray, program_for(spec)(hardware.dac, design, chip, tokens_for(2), key(noise)))


def only_built(chip):
    chip = jax.tree.map(np.asarray, chip)
    chip = dataclasses.replace(chip, dac_element_error=chip.dac_element_error.T)
    chip = jax.tree.map(lambda leaf: leaf[..., BUILT] if jnp.shape(leaf)[-1:] == (INPUTS,) else leaf, chip)
    return dataclasses.replace(chip, dac_element_error=chip.dac_element_error.T)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arrangement", "kind", "differential"),
    [
        ("consensus", "analog", False),
        ("grouped", "analog", True),
        ("multiplexed", "analog", False),
        ("grouped", "digital", False),
    ],
)
def test_an_input_that_is_off_is_not_there(arrangement, kind, differential):
    """Every prototype's score, noise and decision are those of an array of the inputs that are on."""
    spec = spec_for(arrangement, kind=kind, differential=differential, input_gates=True)
    smaller = dataclasses.replace(spec, inputs=int(BUILT.sum()), input_gates=False)
    design = gated_design(spec.groups)
    small = dataclasses.replace(
        design, projection=design.projection[BUILT], prototype=design.prototype[:, BUILT], input_gate=None
    )
    chip = draw_chip(key(3), HARDWARE, spec.geometry)
    whole = scored(spec, HARDWARE, design, chip)
    part = scored(smaller, HARDWARE, small, only_built(chip))
    np.testing.assert_allclose(whole.voltage, part.voltage, atol=2e-6)
    np.testing.assert_allclose(whole.keep_probability, part.keep_probability, atol=2e-5)
    # What is on does matter, and so does the noise: with all gates open, or another key, the scores are others.
    opened = scored(spec, HARDWARE, gated_design(spec.groups, np.abs(RAW_GATES)), chip)
    assert np.abs(whole.voltage - opened.voltage).max() > 0.01
    if kind == "analog":
        other = scored(spec, HARDWARE, design, chip, noise=6)
        assert whole.voltage.shape == (TOKENS, spec.groups) and np.abs(whole.voltage - other.voltage).min() > 0


def test_gates_are_hard_and_their_slope_is_the_sigmoids():
    spec, design = spec_for("consensus", input_gates=True), gated_design()
    np.testing.assert_array_equal(input_gates(design, spec), BUILT)
    found, slope = quick_jit(jax.value_and_grad(lambda d: active_inputs(d, spec)))(design)
    assert float(found) == BUILT.sum()
    wanted = (sigmoid(RAW_GATES + 1e-4) - sigmoid(RAW_GATES - 1e-4)) / 2e-4
    np.testing.assert_allclose(slope.input_gate, wanted, rtol=1e-5)


@pytest.mark.slow
def test_a_gates_gradient_is_the_change_of_score_with_its_currents(x64):
    """Read again with each column of currents a little stronger and weaker, in float64, on or off; times the sigmoid's
    slope."""
    spec = spec_for("grouped", input_gates=True)
    design = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), gated_design(3))
    chip = draw_chip(key(3), HARDWARE, spec.geometry)
    query, step = np.zeros((3, WIDTH)), 1e-5

    @quick_jit
    def both(design, chip, tokens):
        token = inputs_of(design, tokens)[0]

        def of_program(programmed):
            return read(realise(programmed, HARDWARE, chip, ENVIRONMENT), token)

        def of_gates(raw):
            return of_program(array_program(dataclasses.replace(design, input_gate=raw), spec, HARDWARE, query))

        programmed = array_program(design, spec, HARDWARE, query)
        moves = step * np.concatenate([np.eye(INPUTS), -np.eye(INPUTS)])
        moved = jax.vmap(lambda move: of_program(dataclasses.replace(programmed, built=programmed.built + move)))(moves)
        return jax.jacrev(of_gates)(design.input_gate), moved

    found, moved = (np.asarray(part) for part in both(design, chip, np.asarray(tokens_for(2)[:1], np.float64)))
    assert found.dtype == moved.dtype == np.float64
    slope = sigmoid(RAW_GATES) * (1 - sigmoid(RAW_GATES))
    np.testing.assert_allclose(found, slope * (moved[:INPUTS] - moved[INPUTS:]).T / (2 * step), rtol=1e-4, atol=1e-9)
    assert np.all(np.abs(found[:, ~BUILT]).max(axis=0) > 1e-3)  # the score of a tenth of a volt feels what is off


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["nominal", "ideal"])
def test_one_input_stays_on_when_every_gate_closes(preset):
    spec, hardware = spec_for("grouped", input_gates=True), get_preset(preset)
    design = gated_design(3, np.linspace(-3.0, -9.0, INPUTS)[::-1])
    assert np.flatnonzero(input_gates(design, spec)).tolist() == [INPUTS - 1]
    assert float(active_inputs(design, spec)) == 1.0
    chip, scorer = draw_chip(key(3), hardware, spec.geometry), make_method(spec, hardware).score

    def loss(design):
        decision, _ = scorer(design, chip, ENVIRONMENT, tokens_for(2), context_for(3, smoothing=0.2), key(4))
        return jnp.sum(decision.voltage**2) + jnp.sum(decision.keep_probability)

    value, slope = quick_jit(jax.value_and_grad(loss))(design)
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope))
    assert np.any(slope.input_gate != 0)


def test_bits_are_whole_and_never_beyond_the_converters():
    spec, span = spec_for("consensus", trainable_bits=True), bits_range(HARDWARE)
    relaxed = np.array([0.6, 1.2, 3.4, 3.6, 5.9, 6.4])
    raw = jnp.concatenate([jnp.asarray([-1e4]), span.inverse(jnp.asarray(relaxed)), jnp.asarray([1e4])])

    def bits(raw):
        return dac_bits(gated_design(1, None, dac_bits=raw), spec, HARDWARE)

    found, slope = quick_jit(jax.vmap(jax.value_and_grad(bits)))(raw)
    np.testing.assert_array_equal(found, [1, 1, 1, 3, 4, 6, 6, 6])
    share = (relaxed - 0.5) / 6  # of the range from 0.5 to 6.5
    np.testing.assert_allclose(slope[1:-1], 6 * share * (1 - share), rtol=1e-4)


@pytest.mark.slow
def test_designed_converters_are_those_of_such_a_hardware():
    """Three bits and 60 mV by the design, against the same numbers given as hardware; the chip is the same."""
    spec = spec_for("grouped", trainable_bits=True, trainable_full_scale=True)
    design = gated_design(3, None, dac_bits=bits_range(HARDWARE).inverse(3.2), full_scale=FULL_SCALE_V.inverse(0.06))
    such = with_fields(HARDWARE, {"dac.used_bits": 3, "dac.full_scale_v": 0.06})
    chip = draw_chip(key(3), HARDWARE, spec.geometry)
    made = quick_jit(lambda design: designed_hardware(design, spec, HARDWARE).dac)(design)
    assert float(made.used_bits) == 3.0 and float(made.full_scale_v) == pytest.approx(0.06, rel=1e-5)
    plain = spec_for("grouped")
    for kind in ("analog", "digital"):
        by_design, by_hardware = (
            scored(dataclasses.replace(one, kind=kind), hardware, design, chip)
            for one, hardware in ((spec, HARDWARE), (plain, such))
        )
        np.testing.assert_allclose(by_design.voltage, by_hardware.voltage, atol=1e-6)
    as_built = scored(plain, with_fields(such, {"dac.used_bits": 6, "dac.full_scale_v": 0.1}), design, chip)
    assert np.abs(as_built.voltage - scored(spec, HARDWARE, design, chip).voltage).max() > 0.01


def test_the_loss_feels_the_bits():
    """Mean square of the scores less those of continuous inputs, over 4,000 tokens: more bits, less error.

    At codes that stay, every error goes with the step 2 / (2^b - 1), and through a linear array so does the score's:
    the slope is -2 ln 2 2^b / (2^b - 1) of the mean square.
    """
    spec = spec_for("consensus", trainable_bits=True)
    ideal = with_fields(get_preset("ideal"), {"dac.bits": 6})
    design = gated_design(1, None, input_gain=-1.0)  # inputs of 0.06: none is beyond the full scale
    chip = draw_chip(key(3), ideal, spec.geometry)
    tokens = tokens_for(6, 4000)
    scorer = make_method(spec, ideal).score
    fine = make_method(dataclasses.replace(spec, kind="digital"), ideal).score
    context, environment = context_for(1, 4000), nominal_environment(ideal)

    def error(raw):
        wanted = fine(design, None, None, tokens, context, None)[0].voltage
        other = dataclasses.replace(design, dac_bits=raw)
        return jnp.mean((scorer(other, chip, environment, tokens, context, None)[0].voltage - wanted) ** 2) * 1e6

    raw = bits_range(ideal).inverse(5.0)
    value, slope = quick_jit(jax.value_and_grad(error))(raw)
    share = (5.0 - 0.5) / 6
    by_bits = float(slope) / (6 * share * (1 - share))
    assert by_bits / float(value) == pytest.approx(-2 * np.log(2) * 32 / 31, rel=1e-3)


def test_without_flags_the_design_and_hardware_are_as_they_were():
    spec = spec_for("consensus")
    design = quick_jit(lambda k: initial_design(k, spec, HARDWARE, WIDTH))(key(0))
    assert len(jax.tree.leaves(design)) == 6  # nothing more to store, to train or to restore
    assert designed_hardware(design, spec, HARDWARE) is HARDWARE
    assert array_program(design, spec, HARDWARE, jnp.zeros((1, WIDTH))).built is None
    assert float(active_inputs(design, spec)) == INPUTS
    assert dac_bits(design, spec, HARDWARE) == HARDWARE.dac.bits
    assert dac_bits(design, spec, get_preset("ideal")) is None
    assert full_scale_v(design, spec, HARDWARE) == HARDWARE.dac.full_scale_v


def test_a_design_starts_with_the_hardwares_own_numbers_and_every_input_on():
    spec = spec_for("consensus", input_gates=True, trainable_bits=True, trainable_full_scale=True)

    def started(k):
        design = initial_design(k, spec, HARDWARE, WIDTH)
        return active_inputs(design, spec), dac_bits(design, spec, HARDWARE), full_scale_v(design, spec, HARDWARE)

    active, bits, scale = quick_jit(jax.vmap(started))(jax.random.split(key(0), 3))
    np.testing.assert_array_equal(active, [INPUTS] * 3)
    np.testing.assert_array_equal(bits, [6.0] * 3)
    np.testing.assert_allclose(scale, 0.1, rtol=1e-6)


def test_gates_start_in_the_order_of_contributions():
    raw = quick_jit(gates_in_order)(jnp.asarray([0.3, 0.0, 2.0, 0.3, 1.0]))
    np.testing.assert_allclose(sigmoid(raw), [0.625, 0.55, 0.85, 0.7, 0.775], rtol=1e-6)
    assert float(gates_in_order(jnp.zeros(1))[0]) > 0


@pytest.mark.parametrize(
    ("fields", "ask", "message"),
    [
        (dict(input_gates=True), active_inputs, r"scorer.input_gates = True, but the design has no input_gate"),
        (
            dict(trainable_full_scale=True),
            lambda d, s: full_scale_v(d, s, HARDWARE),
            r"scorer.trainable_full_scale = True, but the design has no full_scale.*initial_design",
        ),
        (
            dict(trainable_bits=True),
            lambda d, s: dac_bits(d, s, get_preset("ideal")),
            r"'ideal' has dac.bits = None.*set trainable_bits = False, or give the converter bits",
        ),
    ],
)
def test_what_is_missing_is_named(fields, ask, message):
    design = random_design(0, 1, gaussian_projection(1))
    with pytest.raises(ValueError, match=message):
        ask(design, spec_for("consensus", **fields))
