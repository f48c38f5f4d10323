"""Chips: one key, one stream a quantity, the stated spreads, and sharing under time multiplexing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from atis_jax.circuits import ArrayGeometry, get_preset, nominal_chip, sample_chip, scale_spreads, with_fields

sample_chip = jax.jit(sample_chip)
NOMINAL = with_fields(
    get_preset("nominal"),
    {f"{part}.offset_drift_sigma_v_per_k": 1e-5 for part in ("ota", "tia", "comparator")}
    | {"ota.offset_lot_sigma_v": 1e-4, "ota.kappa_lot_sigma": 0.0},
)
"""With the drift that the preset lacks."""
FIELDS = tuple(field.name for field in dataclasses.fields(sample_chip(jax.random.key(0), NOMINAL, ArrayGeometry(2))))


def _same(a, b):
    return {name for name in FIELDS if np.array_equal(getattr(a, name), getattr(b, name))}


def test_same_key_same_chip_and_another_key_another():
    geometry = ArrayGeometry(8, 2)
    first = sample_chip(jax.random.key(7), NOMINAL, geometry)
    assert _same(first, sample_chip(jax.random.key(7), NOMINAL, geometry)) == set(FIELDS)
    # ln I_b of fabrication has no spread on this preset
    assert _same(first, sample_chip(jax.random.key(8), NOMINAL, geometry)) == {"log_current_error"}


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        ("dac.bits", 5, {"dac_element_error"}),
        ("dac.unit_sigma", 0.5, {"dac_element_error"}),
        ("ota.offset_sigma_v", 0.05, {"offset_v"}),
        ("ota.additive_sigma", 0.5, {"additive"}),
        ("ota.kappa_sigma", 0.5, {"log_kappa_error"}),
        ("ota.kappa_chip_sigma", 0.5, {"log_kappa_error"}),
        ("ota.kappa_lot_sigma", 0.5, {"log_kappa_error"}),
        ("ota.offset_lot_sigma_v", 0.5, {"offset_v"}),
        ("ota.offset_drift_sigma_v_per_k", 0.5, {"offset_drift_v_per_k"}),
        ("tia.offset_drift_sigma_v_per_k", 0.5, {"tia_offset_drift_v_per_k"}),
        ("comparator.offset_drift_sigma_v_per_k", 0.5, {"comparator_offset_drift_v_per_k"}),
        ("ota.log_current_sigma", 0.5, {"log_current_error"}),
        ("floating_gate.error_sigma", 0.5, {"log_program_error"}),
        ("floating_gate.bits", 4, set()),
        ("tia.gain_sigma", 0.5, {"tia_log_gain_error"}),
        ("tia.offset_sigma_v", 0.5, {"tia_offset_v"}),
        ("comparator.offset_sigma_v", 0.5, {"comparator_offset_v"}),
        ("comparator.noise_v", 0.5, set()),
        ("thermal.bias", "ptat", set()),
    ],
)
def test_a_field_of_the_design_moves_its_own_draw_only(path, value, changed):
    geometry, key = ArrayGeometry(4, 2), jax.random.key(3)
    before = sample_chip(key, NOMINAL, geometry)
    after = sample_chip(key, with_fields(NOMINAL, {path: value}), geometry)
    assert set(FIELDS) - _same(before, after) == changed


def test_spreads_and_independence():
    """2,000 chips of 8 OTAs and 2 scores. Standard deviation: relative error 1/sqrt(2n), bound 4.5 of them.

    Correlations between quantities that the hardware does not couple: standard error 1/sqrt(n), bound 4.5.
    """
    hardware = with_fields(NOMINAL, {"ota.log_current_sigma": 0.07})
    chips = jax.jit(jax.vmap(sample_chip, (0, None, None)))(
        jax.random.split(jax.random.key(11), 2000), hardware, ArrayGeometry(8, 2)
    )
    expected = {
        "log_current_error": 0.07,
        "log_program_error": 0.01,
        "offset_v": np.hypot(4.2e-3, 1e-4),
        "additive": 0.02,
        "tia_log_gain_error": 0.01,
        "tia_offset_v": 2e-3,
        "comparator_offset_v": 3e-3,
        "offset_drift_v_per_k": 1e-5,
        "tia_offset_drift_v_per_k": 1e-5,
        "comparator_offset_drift_v_per_k": 1e-5,
    }
    for name, sigma in expected.items():
        values = np.asarray(getattr(chips, name), np.float64).ravel()
        assert abs(values.std() / sigma - 1) < 4.5 / np.sqrt(2 * values.size), name
        assert abs(values.mean() / sigma) < 4.5 / np.sqrt(values.size), name
    elements = np.asarray(chips.dac_element_error, np.float64)
    np.testing.assert_allclose(elements.std((0, 1)), 0.01 * 2 ** (np.arange(6) / 2), rtol=4.5 / np.sqrt(2 * 16_000))
    # kappa: a part common to a chip and a part of each OTA
    kappa = np.asarray(chips.log_kappa_error, np.float64).reshape(2000, 16)
    assert kappa.mean(1).std() == pytest.approx(np.hypot(0.01, 0.0025 / 4), rel=4.5 / np.sqrt(4000))
    assert (kappa - kappa.mean(1, keepdims=True)).std() == pytest.approx(
        0.0025 * np.sqrt(15 / 16), rel=4.5 / np.sqrt(60_000)
    )
    columns = {
        name: np.asarray(getattr(chips, name)).reshape(2000, -1)
        for name in FIELDS
        if name not in ("log_kappa_error", "dac_element_error")
    }
    table = np.concatenate([c[:, :2] for c in columns.values()], axis=1)
    correlation = np.corrcoef(table.T)
    names = [name for name in columns for _ in range(2)]
    for i in range(len(names)):
        for j in range(i):
            coupled = {names[i], names[j]} == {"offset_v", "additive"} and i % 2 == j % 2
            if coupled:
                assert correlation[i, j] == pytest.approx(-0.38, abs=4.5 / np.sqrt(2000))
            else:
                assert abs(correlation[i, j]) < 4.5 / np.sqrt(2000), (names[i], names[j])


def test_chips_of_a_lot_share_its_offset_and_kappa_and_nothing_else():
    """Lot spreads alone: one number a lot, in every OTA of its chips; the stated spread over 2,000 lots, 4.5 errors."""
    lots = with_fields(scale_spreads(NOMINAL, 0.0), {"ota.offset_lot_sigma_v": 2e-4, "ota.kappa_lot_sigma": 5e-3})
    geometry, keys = ArrayGeometry(3, 2), jax.random.split(jax.random.key(5), 2000)

    def numbers(chip):
        assert np.all(np.ptp(np.asarray(chip.offset_v)) == 0) and np.all(np.ptp(np.asarray(chip.log_kappa_error)) == 0)
        return float(chip.offset_v[0, 0]), float(chip.log_kappa_error[0, 0])

    first, second, other = (
        numbers(sample_chip(jax.random.key(chip), lots, geometry, jax.random.key(lot)))
        for chip, lot in ((1, 8), (2, 8), (1, 9))
    )
    assert first == second and not set(first) & set(other)
    alone = jax.jit(jax.vmap(sample_chip, (0, None, None)))(keys, lots, ArrayGeometry(1))
    for found, wanted in ((alone.offset_v, 2e-4), (alone.log_kappa_error, 5e-3)):
        assert np.std(np.asarray(found, np.float64)) == pytest.approx(wanted, rel=4.5 / np.sqrt(4000))
    mixed = [sample_chip(jax.random.key(1), NOMINAL, geometry, lot) for lot in (None, jax.random.key(8))]
    assert set(FIELDS) - _same(*mixed) == {"offset_v"}


def test_a_shared_array_is_one_array_programmed_several_times():
    chip = sample_chip(jax.random.key(1), NOMINAL, ArrayGeometry(16, 3, shared=True))
    for name in set(FIELDS) - {"dac_element_error", "log_program_error"}:
        values = np.asarray(getattr(chip, name))
        assert values.shape[0] == 3 and np.all(values == values[0]), name
    assert len(np.unique(chip.log_program_error)) == 48
    apart = sample_chip(jax.random.key(1), NOMINAL, ArrayGeometry(16, 3))
    assert len(np.unique(apart.offset_v)) == 48


def test_nominal_chip_has_no_error_and_the_same_shapes():
    geometry = ArrayGeometry(5, 2)
    perfect, drawn = nominal_chip(NOMINAL, geometry), sample_chip(jax.random.key(0), NOMINAL, geometry)
    assert jax.tree.map(jnp.shape, perfect) == jax.tree.map(jnp.shape, drawn)
    assert all(float(jnp.abs(leaf).max()) == 0 for leaf in jax.tree.leaves(perfect))
    assert jax.tree.all(
        jax.tree.map(jnp.array_equal, perfect, sample_chip(jax.random.key(9), scale_spreads(NOMINAL, 0.0), geometry))
    )


def test_a_noise_sweep_is_one_vmap():
    factors = jnp.array([0.0, 1.0, 2.0])
    chips = jax.jit(jax.vmap(lambda f: sample_chip(jax.random.key(2), scale_spreads(NOMINAL, f), ArrayGeometry(4))))(
        factors
    )
    np.testing.assert_allclose(chips.offset_v[2], 2 * chips.offset_v[1], rtol=1e-6)
    assert float(jnp.abs(chips.offset_v[0]).max()) == 0


def test_too_many_inputs_are_refused():
    with pytest.raises(ValueError, match=r"array inputs = 65 is outside 1..64.*'nominal'; project to fewer"):
        sample_chip(jax.random.key(0), NOMINAL, ArrayGeometry(65))
    with pytest.raises(ValueError, match="array inputs = 0 is outside"):
        nominal_chip(NOMINAL, ArrayGeometry(0))
