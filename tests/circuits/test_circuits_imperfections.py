"""Named imperfections: one factor each, the same design at 1, the perfect chip at 0, and how large they are."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from atis_jax.circuits import (
    PRESETS,
    ArrayGeometry,
    Environment,
    Program,
    dac_levels_v,
    get_preset,
    nominal_chip,
    nominal_environment,
    read,
    read_exact,
    realise,
    sample_chip,
    with_fields,
)
from atis_jax.circuits.dac import bit_weights
from atis_jax.circuits.hardware import SPREADS
from atis_jax.circuits.imperfections import (
    IMPERFECTIONS,
    dac_inl_sigma_lsb,
    full_array_noise_v,
    magnitudes,
    scale_imperfections,
)

NOMINAL = get_preset("nominal")
EVERY = with_fields(
    NOMINAL,
    {
        "ota.log_current_sigma": 0.07,
        "ota.offset_drift_sigma_v_per_k": 5e-6,
        "ota.offset_lot_sigma_v": 1e-4,
        "ota.kappa_lot_sigma": 5e-3,
        "tia.offset_drift_sigma_v_per_k": 5e-6,
        "comparator.offset_drift_sigma_v_per_k": 1e-5,
    },
)
"""With those that ``nominal`` lacks."""
GEOMETRY = ArrayGeometry(16, 2)
FIELDS = {
    "programming": {".floating_gate.error_sigma"},
    "offset": {".ota.offset_sigma_v"},
    "kappa": {".ota.kappa_sigma", ".ota.kappa_chip_sigma"},
    "current": {".ota.log_current_sigma"},
    "additive": {".ota.additive_sigma"},
    "dac": {".dac.unit_sigma"},
    "comparator_offset": {".comparator.offset_sigma_v"},
    "comparator_noise": {".comparator.noise_v"},
    "tia_gain": {".tia.gain_sigma"},
    "tia_offset": {".tia.offset_sigma_v"},
    "drift": {f".{part}.offset_drift_sigma_v_per_k" for part in ("ota", "tia", "comparator")},
    "lot": {".ota.offset_lot_sigma_v", ".ota.kappa_lot_sigma"},
    "read_noise": {".tia.bandwidth_hz", ".dac.unit_capacitance_f"},
}


def leaves(tree):
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def program(geometry, feedback_ohm=2e5):
    """Signed currents of 1 to 90 nA, each on a different point of the grid."""
    current_a = np.geomspace(1e-9, 9e-8, geometry.prototypes * geometry.inputs)
    current_a *= np.where(np.arange(current_a.size) % 3 == 0, -1.0, 1.0)
    shape = geometry.prototypes, geometry.inputs
    return Program(jnp.asarray(current_a.reshape(shape)), jnp.full(shape[0], feedback_ohm), jnp.full(shape[0], 0.01))


def test_every_spread_of_the_hardware_has_a_name():
    assert set(FIELDS) == set(IMPERFECTIONS)
    named = set().union(*FIELDS.values())
    assert {f".{path}" for path in SPREADS} == named - FIELDS["read_noise"]


def test_factor_one_is_the_same_design_to_the_bit():
    ones = jnp.ones(len(IMPERFECTIONS))
    for hardware in map(get_preset, PRESETS):
        for factors in (ones, np.ones(len(IMPERFECTIONS)), dict.fromkeys(IMPERFECTIONS, 1.0), {}):
            assert leaves(scale_imperfections(hardware, factors)) == leaves(hardware)
        traced = jax.jit(scale_imperfections)(hardware, ones)
        for path, value in leaves(traced).items():
            assert np.float32(value).tobytes() == np.float32(leaves(hardware)[path]).tobytes(), (hardware.name, path)


@pytest.mark.parametrize("name", IMPERFECTIONS)
def test_a_factor_moves_its_own_fields_alone(name):
    hardware = EVERY
    before, after = leaves(hardware), leaves(scale_imperfections(hardware, {name: 3.0}))
    assert {path for path in before if before[path] != after[path]} == FIELDS[name]
    if name != "read_noise":
        assert all(after[path] == 3.0 * before[path] for path in FIELDS[name])
    vector = np.where([one == name for one in IMPERFECTIONS], 3.0, 1.0)
    assert leaves(scale_imperfections(hardware, vector)) == after


def test_read_noise_grows_in_proportion():
    """Each of shot, thermal and kT/C: nine times the variance at factor three."""
    chip, place = nominal_chip(NOMINAL, GEOMETRY), nominal_environment(NOMINAL)
    once, thrice = (
        jax.jit(realise)(program(GEOMETRY), scale_imperfections(NOMINAL, {"read_noise": s}), chip, place)
        for s in (1.0, 3.0)
    )
    assert float(once.dac_noise_v2) > 0 and np.all(once.node_noise_v2 > 0)
    np.testing.assert_allclose(thrice.node_noise_v2, 9 * once.node_noise_v2, rtol=1e-6)
    np.testing.assert_allclose(thrice.dac_noise_v2, 9 * once.dac_noise_v2, rtol=1e-6)
    np.testing.assert_array_equal(thrice.weight_v, once.weight_v)


@pytest.mark.slow
def test_the_chip_at_zero_is_the_perfect_chip_and_reads_without_noise(optimised):
    """Drawn and read with noise, against ``nominal_chip`` of the unscaled design read without: the same numbers.

    Chips are equal as numbers; a zero times a negative draw is -0.0. Scaled within the program and, of one preset,
    before it.
    """
    draws = np.random.default_rng(0)
    inputs, noise = jnp.asarray(draws.uniform(-1, 1, (50, 16))), jnp.asarray(draws.normal(size=(50, 2)))
    zeros = jnp.zeros(len(IMPERFECTIONS))

    def drawn(scaled, key):
        chip = sample_chip(key, scaled, GEOMETRY)
        realised = realise(program(GEOMETRY), scaled, chip, nominal_environment(scaled))
        return chip, realised, jax.vmap(read, (None, 0, 0))(realised, inputs, noise)

    @jax.jit
    def perfect(hardware):
        chip = nominal_chip(hardware, GEOMETRY)
        realised = realise(program(GEOMETRY), hardware, chip, nominal_environment(hardware))
        return chip, realised, jax.vmap(read, (None, 0, None))(realised, inputs, None)

    @jax.jit
    def within(hardware, factors, key):
        return drawn(scale_imperfections(hardware, factors), key)

    for name in ("nominal", "sky130_fg", "rasp_350nm"):
        hardware = get_preset(name)
        assert_the_same(within(hardware, zeros, jax.random.key(6)), perfect(hardware))
    scaled = scale_imperfections(NOMINAL, zeros)
    assert_the_same(jax.jit(drawn)(scaled, jax.random.key(6)), perfect(NOMINAL))


def assert_the_same(found, wanted):
    """To the bit, but for the noise, of which there is none."""
    (chip, realised, score_v), (chip_0, realised_0, score_0_v) = found, wanted
    for path, leaf in leaves(chip_0).items():
        np.testing.assert_array_equal(leaves(chip)[path], leaf, err_msg=path)
    noiseless = {".node_noise_v2", ".dac_noise_v2", ".comparator_noise_v"}
    for path, leaf in leaves(realised_0).items():
        expected = np.zeros_like(leaf) if path in noiseless else leaf
        np.testing.assert_array_equal(leaves(realised)[path], expected, err_msg=path)
    assert np.asarray(score_v).tobytes() == np.asarray(score_0_v).tobytes()
    assert float(jnp.std(score_v)) > 1e-3


def test_one_at_a_time_is_one_vmap():
    """Rows of the identity: only the row's own imperfection is left of the chip."""
    hardware = EVERY
    geometry = ArrayGeometry(4)

    @jax.jit
    def chips(grid):
        return jax.vmap(lambda f: sample_chip(jax.random.key(1), scale_imperfections(hardware, f), geometry))(grid)

    drawn = {path[1:]: np.asarray(leaf) for path, leaf in leaves(chips(jnp.eye(len(IMPERFECTIONS)))).items()}
    moved = {
        name: {path for path, leaf in drawn.items() if np.any(leaf[row] != 0)} for row, name in enumerate(IMPERFECTIONS)
    }
    assert moved == {
        "programming": {"log_program_error"},
        "offset": {"offset_v"},
        "kappa": {"log_kappa_error"},
        "current": {"log_current_error"},
        "additive": {"additive"},
        "dac": {"dac_element_error"},
        "comparator_offset": {"comparator_offset_v"},
        "comparator_noise": set(),
        "tia_gain": {"tia_log_gain_error"},
        "tia_offset": {"tia_offset_v"},
        "drift": {"offset_drift_v_per_k", "tia_offset_drift_v_per_k", "comparator_offset_drift_v_per_k"},
        "lot": {"offset_v", "log_kappa_error"},
        "read_noise": set(),
    }


@jax.jit
@jax.grad
def slope_to_factors(factors):
    scaled = scale_imperfections(EVERY, factors)
    chip = sample_chip(jax.random.key(2), scaled, GEOMETRY)
    warm = Environment(320.0, scaled.supply_v)
    realised = realise(program(GEOMETRY), scaled, chip, warm)
    return jnp.sum(read(realised, jnp.linspace(-0.8, 0.8, 16), jnp.ones(2)) - realised.threshold_v)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.0, 1e-25, 0.5])
def test_the_gradient_to_every_factor_is_finite(level):
    """1e-25 squared is zero in float32. With a correlation of -0.9 and -0.38, and noise in every read."""
    found = np.asarray(slope_to_factors(jnp.full(len(IMPERFECTIONS), level)))
    assert np.all(np.isfinite(found))
    seen = {name for name, value in zip(IMPERFECTIONS, found, strict=True) if value != 0}
    assert seen == set(IMPERFECTIONS) - {"comparator_noise", "dac"} - (set() if level == 0.5 else {"read_noise"})


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (
            {"ofset": 1.0},
            r"factors\['ofset'\] = 1.0 scales no imperfection; they are programming, .*nearest is 'offset'",
        ),
        ({"offset": -0.5}, r"factors\['offset'\] = -0.5 must be zero or more, and finite"),
        ({"read_noise": float("inf")}, r"factors\['read_noise'\] = inf must be zero or more, and finite"),
        ({"dac": float("nan")}, r"factors\['dac'\] = nan must be zero or more, and finite"),
        ({"kappa": jnp.array([1.0, -2.0])}, r"factors\['kappa'\] = \[.*-2.*\] must be zero or more"),
        (np.array([1.0] * 12 + [-1.0]), r"factors\['read_noise'\] = -1.0 must be zero or more"),
        (np.ones(3), r"factors has shape \(3,\); give \(13,\), one for each of programming, offset"),
        (2.0, r"factors has shape \(\); give \(13,\)"),
        ({"offset": 1e4}, r"hardware 'nominal': ota.offset_sigma_v = 42.* must be zero or more, and below 10"),
    ],
)
def test_what_cannot_be_is_refused(factors, message):
    with pytest.raises(ValueError, match=message):
        scale_imperfections(NOMINAL, factors)


@pytest.mark.parametrize("path", SPREADS)
def test_no_standard_deviation_is_negative(path):
    with pytest.raises(ValueError, match=rf"hardware 'nominal': {path} = -0.001 must be zero or more, and below 10"):
        with_fields(NOMINAL, {path: -1e-3})


def test_magnitudes_are_the_designs_and_say_what_it_lacks():
    found = magnitudes(NOMINAL)
    assert tuple(found) == IMPERFECTIONS
    assert found["offset"] == (pytest.approx(4.2e-3), "V") and found["programming"] == (0.01, "of I_b")
    assert found["kappa"][0] == pytest.approx(np.sqrt(0.0025**2 + 0.01**2))
    assert found["current"][0] == 0.0
    assert {name for name, (value, _) in magnitudes(get_preset("ideal")).items() if value == 0} == set(IMPERFECTIONS)
    assert magnitudes(get_preset("sky130_130nm"))["current"][0] == 0.072
    for name in PRESETS[1:]:
        doubled = magnitudes(scale_imperfections(get_preset(name), np.full(len(IMPERFECTIONS), 2.0)))
        for one, (value, unit) in magnitudes(get_preset(name)).items():
            assert doubled[one] == (pytest.approx(2 * value, rel=1e-5), unit), (name, one)


@pytest.mark.parametrize("bits", [1, 2, 6])
def test_inl_is_that_of_sampled_converters(bits):
    """20,000 converters, 0.5 % units: the spread of the middle code's error has a relative error of 1/sqrt(2n).

    Bound 4.5 of them, and 0.5 % for the second order in the unit's error. The middle code is the worst.
    """
    hardware = with_fields(NOMINAL, {"dac.bits": bits, "dac.unit_sigma": 0.005})

    @jax.jit
    @jax.vmap
    def levels_v(key):
        errors = sample_chip(key, hardware, ArrayGeometry(10)).dac_element_error
        return jax.vmap(lambda one: dac_levels_v(bit_weights(one), 1.0))(errors)

    levels = np.asarray(levels_v(jax.random.split(jax.random.key(0), 2000)), np.float64).reshape(-1, 2**bits)
    lsb = 2.0 / (2**bits - 1)
    inl = (levels - np.linspace(-1, 1, 2**bits)) / lsb
    spread = np.sqrt(np.mean(inl**2, axis=0))
    expected = dac_inl_sigma_lsb(hardware)
    if bits == 1:
        assert expected == 0.0 and spread.max() < 1e-6
    else:
        assert spread[2 ** (bits - 1)] == pytest.approx(expected, rel=4.5 / np.sqrt(2 * 20_000) + 0.005)
        assert spread.max() < expected * (1 + 4.5 / np.sqrt(2 * 20_000) + 0.005)


def test_inl_is_that_of_the_bits_in_use():
    small, cut = with_fields(NOMINAL, {"dac.bits": 3}), with_fields(NOMINAL, {"dac.bits": 8, "dac.used_bits": 3})
    assert dac_inl_sigma_lsb(cut) == dac_inl_sigma_lsb(small) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "law"), [("nominal", "tanh"), ("rasp_350nm", "bump"), ("pessimistic", "degenerated")])
def test_the_noise_of_a_full_array_is_that_of_its_reads(name, law):
    """20,000 reads with noise where it arises: relative error 1/sqrt(2n) = 0.5 %, bound 4.5 of them.

    And 2 % for the op-amp's finite gain and the nearest code to zero, half a step from it, which the number leaves
    out. Only the full array's load is taken from the function's own words.
    """
    hardware = with_fields(get_preset(name), {"ota.law": law, "dac.bits": 6})
    inputs, current_a = hardware.max_inputs, hardware.floating_gate.max_current_a
    wanted = Program(
        jnp.full((1, inputs), current_a), jnp.full(1, hardware.tia.swing_v / (inputs * current_a)), jnp.zeros(1)
    )
    chip, place = nominal_chip(hardware, ArrayGeometry(inputs)), nominal_environment(hardware)
    realised = jax.jit(realise)(wanted, hardware, chip, place)

    @jax.jit
    def reads(key):
        node, dac = jax.random.split(key)
        node, dac = jax.random.normal(node, (20_000, 1)), jax.random.normal(dac, (20_000, inputs))
        return jax.vmap(read_exact, (None, None, 0, 0))(realised, jnp.zeros(inputs), node, dac)

    found = np.asarray(reads(jax.random.key(8)), np.float64).std()
    assert full_array_noise_v(hardware) == pytest.approx(found, rel=4.5 / np.sqrt(40_000) + 0.02)
