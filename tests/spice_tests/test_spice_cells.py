"""The cells at transistor level, each against what its kind must do, of sky130 and of the generic card."""

import numpy as np
import pytest
from spice_marks import needs_ngspice, needs_sky130

from atis_jax.cells.device import Size
from atis_jax.cells.library import OP_AMP, OTA, SUPPLY_V
from atis_jax.spice.benches import amplifier_curve, head, ota_curves
from atis_jax.spice.cells import transistor
from atis_jax.spice.models import find_process
from atis_jax.spice.netlist import Amplifier, comparator_line
from atis_jax.spice.simulator import Analysis, Deck, simulate


@pytest.fixture(params=[pytest.param("sky130", marks=needs_sky130), pytest.param("generic", marks=needs_ngspice)])
def process(request):
    return find_process(request.param)


def swept(text, command, vector, points):
    done = simulate(Deck(text, (Analysis(command, (vector,), points=points),))).results[0]
    return done["sweep"], done[vector]


@pytest.mark.parametrize("bias_a", [1e-9, 10e-9, 100e-9])
def test_an_ota_steers_its_bias_current(process, bias_a):
    """Odd, rising, to +-I_b within 8 %; slope kappa I_b / 2U_T with a kappa between 0.6 and 0.85."""
    ((_, _, voltage_v, current_a),) = ota_curves(process, [bias_a], [27.0], 61)
    ratio = current_a / bias_a
    assert np.all(np.diff(ratio) > 0)
    assert abs(ratio[0] + 1) < 0.08 and abs(ratio[-1] - 1) < 0.08
    assert np.max(np.abs(ratio + ratio[::-1])) < 0.05
    slope_per_v = (ratio[31] - ratio[29]) / (voltage_v[31] - voltage_v[29])
    assert 0.6 < slope_per_v * 2 * 0.025865 < 0.85


def test_the_otas_tail_mirrors_what_the_bias_pin_takes(process):
    """Both inputs at the common mode, the output held: the supply gives the bias twice, once by each branch."""
    text = head("supply", process, 27.0) + f"Ib vdd b 50n\nXO cm cm out b vdd {OTA.name}\nVo out 0 0.9\n"
    _, supply_a = swept(text, "op", "i(vdd)", 1)
    assert -supply_a[0] == pytest.approx(100e-9, rel=0.05)


def test_the_op_amp_follows_its_input(process):
    """Within 1 mV from 0.5 to 1.3 V, and 0.1 mV at rest."""
    text = head("follower", process, 27.0) + f"Vi p 0 0.9\nIop vdd b 4e-6\nXA p out out b vdd {OP_AMP.name}\n"
    input_v, output_v = swept(text, "dc Vi 0.5 1.301 0.05", "v(out)", 17)
    assert np.max(np.abs(output_v - input_v)) < 1e-3
    assert abs(output_v[8] - input_v[8]) < 1e-4


@pytest.mark.parametrize(("total_a", "feedback_ohm"), [(20e-9, 25e6), (200e-9, 2.5e6), (3.2e-6, 156e3)])
def test_the_amplifier_gives_half_a_volt_either_way(process, total_a, feedback_ohm):
    """R_f I within 2 mV up to the sum of the currents, from the smallest array to 64 OTAs at 50 nA."""
    current_a, score_v = amplifier_curve(process, Amplifier(feedback_ohm, total_a, 1e6), 27.0, 21)
    assert current_a[-1] * feedback_ohm > 0.49
    np.testing.assert_allclose(score_v, feedback_ohm * current_a, atol=2e-3)


@pytest.mark.parametrize("threshold_v", [-0.5, -0.2, 0.0, 0.3, 0.5])
def test_the_comparator_switches_once_from_rail_to_rail(process, threshold_v):
    """Scores from 0.3 V below the threshold to 0.3 V above, as far as the supply goes."""
    text = head("comparator", process, 27.0) + "Vs s 0 0\nEy y cm s 0 -1\n"
    text += comparator_line(threshold_v, 1e-6, "y", "keep")
    low_v, high_v = max(-0.7, threshold_v - 0.3), min(0.7, threshold_v + 0.3)
    score_v, keep_v = swept(
        text, f"dc Vs {low_v} {high_v + 0.0025} 0.005", "v(keep)", round((high_v - low_v) / 0.005) + 1
    )
    keep = keep_v > 0.5 * SUPPLY_V
    np.testing.assert_array_equal(keep, score_v > score_v[np.argmax(keep)] - 1e-9)
    assert abs(score_v[np.argmax(keep)] - threshold_v) < 0.01
    assert keep_v[0] < 0.01 and keep_v[-1] > SUPPLY_V - 0.01


def test_a_transistor_line_has_the_processes_model_and_the_gate():
    process = find_process("generic")
    assert transistor(process, "XN5", "d g s 0", Size(4, 0.5)) == "XN5 d g s 0 generic_nmos w=4 l=0.5\n"
    assert transistor(process, "XP12", "d g vdd vdd", Size(16, 1)).split()[5] == "generic_pmos"
