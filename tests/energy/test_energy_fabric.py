"""Costs of the routing fabric, counted by hand."""

import jax
import pytest

from atis_jax.cells.fabric import supply_current_a, token_charge_c
from atis_jax.energy.components.fabric import area_um2, lines_j, parts_j
from atis_jax.energy.presets import energy_preset

PRESET = energy_preset("horowitz_45nm")
ADDER_TRANSISTOR_J = 0.1e-12 / (32 * 28)


def test_parts_are_counted_and_the_supply_gives_what_the_netlist_draws():
    """Two inputs of 3 bits: three pairs of lines of 20 nA, outputs of 50 nA, 1 us; 6 flip-flops, 3 bits change."""
    parts = parts_j(PRESET, 2.0, 50e-9, 3, 1e-6)
    assert float(parts["registers"]) == pytest.approx(6 * 24 * ADDER_TRANSISTOR_J, rel=1e-5)
    assert float(parts["converters"]) == pytest.approx(3 * 1.5e-15 * 0.9**2, rel=1e-5)
    assert float(parts["lines"]) == pytest.approx(6 * 20e-9 * 1e-6 * 1.8, rel=1e-5)
    assert float(parts["switches"]) == pytest.approx(2 * 50e-9 * 1e-6 * 1.8, rel=1e-5)
    assert float(sum(lines_j(parts).values())) == pytest.approx(float(sum(parts.values())), rel=1e-6)
    netlisted = 1.8 * float(token_charge_c(supply_current_a(2.0, 50e-9), 1e-6))
    assert netlisted == pytest.approx(float(parts["lines"] + parts["switches"] + parts["latch"]), rel=1e-5)


def test_cost_has_a_gradient_by_current_and_by_inputs():
    def token_j(inputs, static_a):
        return sum(parts_j(PRESET, inputs, static_a, 6, 1e-6).values())

    by_inputs, by_current = jax.grad(token_j, (0, 1))(8.0, 1e-7)
    assert float(by_current) == pytest.approx(2 * 1e-6 * 1.8, rel=1e-5)
    assert float(by_inputs) == pytest.approx(float(token_j(9.0, 1e-7) - token_j(8.0, 1e-7)), rel=1e-3)


def test_area_is_switches_sources_and_logic():
    """One input, 3 bits: 8 crossings, 4 input transistors, 5 + 2 sources, 3 steered bits; ends; 3 flip-flops."""
    drawn, layout = 10.87 * 27.57 / 8, 2.5
    small_gates = 2 * 0.42 * 0.15 + 2 * 0.84 * 0.15 + 2 * 0.42 * 0.15
    reset_gates = 3 * 0.15 + 2 * (0.84 + 0.42) * 0.15
    latch_gates = 2 * 4 * 0.5 + 5 * 2 * 0.15 + 4 * 1 * 0.15 + 3 * 0.15 + (2 * 0.84 + 2 * 0.42) * 0.15
    analog = 12 * (drawn + layout * 4) + 7 * (drawn + layout * 2) + 3 * (layout * small_gates + 0.9 * 6)
    analog += layout * (reset_gates + latch_gates) + 0.9 * (7 + 17)
    assert area_um2(1.0, 3) == pytest.approx(analog + 0.9 * (3 * 24 + 200), rel=1e-6)
