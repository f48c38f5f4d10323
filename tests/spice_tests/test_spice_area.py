"""Silicon of a scorer against a count by hand."""

import pytest

from atis_jax.cells.area import scorer_um2


def test_the_area_of_a_scorer_is_that_of_its_gates_counted_by_hand():
    """Two rows of three inputs. An OTA: tail and pair of 4 x 2, two of 4 x 4, um; with the diode one 4 x 2 more. An
    op-amp: seven of 8 x 1, one of 16 x 1, 20 kohm and 0.5 pF. A comparator: seventeen of 8 x 1, two inverters. Layout
    2.5 times the gates; a strip 0.69 um wide with as much between its legs, 2 kohm a square; 2 fF a um^2; a floating
    gate half of 10.52 x 16.54 um."""
    strip_um2 = 2 * 0.69**2 / 2000
    op_amp = 2.5 * (7 * 8 + 16) + 20e3 * strip_um2 + 0.5e-12 / 2e-15
    comparator = 2.5 * (17 * 8 + 2 * (0.5 + 1.0))
    for bias, ota, gate in (("floating_gate", 3 * 8 + 2 * 16, 10.52 * 16.54 / 2), ("netlisted", 4 * 8 + 2 * 16, 0.0)):
        area = scorer_um2(3, 2, 1, 78e3, bias)
        assert area.otas == pytest.approx(6 * 2.5 * ota)
        assert area.floating_gates == pytest.approx(6 * gate)
        assert area.feedback == pytest.approx(2 * 78e3 * strip_um2)
        expected = 6 * (2.5 * ota + gate) + 2 * (op_amp + 78e3 * strip_um2) + comparator
        assert area.total == pytest.approx(expected)
