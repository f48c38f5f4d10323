"""Loss, perplexity and bits a character against what they are of a uniform guess, and the error of a mean."""

from __future__ import annotations

import math

import numpy as np
import pytest

from atis_jax.statistics import language


def test_a_uniform_guess_over_a_vocabulary_costs_its_logarithm():
    found = language(np.full(5, math.log(64.0)), tokens=10, characters=np.full(5, 30))
    assert found.perplexity == pytest.approx(64.0) and found.loss_error == pytest.approx(0.0, abs=1e-12)
    assert found.bits_per_character == pytest.approx(6.0 / 3.0), "6 bits a token of three characters"


def test_the_error_is_that_of_the_mean_over_windows():
    losses = np.array([1.0, 2.0, 4.0, 5.0])
    found = language(losses, tokens=8, characters=np.full(4, 8))
    assert found.loss == 3.0 and found.windows == 4
    assert found.loss_error == pytest.approx(math.sqrt((4 + 1 + 1 + 4) / 3 / 4))
    assert found.bits_per_character_error == pytest.approx(found.loss_error / math.log(2.0))
    with pytest.raises(ValueError, match="1 windows"):
        language(losses[:1], 8, np.full(1, 8))
