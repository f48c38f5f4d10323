"""The oracle that sees the attention: its choice against NumPy, layer after layer."""

from __future__ import annotations

import jax
import numpy as np
from rival_cases import DEPTH, MODEL, batch, method_of, params, start

from atis_jax.models.forward import dense_forward, masked_forward
from atis_jax.scoring.rivals.attention import AttentionSpec

METHOD = method_of(AttentionSpec())


def test_the_most_attended_stay_in_as_many_as_are_wanted():
    inputs = start(METHOD)

    @jax.jit
    def both(params, batch):
        out = masked_forward(MODEL, params, METHOD, batch, inputs, jax.random.key(0))
        return out, dense_forward(MODEL, params, batch, needs={"received"})[1]

    out, dense = both(params(), batch())
    received = np.mean(dense.received, axis=2)[0, :, 1:]  # of the first layer, in front of which nothing was pruned
    kept = np.asarray(out.alive)[:, :, 1:, 0]
    for example in range(len(received)):
        most = np.argsort(-received[example])[: kept[0, example].sum()]
        assert kept[0, example, most].all()
    wanted = np.asarray(inputs.design) * MODEL.tokens
    assert len(wanted) == DEPTH
    np.testing.assert_allclose(kept.sum(-1), np.broadcast_to(wanted[:, None], kept.shape[:2]), atol=0.999)
    assert np.all(kept[1:] <= kept[:-1])
