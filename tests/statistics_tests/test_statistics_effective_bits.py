"""ENOB against quantisers of known bits, known noise and known gain errors."""

import jax.numpy as jnp
import numpy as np
import pytest

from atis_jax.statistics import effective_bits
from atis_jax.statistics.effective_bits import MOST


def _uniform(count=20_000):
    return jnp.asarray(np.random.default_rng(0).uniform(-0.3, 0.3, count), jnp.float32)


@pytest.mark.parametrize("bits", [2, 4, 6, 8])
def test_a_quantiser_has_its_own_bits(bits):
    """Steps of 0.6 / 2^b; the range holds 99 % of the values, log2(0.99) = -0.014. Rounding errors of few steps are
    not quite uniform against the values: 0.03 bits."""
    wanted = _uniform()
    step = 0.6 / 2**bits
    measured = (jnp.floor(wanted / step) + 0.5) * step
    assert float(effective_bits(wanted, measured).raw) == pytest.approx(bits, abs=0.05)


def test_gaussian_noise_of_known_size():
    """log2(0.594 / (sqrt 12 x 0.01)) = 4.10; the error's own sampling error is 0.5 %, 0.007 bits."""
    wanted = _uniform()
    noise = np.random.default_rng(1).normal(0, 0.01, wanted.shape).astype(np.float32)
    found = effective_bits(wanted, wanted + noise)
    assert float(found.raw) == pytest.approx(np.log2(0.594 / (np.sqrt(12) * 0.01)), abs=0.03)
    assert float(found.fitted) == pytest.approx(float(found.raw), abs=0.01)


def test_gain_and_offset_count_only_raw():
    wanted = _uniform()
    noise = np.random.default_rng(1).normal(0, 0.01, wanted.shape).astype(np.float32)
    clean, off = effective_bits(wanted, wanted + noise), effective_bits(wanted, 0.5 * (wanted + noise) + 0.07)
    assert float(off.fitted) == pytest.approx(float(clean.fitted), abs=1e-3)
    assert off.raw < clean.raw - 2
    # An offset of a whole range is log2(1 / sqrt 12) bits: none.
    assert effective_bits(wanted, wanted + 0.6).raw == 0.0


def test_agreement_has_the_bits_of_float32():
    wanted = _uniform(100)
    assert effective_bits(wanted, wanted).raw == MOST


def test_scores_that_fall_or_stand_still_have_no_bits():
    wanted = _uniform(100)
    assert effective_bits(wanted, -wanted).fitted == 0.0
    assert effective_bits(wanted, jnp.zeros(100)).fitted == 0.0
    nothing = effective_bits(jnp.full(100, 0.2), wanted)
    assert (nothing.fitted, nothing.raw) == (0.0, 0.0)
