"""Ranks by which methods keep a share, beside a count of every pair."""

from __future__ import annotations

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atis_jax.scoring.rivals.share import ranks

TOKENS = 12
few = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 1.0, np.inf])  # most are equal to another


@settings(max_examples=100)
@given(hnp.arrays(np.float32, (TOKENS,), elements=few), hnp.arrays(bool, (TOKENS,)))
def test_a_rank_is_how_many_are_smaller_or_equal_and_in_front(values, among):
    ahead = [
        [values[j] < values[i] or (values[j] == values[i] and j < i) for j in range(TOKENS)] for i in range(TOKENS)
    ]
    np.testing.assert_array_equal(jax.jit(ranks)(values, among), (np.array(ahead) & among).sum(axis=1))
