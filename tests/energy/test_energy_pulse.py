"""Costs of the circuit with pulse-width inputs, counted by hand."""

import jax
import pytest

from atis_jax.cells.pulse import LATCH_F, PRECHARGE_F, PULSE_F, Timing, pulse_charge_c
from atis_jax.energy.components.pulse import area_um2, folded_j, lines_j, parts_j
from atis_jax.energy.presets import energy_preset

PRESET = energy_preset("horowitz_45nm")
ADDER_TRANSISTOR_J = 0.1e-12 / (32 * 28)
SHORT = Timing(bits=3)
"""Pulses of 0 to 3 steps of 10 ns; 20 + 5 + 30 + 5 + 15 ns a token."""


@pytest.mark.parametrize("slots", [False, True])
def test_logic_is_counted_in_transistors_of_an_adder(slots):
    """Two inputs and a threshold of 3 bits: registers of 3 flip-flops; 6 toggles of the counter, or 2 slots."""
    parts = parts_j(PRESET, 2.0, 1e-6, Timing(bits=3, slots=slots))
    at_each = 2 * 12 if slots else 6 * 24
    generators = 2 * (3 * 24 + at_each) + 3 * 26
    assert float(parts["generators"]) == pytest.approx(generators * ADDER_TRANSISTOR_J, rel=1e-5)
    clock = 6 * 24 + 7.5 * 40 + 200
    assert float(parts["clock"]) == pytest.approx(clock * ADDER_TRANSISTOR_J, rel=1e-5)


@pytest.mark.parametrize("slots", [False, True])
def test_analog_parts_draw_charges_from_the_supply(slots):
    """Of the values -3 to 3 all but zero make a pulse; slots of 2 and 1 steps that are neighbours make one."""
    parts = parts_j(PRESET, 2.0, 1e-6, Timing(bits=3, slots=slots))
    pulses = 2 * 6 / 7 + 1
    assert float(parts["currents"]) == pytest.approx(1e-6 * 75e-9 * 1.8, rel=1e-5)
    assert float(parts["drivers"]) == pytest.approx(2 * pulses * PULSE_F * 1.8**2, rel=1e-5)
    assert float(parts["latch"]) == pytest.approx((PRECHARGE_F + LATCH_F) * 1.8**2, rel=1e-5)
    lines = lines_j(parts)
    assert float(sum(lines.values())) == pytest.approx(float(sum(parts.values())), rel=1e-6)
    # The netlist has one driver a pulse; level shifters are billed as one more.
    netlisted = 1.8 * float(pulse_charge_c(1e-6, pulses, 75e-9))
    analog = float(parts["currents"] + parts["drivers"] + parts["latch"])
    assert netlisted == pytest.approx(analog - 0.5 * float(parts["drivers"]), rel=1e-5)


def test_windows_of_slots_add_up_to_their_number():
    """And 11 steps, 01011 in slots of 16, 8, 4, 2 and 1, are two pulses."""
    timing = Timing(slots=True)
    for steps in range(timing.steps + 1):
        assert sum(last - first for first, last in timing.windows(steps)) == steps
    assert timing.windows(11) == [(16, 24), (28, 31)]


def test_the_rival_multiplies_adds_and_compares():
    assert float(folded_j(PRESET, 8)) == pytest.approx(8 * 0.3e-12 + 0.1e-12, rel=1e-5)


def test_cost_has_a_gradient_by_current_and_by_inputs():
    def token_j(inputs, current_a):
        return sum(parts_j(PRESET, inputs, current_a, SHORT).values())

    by_inputs, by_current = jax.grad(token_j, (0, 1))(8.0, 1e-7)
    assert float(by_current) == pytest.approx(75e-9 * 1.8, rel=1e-5)
    assert float(by_inputs) == pytest.approx(float(token_j(9.0, 1e-7) - token_j(8.0, 1e-7)), rel=1e-3)


def test_area_is_capacitors_gates_and_logic():
    """One input, 3 bits, 10 fF: two branches of 12 transistors, a latch of 17, a precharge of 5, 10 um^2 of
    capacitors, two floating gates; and by the counter 3 + 2 flip-flops, 2 comparisons, 2 branches of 26 + 8, clock and
    phases."""
    branch_gates = 1 * 4 + 3 * 0.42 * 0.15 + 4 * 0.42 * 0.15 + 4 * 0.84 * 0.15
    latch_gates = 2 * 4 * 0.5 + 5 * 2 * 0.15 + 4 * 1 * 0.15 + 3 * 0.15 + (2 * 0.84 + 2 * 0.42) * 0.15
    precharge_gates = 3 * 2 * 0.15 + 3 * 0.15
    analog = 2.5 * (2 * branch_gates + latch_gates + precharge_gates) + 0.9 * (2 * 12 + 17 + 5) + 10.0
    logic = 5 * 24 + 2 * 24 + 2 * (26 + 8) + 40 + 200
    gates = 2 * 10.52 * 16.54 / 2
    assert area_um2(1.0, 10e-15, SHORT) == pytest.approx(analog + gates + 0.9 * logic, rel=1e-6)
