"""The differential array: what its halves share cancels, what they do not is averaged, and the ledger pays for both."""

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
    draw_chip,
    gaussian_projection,
    key,
    quick_jit,
    random_design,
    spec_for,
    tokens_for,
)

from atis_jax.circuits import get_preset, nominal_chip, nominal_environment, sample_chip, with_fields
from atis_jax.energy.shapes import NetworkShape
from atis_jax.energy.spec import EnergySpec
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.digital import Digital
from atis_jax.scoring.atis.ledger import AtisLedger
from atis_jax.scoring.bill import Bill
from atis_jax.validation import SettingError

NOMINAL = get_preset("nominal")
SINGLE, DOUBLE = spec_for("grouped"), spec_for("grouped", differential=True)
GROUPS = SINGLE.groups


@pytest.fixture(scope="module")
def design():
    return random_design(1, GROUPS, gaussian_projection(8))


@functools.cache
def decider(spec, hardware):
    def decide(design, chip, tokens, noise_key):
        environment = nominal_environment(hardware)
        return Analog(spec, hardware).score(design, chip, environment, tokens, context_for(GROUPS), noise_key)[0]

    return quick_jit(decide)


def scores(spec, hardware, design, chip, noise_key=None):
    return decider(spec, hardware)(design, chip, tokens_for(2), noise_key)


@pytest.mark.slow
def test_two_rows_a_score_and_one_decision(design):
    assert DOUBLE.geometry.prototypes == 2 * GROUPS
    decision = scores(DOUBLE, NOMINAL, design, draw_chip(key(0), NOMINAL, DOUBLE.geometry), key(3))
    assert decision.voltage.shape == decision.keep.shape == (10, GROUPS)


@pytest.mark.parametrize("name", ["ideal", "nominal"])
def test_a_chip_without_errors_scores_as_a_single_array(name, design):
    hardware = get_preset(name)
    one = scores(SINGLE, hardware, design, nominal_chip(hardware, SINGLE.geometry))
    two = scores(DOUBLE, hardware, design, nominal_chip(hardware, DOUBLE.geometry))
    np.testing.assert_allclose(two.voltage, one.voltage, atol=2e-6)
    np.testing.assert_array_equal(two.keep, one.keep)


def test_what_both_halves_share_cancels(design):
    """A linear array without rails: offsets and additive currents common to the halves leave only rounding."""
    hardware = get_preset("ideal")
    for spec, left in ((SINGLE, True), (DOUBLE, False)):
        perfect = nominal_chip(hardware, spec.geometry)
        rows = spec.geometry.prototypes
        rng = np.random.default_rng(0)
        offset, additive = (jnp.asarray(rng.normal(0, s, (GROUPS, INPUTS)), jnp.float32) for s in (5e-3, 0.02))
        repeat = rows // GROUPS
        shared = dataclasses.replace(
            perfect,
            offset_v=jnp.tile(offset, (repeat, 1)),
            additive=jnp.tile(additive, (repeat, 1)),
            tia_offset_v=jnp.full(rows, 2e-3),
        )
        moved = scores(spec, hardware, design, shared).voltage - scores(spec, hardware, design, perfect).voltage
        assert (float(jnp.abs(moved).max()) > 1e-3) == left
        if not left:
            assert float(jnp.abs(moved).max()) < 1e-6  # float32 rounding of tenths of a volt


@pytest.mark.slow
def test_what_is_independent_falls_by_the_square_root_of_two(design):
    """Standard deviation of the mean score over 800 chips: each is known to 1/sqrt(2 * 800) = 2.5 %, so the ratio
    is 0.707 within four times 3.5 % of it, 0.1. Comparator, converters and chip-wide kappa are not doubled: off."""
    quiet = {"comparator.offset_sigma_v": 0.0, "dac.unit_sigma": 0.0, "ota.kappa_chip_sigma": 0.0}
    hardware = with_fields(NOMINAL, quiet)
    spread = []
    for spec in (SINGLE, DOUBLE):
        scorer = Analog(spec, hardware).score

        def offset(k, spec=spec, scorer=scorer):
            chip = sample_chip(k, hardware, spec.geometry)
            decided = scorer(design, chip, nominal_environment(hardware), tokens_for(2), context_for(GROUPS), None)
            return jnp.mean(decided[0].voltage[:, 0])

        drawn = jax.jit(jax.vmap(offset), compiler_options=QUICK_TO_COMPILE)(jax.random.split(key(5), 800))
        spread.append(float(jnp.std(drawn)))
    assert abs(spread[1] / spread[0] - 0.5**0.5) < 0.1


def test_the_ledger_pays_for_the_second_array(design):
    """Its currents, lines, amplifiers and floating gates; converters, comparator and the rest are shared."""
    network = NetworkShape(tokens=64, width=WIDTH, depth=2, heads=2, mlp_width=48, classes=10, stem_macs=0)
    energy = EnergySpec(preset="horowitz_45nm", weights="sram_1m", tokens="sram_32k")
    costs = Bill(energy, network, (True, True))
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), design)
    query = jnp.zeros((2, GROUPS, WIDTH))

    def ledger(spec):
        def of(kept, designs, query):
            return AtisLedger(costs, spec, NOMINAL).analog(kept, designs, query).as_dict()

        return quick_jit(of)(jnp.ones(2), stacked, query)

    one, two = ledger(SINGLE), ledger(DOUBLE)
    for name, single in one.items():
        times = 2.0 if name in ("ota", "tia", "programming") else 1.0
        assert float(two[name]) == pytest.approx(times * float(single)), name
    assert all(float(one[name]) > 0 for name in ("ota", "tia", "programming", "dac"))


def test_the_digital_scorer_has_no_halves(design):
    chipless = (None, None, tokens_for(2), context_for(GROUPS), None)
    one, two = (
        quick_jit(lambda design, spec=spec: Digital(spec, NOMINAL).score(design, *chipless)[0].voltage)(design)
        for spec in (SINGLE, DOUBLE)
    )
    np.testing.assert_array_equal(one, two)


def test_an_array_in_turns_cannot_be_differential():
    with pytest.raises(SettingError, match="differential = True with scorer.arrangement = 'multiplexed'"):
        spec_for("multiplexed", differential=True)
