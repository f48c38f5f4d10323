"""Programming: grid, range, off band, sign, gradient."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from atis_jax.circuits import get_preset
from atis_jax.circuits.floating_gate import FloatingGateSpec, program_current_a

SPEC = FloatingGateSpec(bits=4, error_sigma=0.0, min_current_a=1e-10, max_current_a=1e-7)


def test_grid_is_the_geometric_one():
    """Every programmed magnitude is one of 2^bits - 1 points of a geometric series; all are reached."""
    wanted = np.geomspace(1e-10, 1e-7, 4001)
    grid = 1e-10 * (1e3 ** (1 / 14)) ** np.arange(15)
    nearest = grid[np.abs(np.log(wanted)[:, None] - np.log(grid)).argmin(1)]
    ours = np.asarray(program_current_a(jnp.asarray(wanted), SPEC))
    far_from_tie = np.abs((np.log(wanted / 1e-10) / np.log(1e3) * 14) % 1 - 0.5) > 1e-3
    np.testing.assert_allclose(ours[far_from_tie], nearest[far_from_tie], rtol=1e-5)
    assert len(np.unique(np.round(np.log(ours), 3))) == 15


def test_range_off_band_and_sign():
    wanted = jnp.array([0.0, 0.49e-10, 0.51e-10, 0.99e-10, 2e-7, -1e-7, -0.4e-10])
    expected = [0.0, 0.0, 1e-10, 1e-10, 1e-7, -1e-7, 0.0]
    np.testing.assert_allclose(program_current_a(wanted, SPEC), expected, rtol=1e-5, atol=1e-15)


def test_signs_are_symmetric():
    wanted = jnp.geomspace(1e-11, 1e-6, 100)
    np.testing.assert_array_equal(program_current_a(-wanted, SPEC), -program_current_a(wanted, SPEC))


def test_gradient_is_one_inside_the_range_off_band_included():
    wanted = jnp.array([-2e-7, -5e-9, -1e-11, 0.0, 1e-11, 3e-8, 2e-7])
    slope = jax.vmap(jax.grad(lambda i: program_current_a(i, SPEC)))(wanted)
    np.testing.assert_allclose(slope, [0, 1, 1, 1, 1, 1, 0])


def test_continuous_and_unlimited_is_the_identity():
    wanted = jnp.array([-1e-3, -1e-12, 0.0, 3e-9])
    np.testing.assert_array_equal(program_current_a(wanted, get_preset("ideal").floating_gate), wanted)


def test_eight_bits_round_by_at_most_1_4_percent():
    """Half a step of 3 decades in 254 steps."""
    wanted = jnp.geomspace(1e-10, 1e-7, 9973)
    ours = program_current_a(wanted, get_preset("nominal").floating_gate)
    assert float(jnp.max(jnp.abs(jnp.log(ours / wanted)))) <= np.log(1e3) / 254 / 2 * 1.001
    assert float(jnp.max(jnp.abs(jnp.log(ours / wanted)))) > 0.013


def test_zero_bits_are_refused():
    with pytest.raises(ValueError, match="floating_gate.bits = 0 is outside 2..16; the ideal cell is None"):
        FloatingGateSpec(bits=0, error_sigma=0.0, min_current_a=1e-10, max_current_a=1e-7)


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_bits_as_a_number_give_the_same_grid(bits):
    wanted = jnp.geomspace(1.01e-10, 0.97e-7, 997)  # none of them half-way between two points
    whole = dataclasses.replace(SPEC, bits=bits)
    swept = jax.jit(lambda used: program_current_a(wanted, dataclasses.replace(SPEC, bits=8, used_bits=used)))
    np.testing.assert_allclose(swept(float(bits)), program_current_a(wanted, whole), rtol=1e-6)
