"""What every rival must do: the same whether tokens are masked or gone, whatever the padding and the batch; a bill."""

from __future__ import annotations

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rival_cases import (
    BATCH,
    CASES,
    PADDING,
    SHALLOW,
    Padded,
    batch,
    evaluated,
    keys,
    method_of,
    packed,
    room,
    start,
    tiny_bill,
)

from atis_jax.scoring.atis.method import Atis
from atis_jax.scoring.registry import METHODS, OURS

KEPT = jnp.asarray([0.6, 0.3])


def test_no_rival_is_left_out():
    rivals = {kind for kind in OURS if not issubclass(METHODS[kind], Atis)} - {"everything"}  # prunes nothing
    assert {spec.kind for spec in CASES.values()} == rivals


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """A method as it begins, and its passes: masked; the batch turned round; padded, and really removed."""
    method = method_of(CASES[request.param])
    inputs = start(method, KEPT)
    out = evaluated(method, inputs, batch(), keys())
    turned = jax.tree.map(lambda leaf: leaf[::-1], batch())
    back = evaluated(method, inputs, turned, keys()[::-1])
    gone = packed(method, inputs, room(out), Padded(SHALLOW))
    return types.SimpleNamespace(method=method, inputs=inputs, masked=out, turned=back, packed=gone)


@pytest.mark.slow
def test_tokens_leave_layer_after_layer_and_never_the_class_token(case):
    alive = np.asarray(case.masked.alive)[..., 0]
    assert alive[:, :, 0].all()
    share = alive[:, :, 1:].mean((1, 2))
    assert 0.05 < share[1] <= share[0] <= 1.0 and share[1] < 0.8


@pytest.mark.slow
def test_removing_tokens_really_and_padding_change_nothing(case):
    last, trail, logits = case.packed
    alive = np.asarray(trail.alive)
    np.testing.assert_array_equal(alive[:, :, : SHALLOW.length], case.masked.alive)
    assert not alive[:, :, SHALLOW.length :].any() and last.x.shape[1] < SHALLOW.length + PADDING
    np.testing.assert_array_equal(trail.overflow, 0)
    np.testing.assert_allclose(logits, case.masked.logits, atol=1e-5)
    looked = np.asarray(case.masked.before)
    voltage = np.asarray(trail.voltage)[:, :, : SHALLOW.length]
    np.testing.assert_allclose(voltage[looked], np.asarray(case.masked.voltage)[looked], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_an_examples_place_in_the_batch_changes_nothing(case):
    np.testing.assert_array_equal(case.turned.alive[:, ::-1], case.masked.alive)
    np.testing.assert_allclose(case.turned.logits[::-1], case.masked.logits, atol=1e-6)


@pytest.mark.slow
def test_sizes_add_up_to_the_tokens_where_any_are_merged(case):
    last = case.packed[0]
    assert (last.size is not None) == case.method.merges
    if last.size is not None:
        np.testing.assert_array_equal(jnp.sum(last.size, axis=1), jnp.full(BATCH, SHALLOW.length))
        there = np.asarray(last.alive[..., 0])
        assert (np.asarray(last.size)[there] >= 1).all() and (np.asarray(last.size)[:, 0] == 1).all()


@pytest.mark.parametrize("name", CASES)
def test_none_is_charged_nothing_and_more_tokens_cost_more(name):
    """Chance alone is free; each line grows with the tokens."""
    method, kept = method_of(CASES[name]), jnp.asarray([0.75, 0.5, 0.25])
    inputs = start(method, kept)
    # Training differentiates all of a design, whatever of it is frozen.
    assert all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(inputs.design))
    few, many = (
        method.bill(
            dataclasses.replace(tiny_bill("sram_32k"), length=jnp.float32(n)), kept, inputs.design, inputs.state
        )
        for n in (16, 64)
    )
    assert (float(few.scoring_j) > 0) == (name != "random")
    assert all(float(getattr(many, f"{line}_j")) >= float(value) for line, value in few.as_dict().items())
    assert float(many.scoring_j) > float(few.scoring_j) or name == "random"
