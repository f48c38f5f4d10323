"""Multiply-accumulates of a method beside a count by hand, and the cascades that make a share of them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from rival_cases import MODEL, SHALLOW, batch, evaluated, keys, method_of, start, tiny_bill

from atis_jax.scoring.operations import kept_at, operations
from atis_jax.scoring.rivals.evit import EvitSpec
from atis_jax.scoring.rivals.norm import NormSpec
from atis_jax.scoring.rivals.tome import TomeSpec

WIDTH, MLP, TOKENS = 16, 16, MODEL.tokens


def test_operations_are_a_count_by_hand():
    """Maps 4 d^2, both products 2 n d, MLP 2 d m, a token; the norm d a token that reaches a layer; stem and head."""
    kept = (0.5, 0.25, 0.25)
    method = method_of(NormSpec())
    done, dense = operations(method, tiny_bill(), jnp.asarray(kept), (), jnp.asarray(kept))

    def layer(n):
        return n * (4 * WIDTH**2 + 2 * n * WIDTH + 2 * WIDTH * MLP)

    around = float(dense) - 3 * layer(TOKENS + 1)
    reaching = (TOKENS, *(share * TOKENS for share in kept[:-1]))
    by_hand = sum(layer(share * TOKENS + 1) for share in kept) + sum(n * WIDTH for n in reaching) + around
    assert 0 < around < 0.2 * float(dense)
    assert float(done) == pytest.approx(by_hand, rel=1e-5)


def test_a_cascade_makes_the_share_or_names_what_is_in_reach():
    def of(kept):
        return jnp.mean(kept**2)

    shape = (1.0, 0.6, 0.3)
    found = kept_at(0.5, shape, of)
    assert found[0] == 1.0 and float(of(jnp.asarray(found))) == pytest.approx(0.5, abs=1e-5)
    np.testing.assert_allclose(np.log(found[2]) / np.log(found[1]), np.log(0.3) / np.log(0.6), rtol=1e-4)
    with pytest.raises(ValueError, match="a share of 0.2 of the operations is out of reach: 0.333 to 1.000 are"):
        kept_at(0.2, shape, of)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [EvitSpec(), EvitSpec(fuse=False), TomeSpec(merged=None)], ids=lambda spec: str(spec))
@pytest.mark.parametrize("wanted", [(0.6, 0.4), (0.3, 0.3)])
def test_what_whole_tokens_come_to_is_what_is_kept(spec, wanted):
    method, wanted = method_of(spec), jnp.asarray(wanted)
    out = evaluated(method, start(method, wanted), batch(), keys())
    counted = np.asarray(out.alive[..., 0])[:, :, 1:]  # CLS stands first
    expected = method.realised(wanted, SHALLOW.tokens)
    np.testing.assert_allclose(counted.mean(-1), np.broadcast_to(np.asarray(expected)[:, None], counted.shape[:2]))
