"""The law of a sampled chip: normal, independent between devices, and within a device as SPICE's Monte Carlo has it.

``test_circuits_chip.py`` has standard deviations and correlations between fields; here are the moments that tell a
normal from another law, every pair of distinct devices, and the preset's own covariance against the simulated one.
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from atis_jax.circuits import ArrayGeometry, get_preset, sample_chip, with_fields
from atis_jax.circuits.imperfections import scale_imperfections

MONTE_CARLO = Path(__file__).parents[1] / "data" / "spice"
CHIPS, INPUTS, SCORES = 4000, 6, 2
FIELDS = (
    "dac_element_error",
    "log_current_error",
    "log_program_error",
    "log_kappa_error",
    "offset_v",
    "additive",
    "tia_log_gain_error",
    "tia_offset_v",
    "comparator_offset_v",
)


def drawn(hardware, chips, geometry, seed):
    """Every field of many chips, (chips, devices), in float64."""
    many = jax.jit(jax.vmap(lambda key: sample_chip(key, hardware, geometry)))
    sampled = many(jax.random.split(jax.random.key(seed), chips))
    return {name: np.asarray(getattr(sampled, name), np.float64).reshape(chips, -1) for name in FIELDS}


@pytest.fixture(scope="module")
def chips():
    """4,000 chips of 2 x 6 OTAs with every spread above zero."""
    hardware = with_fields(get_preset("pessimistic"), {"ota.log_current_sigma": 0.07})
    return drawn(hardware, CHIPS, ArrayGeometry(INPUTS, SCORES), 21)


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_normal_in_its_first_four_moments(chips, name):
    """n = 4,000 chips for each device by itself: the chips are independent whatever devices share.

    Of a normal law mean, variance, skewness and excess kurtosis have standard errors sigma/sqrt(n), sqrt(2/n),
    sqrt(6/n) and sqrt(24/n). Bound 4.5 of them, up to 24 devices.
    """
    values = chips[name]
    sigma = values.std(axis=0)
    unit = (values - values.mean(axis=0)) / sigma
    assert np.all(np.abs(values.mean(axis=0)) < 4.5 * sigma / np.sqrt(CHIPS))
    assert np.all(np.abs((unit**3).mean(axis=0)) < 4.5 * np.sqrt(6 / CHIPS))
    assert np.all(np.abs((unit**4).mean(axis=0) - 3) < 4.5 * np.sqrt(24 / CHIPS))
    if name != "dac_element_error":  # whose elements grow with the bit
        assert np.all(
            np.abs(sigma**2 / (values**2).mean() - 1) < 4.5 * np.sqrt(2 / CHIPS) * np.sqrt(1 + 1 / sigma.size)
        )


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "log_kappa_error"])
def test_distinct_devices_are_independent(chips, name):
    """All pairs of one field, and of |x|, which zero correlation would not show: 1/sqrt(4,000) each, bound 5 of them.

    5 because there are up to 276 pairs a field: one beyond it has a chance of 276 x 6e-7.
    """
    for values in (chips[name], np.abs(chips[name])):
        correlation = np.corrcoef(values.T)
        assert len(correlation) > 1
        assert np.max(np.abs(correlation - np.eye(len(correlation)))) < 5 / np.sqrt(CHIPS)


def test_distinct_otas_are_independent_across_fields(chips):
    """(ln I_b, V_os, a) of an OTA with those of every other: 9 x 132 correlations, bound 5.5 of 1/sqrt(4,000).

    One beyond it has a chance of 1188 x 4e-8.
    """
    fields = [chips[name] for name in ("log_current_error", "offset_v", "additive")]
    otas = SCORES * INPUTS
    correlation = np.corrcoef(np.concatenate(fields, axis=1).T).reshape(3, otas, 3, otas)
    apart = ~np.eye(otas, dtype=bool)
    assert np.max(np.abs(correlation.transpose(0, 2, 1, 3)[:, :, apart])) < 5.5 / np.sqrt(CHIPS)


def test_kappa_of_distinct_otas_shares_the_chips_part_and_no_more(chips):
    """Correlation rho = b^2/(a^2 + b^2) of chip spread b and device spread a; error (1 - rho^2)/sqrt(n), bound 5.

    With the chip's part taken out, by the mean over its OTAs, m of them correlate by -1/(m - 1) and nothing else.
    """
    hardware = get_preset("pessimistic")
    rho = hardware.ota.kappa_chip_sigma**2 / (hardware.ota.kappa_chip_sigma**2 + hardware.ota.kappa_sigma**2)
    values, otas = chips["log_kappa_error"], SCORES * INPUTS
    apart = ~np.eye(otas, dtype=bool)
    assert np.max(np.abs(np.corrcoef(values.T)[apart] - rho)) < 5 * (1 - rho**2) / np.sqrt(CHIPS)
    left = values - values.mean(axis=1, keepdims=True)
    assert np.max(np.abs(np.corrcoef(left.T)[apart] + 1 / (otas - 1))) < 5 / np.sqrt(CHIPS)


def test_consecutive_chips_and_layers_are_independent(chips):
    """Keys split from one: chip i with chip i + 1, the same device; 24 correlations at most, bound 4.5."""
    for name, values in chips.items():
        unit = (values - values.mean(axis=0)) / values.std(axis=0)
        assert np.max(np.abs((unit[1:] * unit[:-1]).mean(axis=0))) < 4.5 / np.sqrt(CHIPS - 1), name


SIMULATED = ("ln I_b", "ln kappa", "V_os", "a")


def simulated(bias_na):
    """SPICE's (OTAs, 4) of ``SIMULATED``."""
    current_a, kappa, offset_v, additive, _ = np.loadtxt(MONTE_CARLO / f"mc_ota_{bias_na}nA.csv", delimiter=",").T
    return np.stack([np.log(current_a), np.log(kappa), offset_v, additive], axis=1)


def sampled():
    """The preset's own of one lot, 100,000 OTAs, in the same columns."""
    one_lot = scale_imperfections(get_preset("sky130_130nm"), {"lot": 0.0})
    fields = drawn(one_lot, 1600, ArrayGeometry(64), 5)
    names = ("log_current_error", "log_kappa_error", "offset_v", "additive")
    return np.stack([fields[name].ravel() for name in names], axis=1)


def fisher_z(values):
    """Fisher's z of every correlation, zero on the diagonal."""
    return np.arctanh(np.corrcoef(values.T) - np.eye(values.shape[1]))


@pytest.mark.slow
def test_the_presets_covariance_is_within_the_monte_carlos_own_interval():
    """One preset for 10 and 100 nA: each entry inside the hull of the two files' 99.9 % intervals.

    n = 200 OTAs a file, 102,400 sampled, whose own error is 22 times smaller. ln s has a standard error of
    sqrt((k - 1) / 4n), k the file's kurtosis (3 for a normal law); Fisher's z of a correlation 1/sqrt(n - 3). Interval
    3.3 of them. Of the six correlations that of V_os with a is left out: the files, one draw of 200 devices at two
    biases, have -0.4, our own Monte Carlo of 1,500 others -0.05 (configs/fit.py), and none is expected of a mirror and
    a pair that are drawn apart.
    """
    files, ours = [simulated(10), simulated(100)], sampled()
    for column, name in enumerate(SIMULATED):
        low, high = [], []
        for values in files:
            unit = (values[:, column] - values[:, column].mean()) / values[:, column].std()
            error = np.sqrt(((unit**4).mean() - 1) / (4 * len(values)))
            scale = np.log(values[:, column].std(ddof=1))
            low.append(scale - 3.3 * error)
            high.append(scale + 3.3 * error)
        assert min(low) < np.log(ours[:, column].std()) < max(high), name
    error = 3.3 / np.sqrt(197)
    theirs, found = np.stack([fisher_z(values) for values in files]), fisher_z(ours)
    for i in range(4):
        for j in range(i):
            if (i, j) == (3, 2):
                continue
            low, high = theirs[:, i, j].min() - error, theirs[:, i, j].max() + error
            assert low < found[i, j] < high, (SIMULATED[i], SIMULATED[j], found[i, j], theirs[:, i, j])


@pytest.mark.parametrize("bias_na", [10, 100])
def test_a_covariance_with_a_coupling_left_out_would_be_seen(bias_na):
    """The interval above is no formality: the coupling at zero lies outside of it, by many errors."""
    z = fisher_z(simulated(bias_na))
    assert abs(z[1, 0]) * np.sqrt(197) > 10
    assert max(abs(z[i, j]) for i, j in ((2, 0), (2, 1))) * np.sqrt(197) < 3.3
