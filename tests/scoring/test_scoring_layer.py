"""A scorer in front of one layer of somebody's own network."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import atis_jax
from atis_jax.validation import SettingError

X = jax.random.normal(jax.random.key(0), (2, 20, 8))
COUNTED = jnp.arange(20) >= jnp.array([[1], [11]])


@pytest.fixture(scope="module")
def built():
    """The quickest to compile, and a design that keeps three tenths of the counted tokens of both examples together."""
    one = atis_jax.scorer("sky130_fg", "digital", inputs=4)
    return one, one.start(jax.random.key(1), X, 0.3, COUNTED)


@pytest.mark.slow
def test_a_start_keeps_the_share_of_the_counted_tokens_and_all_others(built):
    one, design = built
    keep = np.asarray(one(design, X, counted=COUNTED).keep[..., 0])
    assert keep[~COUNTED].all()
    assert abs(keep[COUNTED].mean() - 0.3) <= 1 / COUNTED.sum()


@pytest.mark.slow
def test_a_token_meets_the_same_noise_wherever_it_stands(built):
    one, design, order = atis_jax.scorer("sky130_fg", inputs=4), built[1], np.random.default_rng(0).permutation(20)

    def voltage(order, noise):
        place = jnp.broadcast_to(order, (2, 20))
        return one(design, X[:, order], None, 70.0, key=jax.random.key(noise), position=place).voltage

    here = voltage(jnp.arange(20), 3)
    np.testing.assert_allclose(voltage(order, 3), here[:, order], atol=1e-6)
    assert np.abs(voltage(jnp.arange(20), 5) - here).min() > 1e-6, "another noise is another voltage"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "random"}, "scorer.kind = 'random' is no circuit of ours"),
        ({"prototype": "ema"}, "scorer.prototype = 'ema' looks at queries .* set prototype = 'static'"),
        ({"start": "cls_row"}, "set start = 'random' or 'received'"),
        ({"inputs": 0}, "scorer.inputs = 0"),
    ],
)
def test_what_one_layer_cannot_have_is_refused(fields, said):
    with pytest.raises(SettingError, match=said):
        atis_jax.scorer(**fields)


def test_an_attention_that_no_start_asked_for_is_refused(built):
    with pytest.raises(SettingError, match="scorer.start = 'random' with attention given"):
        built[0].start(jax.random.key(1), X, attention=jnp.ones((2, 1, 20)))
