"""What every rival must do: the same whether tokens are masked or gone, whatever the padding and the batch; a bill."""

from __future__ import annotations

import dataclasses
import math
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from rival_cases import (
    BATCH,
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
from scoring_reference import context_for

from atis_jax.energy.shapes import NetworkShape
from atis_jax.energy.spec import EnergySpec
from atis_jax.numerics import layer_of
from atis_jax.pruning.stream import Attended
from atis_jax.scoring.atis.method import Atis
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Survey
from atis_jax.scoring.operations import counting
from atis_jax.scoring.registry import METHODS, OURS
from atis_jax.scoring.rivals.attention import AttentionSpec
from atis_jax.scoring.rivals.dtem import DtemSpec
from atis_jax.scoring.rivals.dynamicvit import DynamicVitSpec
from atis_jax.scoring.rivals.evit import EvitSpec
from atis_jax.scoring.rivals.linear import LinearSpec
from atis_jax.scoring.rivals.ltp import LtpSpec
from atis_jax.scoring.rivals.norm import NormSpec
from atis_jax.scoring.rivals.position import PositionSpec
from atis_jax.scoring.rivals.random import RandomSpec
from atis_jax.scoring.rivals.spatten import SpattenSpec
from atis_jax.scoring.rivals.tome import TomeSpec
from atis_jax.scoring.rivals.zerotprune import ZeroTPruneSpec

SPARED: dict[str, Any] = {
    "zerotprune": lambda n, d, heads: 0.75 * n**2 * d,
}
"""Cosines of all pairs, as the program takes them, less those of half against half, which the method needs."""
KEPT = jnp.asarray([0.6, 0.3])
CASES: dict[str, Any] = {
    "random": RandomSpec(),
    "attention_received": AttentionSpec(),
    "ltp": LtpSpec(final_threshold=0.12, temperature=0.02),
    "tome": TomeSpec(merged=3),
    "dynamicvit": DynamicVitSpec(),
    "zerotprune": ZeroTPruneSpec(votes=(1, 1, 1)),
    "spatten": SpattenSpec(accumulates=True),
    "linear": LinearSpec(),
    "norm": NormSpec(),
    "position": PositionSpec(),
    "dtem": DtemSpec(merged=3),
    "evit": EvitSpec(),
}


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


def products(jaxpr) -> int:
    """Multiply-accumulates of the matrix products in a jaxpr: size of the output times the contracted lengths."""
    total = 0
    for equation in jaxpr.eqns:
        total += sum(products(inner) for inner in jaxprs_in_params(equation.params))
        if equation.primitive.name == "dot_general":
            contracted, _ = equation.params["dimension_numbers"][0]
            shape = equation.invars[0].aval.shape
            total += math.prod(equation.outvars[0].aval.shape) * math.prod(shape[axis] for axis in contracted)
    return total


@pytest.mark.parametrize(("tokens", "width"), [(65, 16), (129, 16), (129, 32)])
@pytest.mark.parametrize("name", CASES)
def test_matrix_products_that_a_decision_adds_are_on_the_bill(name, tokens, width):
    """Of one scored layer from which next to nobody leaves, multiply-accumulates priced at 1 and all else at 0."""
    method, heads, counted = method_of(CASES[name]), 2, np.arange(tokens) > 0
    attended = Attended(
        received=jnp.zeros((heads, tokens)),
        cls_row=jnp.zeros((heads, tokens)),
        keys=jnp.zeros((heads, tokens, width // heads)),
        full=jnp.zeros((heads, tokens, tokens)),
        inputs=jnp.zeros((tokens, width)),
    )
    context = context_for(1, tokens, state=(), attended=attended, along=jnp.arange(tokens), size=jnp.ones(tokens))
    seen = jnp.ones((1, 1, tokens, width))
    shown = Survey(seen, counted[None], jax.tree.map(lambda leaf: leaf[None, None], attended))
    design, state = method.begin(jax.random.key(0), shown, jnp.asarray([0.5]))

    def decide(design, tokens, key):
        return method.score(layer_of(design, 0), None, None, tokens, context, key)[0]

    done = products(jax.make_jaxpr(decide)(design, seen[0, 0], jax.random.key(0)).jaxpr)
    network = NetworkShape(tokens - 1, width, 1, heads, width, 3, 0)
    costs = counting(Bill(EnergySpec(preset="horowitz_45nm"), network, (True,)))
    charged = method.bill(costs, jnp.full(1, 1 - 1e-3 / tokens), design, state).score_j
    spared = SPARED[name](tokens, width, heads) if name in SPARED else 0.0
    assert charged == pytest.approx(done - spared, rel=0.02, abs=1.1 * width)  # EViT fuses what leaves
