"""Latency against SPICE's settling times, and the roadmap's targets against arithmetic."""

import dataclasses
import math

import jax.numpy as jnp
import pytest

from atis_jax.energy.front_end import FrontEnd
from atis_jax.energy.latency import phase_2_targets, phase_3_targets, timing
from atis_jax.energy.shapes import ScorerShape
from atis_jax.validation import SettingError

SCORER = ScorerShape(
    inputs=64.0, prototypes=1, dac_bits=6.0, projection="selection", arrangement="consensus", layers=(True,)
)


def front_end(current_a: float, inputs: float = 64.0, **changes) -> FrontEnd:
    """One pole of the load, as the published benches have it; what the built circuit needs is told apart."""
    return FrontEnd(jnp.full((1,), current_a * inputs), 1.0, 1e-6, **{"circuit": "priced"} | changes)


@pytest.mark.parametrize(
    ("current_a", "load_f", "measured_s", "within"),
    [
        (100e-9, 1e-12, 3.7e-6, 0.1),
        (10e-9, 1e-12, 34e-6, 0.1),
        (1e-9, 1e-12, 324e-6, 0.1),
        (100e-9, 0.2e-12, 0.93e-6, 0.2),
    ],
)
def test_settling_is_that_of_spice(current_a, load_f, measured_s, within):
    """PHYSICS, sky130 ngspice, to 1/128 (half an LSB of 6 bits), kappa 0.637 / 0.689 / 0.718 at 100 / 10 / 1 nA. The
    law is that of one pole with the load alone; the cell's own capacitance, about 30 fF, counts at 0.2 pF."""
    kappa = {100e-9: 0.637, 10e-9: 0.689, 1e-9: 0.718}[current_a]
    settled = float(timing(front_end(current_a, load_f=load_f, kappa=kappa), SCORER).settling_s[0])
    assert settled == pytest.approx(measured_s, rel=within)


def test_converters_that_take_turns_cost_latency():
    one_each = timing(front_end(100e-9), SCORER, conversion_time_s=1e-7)
    four = timing(front_end(100e-9, converters=4, core="settling"), SCORER, conversion_time_s=1e-7)
    assert float(one_each.conversion_s[0]) == pytest.approx(1e-7)
    assert float(four.conversion_s[0]) == pytest.approx(16e-7)  # 64 inputs, 16 turns
    assert float(timing(front_end(100e-9, dac="none"), SCORER).conversion_s[0]) == 0.0
    assert float(four.token_s[0]) == pytest.approx(float(four.conversion_s[0] + four.settling_s[0]))
    assert float(four.rate_hz[0]) == pytest.approx(1 / float(four.token_s[0]))


def test_an_array_that_is_on_for_the_token_time_takes_that_long():
    """Decided as soon as it has settled, but the next token comes after the time that the ledger charges."""
    taken = timing(front_end(100e-9, core="bias"), SCORER, conversion_time_s=1e-7)
    assert float(taken.rate_hz[0]) == pytest.approx(1 / (1e-7 + 1e-6))
    assert float(taken.token_s[0]) == pytest.approx(1e-7 + float(taken.settling_s[0]))
    assert float(taken.token_s[0]) < 1e-6


def test_a_multiplexed_array_settles_once_a_prototype():
    multiplexed = dataclasses.replace(SCORER, prototypes=3, arrangement="multiplexed")
    grouped = dataclasses.replace(multiplexed, arrangement="grouped")
    turns, side_by_side = (timing(front_end(100e-9, 192.0), one, 0.0) for one in (multiplexed, grouped))
    assert float(turns.token_s[0]) == pytest.approx(3 * float(side_by_side.token_s[0]))
    assert float(side_by_side.core_w[0]) == pytest.approx(3 * float(turns.core_w[0]))  # one prototype's at a time


@pytest.mark.parametrize(
    ("inputs", "current_a", "met"), [(64, 100e-9, False), (256, 100e-9, True), (1024, 100e-9, False)]
)
def test_phase_3_targets(inputs, current_a, met):
    """256-1,024 inputs, below 1 us, below 100 uW: 64 are too few, and 1,024 x 100 nA x 1 V are 102 uW."""
    scorer = dataclasses.replace(SCORER, inputs=float(inputs))
    targets = phase_3_targets(front_end(100e-9, inputs), scorer, conversion_time_s=1e-7)
    assert all(one.met for one in targets) == met
    power = next(one for one in targets if one.name == "core power")
    assert power.value == pytest.approx(inputs * 100e-9, rel=1e-5)


def test_a_smaller_current_saves_power_and_misses_the_latency():
    scorer = dataclasses.replace(SCORER, inputs=1024.0)
    by_name = {one.name: one for one in phase_3_targets(front_end(50e-9, 1024.0), scorer, 1e-7)}
    assert by_name["core power"].met and not by_name["latency"].met


@pytest.mark.parametrize(("circuit", "branches"), [("floating_gate", 1), ("netlisted", 2)])
def test_the_built_circuit_meets_phase_3_with_no_array(circuit, branches):
    """256 x 100 nA: the op-amp's three branches of twice the array's current alone are over 100 uW at 1 V, and the
    comparator alone takes over 1 us (0.71 us x ln(19.9 / 2))."""
    scorer = dataclasses.replace(SCORER, inputs=256.0)
    built = front_end(100e-9, 256.0, circuit=circuit, core="settling")
    by_name = {one.name: one for one in phase_3_targets(built, scorer, 1e-7)}
    assert by_name["core power"].value == pytest.approx((branches + 6) * 25.6e-6 + 575e-9, rel=1e-5)
    assert by_name["latency"].value > 1e-7 + 0.71e-6 * math.log(19.9 / 2)
    assert not by_name["core power"].met and not by_name["latency"].met


def test_phase_2_takes_16_to_64_inputs():
    met = [phase_2_targets(dataclasses.replace(SCORER, inputs=float(n)))[0].met for n in (8, 16, 64, 65)]
    assert met == [False, True, True, False]


def test_bad_input_is_refused():
    with pytest.raises(SettingError, match="front_end.load_f = 0.0.*above 0"):
        timing(front_end(100e-9, load_f=0.0), SCORER)
