"""The oracle that sees the attention: its choice against NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rival_cases import method_of
from scoring_reference import context_for, key

from atis_jax.pruning.stream import Attended
from atis_jax.scoring.registry import METHODS
from atis_jax.scoring.rivals.attention import AttentionSpec
from atis_jax.validation import SettingError

TOKENS, EXAMPLES, HEADS = 17, 200, 2
METHOD = method_of(AttentionSpec())


def test_the_most_attended_stay_in_as_many_as_are_wanted():
    """5.6 of 16 that are not CLS: 5 or 6, the latter in three of five, within five standard errors."""
    received = np.random.default_rng(0).random((EXAMPLES, HEADS, TOKENS)).astype(np.float32)

    @jax.jit
    @jax.vmap
    def decide(received, key):
        context = context_for(1, TOKENS, attended=Attended(received=received), state=())
        return METHOD.score(jnp.float32(5.6 / 16), None, None, jnp.zeros((TOKENS, 1)), context, key)[0].keep[:, 0]

    kept = np.asarray(decide(received, jax.random.split(key(0), EXAMPLES)))
    assert not kept[:, 0].any()
    for example, stays in enumerate(kept):
        most = 1 + np.argsort(-received[example].mean(0)[1:])[: stays.sum()]
        np.testing.assert_array_equal(np.flatnonzero(stays), np.sort(most))
    assert set(kept.sum(1)) == {5, 6}
    assert abs(kept.sum(1).mean() - 5.6) < 5 * np.sqrt(0.6 * 0.4 / EXAMPLES)


@pytest.mark.parametrize("kind", ["attention_received", "random"])
def test_a_control_is_refused_as_what_is_designed(kind):
    with pytest.raises(SettingError, match=f"scorer.kind = '{kind}' has nothing to design; it is a control: put"):
        METHODS[kind](None, None).check(None)
