"""The ledger against a count by loops over matrix shapes, finite differences, and the model itself."""

import dataclasses

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from jax.extend.core import jaxprs_in_params
from jax.flatten_util import ravel_pytree

from atis_jax.energy.ledger import LINE_ENTRIES, LINES, SCORING_LINES, ledger
from atis_jax.energy.presets import EnergyPreset, energy_preset
from atis_jax.energy.shapes import (
    ARRANGEMENTS,
    PROJECTIONS,
    NetworkShape,
    ScorerShape,
    attention_macs,
    mlp_macs,
    token_latency_s,
)
from atis_jax.models.spec import ModelSpec
from atis_jax.models.vit import VisionTransformer
from atis_jax.validation import SettingError

NETWORK = NetworkShape(tokens=64, width=32, depth=3, heads=4, mlp_width=48, classes=10, stem_macs=5000)
SCORER = ScorerShape(
    inputs=16,
    prototypes=2,
    dac_bits=5,
    projection="learned",
    arrangement="multiplexed",
    layers=(False, True, True),
)
# Every operation has its own price, all of order one, so that a term charged to the wrong entry shows.
PRICES = EnergyPreset(1.0, 1.3, 0.7, 0.4, 1.1, 0.9, 0.6, 0.2, 2.0, 0.3, 0.5)
SCORED, KEPT, BIAS = np.array([64.0, 64.0, 40.0]), np.array([64.0, 40.0, 17.5]), np.array([0.0, 1.2, 0.8])


def counted_by_loops(preset, network, scorer, scored, kept, bias, supply, time):
    """Joules by walking layers and listing each matrix product as (rows, inner, columns): no shared
    formula."""
    d, total = network.width, 0.0
    for layer in range(network.depth):
        on = scorer.layers[layer]
        looked_at = scored[layer] if on else kept[layer]
        total += (looked_at + network.protected) * d * (2 * preset.normalise_multiply_j + 3 * preset.normalise_add_j)
        if on:
            n = scored[layer]
            if scorer.projection in ("learned", "gaussian"):
                total += n * d * scorer.inputs * preset.score_mac_j
            elif scorer.projection == "sparse_sign":
                total += n * d * scorer.inputs / 3 * preset.score_add_j
            total += n * scorer.inputs * scorer.dac_bits * preset.dac_j_per_bit
            total += n * bias[layer] * supply * time
            for _ in range(scorer.prototypes):
                total += n * (scorer.inputs * preset.ota_dynamic_j + preset.tia_w * time + preset.comparator_j)
                if scorer.arrangement == "multiplexed" and scorer.prototypes > 1:
                    total += n * scorer.inputs * preset.switch_j
        n, key_width = kept[layer] + network.protected, d // network.heads
        products = [(n, d, d)] * 4
        products += [(n, key_width, n), (n, n, key_width)] * network.heads
        products += [(n, d, network.mlp_width), (n, network.mlp_width, d)]
        total += preset.network_mac_j * sum(rows * inner * columns for rows, inner, columns in products)
    return total + preset.network_mac_j * (network.stem_macs + d * network.classes)


@st.composite
def cases(draw):
    depth, heads = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    network = NetworkShape(
        tokens=100,
        width=heads * draw(st.integers(1, 16)),
        depth=depth,
        heads=heads,
        mlp_width=draw(st.integers(1, 64)),
        classes=draw(st.integers(1, 20)),
        stem_macs=draw(st.integers(0, 10_000)),
        protected=draw(st.integers(0, 2)),
    )
    scorer = ScorerShape(
        inputs=draw(st.integers(1, 64)),
        prototypes=draw(st.integers(1, 4)),
        dac_bits=draw(st.integers(1, 10)),
        projection=draw(st.sampled_from(PROJECTIONS)),
        arrangement=draw(st.sampled_from(ARRANGEMENTS)),
        layers=tuple(draw(st.lists(st.booleans(), min_size=depth, max_size=depth))),
    )
    vector = st.lists(st.floats(0.0, 100.0), min_size=depth, max_size=depth).map(np.array)
    positive = st.floats(0.0, 5.0)
    prices = EnergyPreset(*(draw(positive) for _ in range(11)))
    return prices, network, scorer, draw(vector), draw(vector), draw(vector), draw(positive), draw(positive)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cases())
def test_the_parts_add_up_to_a_count_by_loops(case):
    """In float64 the ledger's lines, its total and the independent count agree to rounding (some 100
    terms)."""
    with jax.enable_x64(True):
        result = ledger(*case)
        parts = np.array([float(getattr(result, field.name)) for field in dataclasses.fields(result)])
        total, scoring = float(result.total_j), float(result.scoring_j)
    assert np.all(parts >= 0)
    assert total == pytest.approx(parts.sum(), rel=1e-12, abs=1e-300)
    assert total == pytest.approx(counted_by_loops(*case), rel=1e-12, abs=1e-300)
    assert list(result.as_dict()) == list(LINES)
    assert scoring == pytest.approx(sum(parts[LINES.index(line)] for line in SCORING_LINES), rel=1e-12, abs=1e-300)


def test_float32_agrees_with_the_count_at_physical_magnitudes():
    """Nanoamperes, picojoules and microseconds: products near 1e-21 must not be lost in float32."""
    preset = energy_preset("horowitz_45nm")
    arguments = (preset, NETWORK, SCORER, SCORED, KEPT, BIAS * 1e-9, 1.0, 1e-6)
    result = jax.jit(ledger)(*arguments[:3], *map(jnp.float32, arguments[3:]))
    assert result.ota_j.dtype == jnp.float32
    assert float(result.total_j) == pytest.approx(counted_by_loops(*arguments), rel=2e-6)


def test_gradients_equal_finite_differences_for_every_knob(x64):
    """Central differences of a polynomial of degree two in each knob are exact up to rounding: about
    1e-16 * total / step = 1e-16 * 1e6 / 1e-3 = 1e-7, below the absolute bound of 1e-6."""

    @jax.jit
    def total(knobs):
        prices, rest = knobs
        return ledger(prices, NETWORK, SCORER, *rest).total_j

    knobs = (
        PRICES,
        (jnp.asarray(SCORED), jnp.asarray(KEPT), jnp.asarray(BIAS), jnp.asarray(1.1), jnp.asarray(0.9)),
    )
    flat, rebuild = ravel_pytree(knobs)
    gradient, _ = ravel_pytree(jax.grad(total)(knobs))
    step = 1e-3
    for index in range(flat.size):
        up, down = (float(total(rebuild(flat.at[index].add(sign * step)))) for sign in (1, -1))
        numeric = (up - down) / (2 * step)
        assert float(gradient[index]) == pytest.approx(numeric, rel=1e-8, abs=1e-6), index
    # Entries with no gradient: additions and digital compares (none here), scored and bias of the layer
    # without scorer. Everything else must be a live knob.
    names = [field.name for field in dataclasses.fields(EnergyPreset) if field.name != "name"]
    dead = {names[i] for i in range(11) if float(gradient[i]) == 0}
    assert dead == {"score_add_j", "compare_j"}
    assert [float(x) == 0 for x in gradient[11:20]] == [True] + [False] * 5 + [True] + [False] * 2


def test_each_line_draws_only_on_the_entries_it_names():
    """Sparse signs use additions and the rest multiply-accumulates: both kinds are tried."""
    touched = {line: set() for line in LINES}
    for projection in PROJECTIONS:
        scorer = dataclasses.replace(SCORER, projection=projection)
        lines = jax.jacrev(lambda p, s=scorer: ledger(p, NETWORK, s, SCORED, KEPT, BIAS, 1.0, 1.0).as_dict())(PRICES)
        for line, gradient in lines.items():
            touched[line] |= {name for name, value in vars(gradient).items() if name != "name" and value != 0}
    digital_only = {"score": {"score_mac_j"}, "comparator": {"compare_j"}}
    assert touched == {line: set(LINE_ENTRIES[line]) - digital_only.get(line, set()) for line in LINES}
    assert set(LINE_ENTRIES) == set(LINES)


def test_vmap_over_images_gives_each_its_own_energy():
    kept = jnp.asarray(np.stack([KEPT, KEPT / 2, KEPT * 0]))
    per_image = jax.vmap(lambda k: ledger(PRICES, NETWORK, SCORER, SCORED, k, BIAS, 1.0, 1.0).total_j)(kept)
    for image in range(3):
        alone = counted_by_loops(PRICES, NETWORK, SCORER, SCORED, np.asarray(kept[image]), BIAS, 1.0, 1.0)
        assert float(per_image[image]) == pytest.approx(alone, rel=2e-6)
    # Attention is convex in the count, so the energy of the mean count is below the mean energy.
    of_mean = ledger(PRICES, NETWORK, SCORER, SCORED, kept.mean(0), BIAS, 1.0, 1.0).total_j
    assert float(of_mean) < float(per_image.mean())


def dot_macs(jaxpr):
    """Multiply-accumulates of every dot_general in a jaxpr: size of the output times the contracted
    length."""
    total = 0
    for equation in jaxpr.eqns:
        for inner in jaxprs_in_params(equation.params):
            total += dot_macs(inner)
        if equation.primitive.name == "dot_general":
            contracted = equation.params["dimension_numbers"][0][0]
            shape = equation.invars[0].aval.shape
            total += int(np.prod([shape[axis] for axis in contracted])) * equation.outvars[0].aval.size
    return total


def test_a_block_of_the_model_does_the_multiply_accumulates_that_are_charged():
    """Traced from the Flax model, not from formulas. On top it pulls the CLS query back to token space (d^2),
    which only the moving-average prototype reads; the docs list it as left out."""
    spec = ModelSpec(width=24, depth=1, heads=3, mlp_width=40, patch=4)
    model = VisionTransformer(spec, classes=10, tokens=16)
    image, tokens = jnp.zeros((1, 16, 16, 1)), jnp.zeros((1, 17, 24))
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    traced = jax.make_jaxpr(lambda v, x: model.apply(v, 0, x, method="block"))(variables, tokens)
    network = NetworkShape(tokens=16, width=24, depth=1, heads=3, mlp_width=40, classes=10, stem_macs=0)
    charged = attention_macs(network, 17.0) + mlp_macs(network, 17.0)
    assert dot_macs(traced.jaxpr) - 24 * 24 == charged


def test_multiplexing_costs_turns_and_switching_not_more_conversions():
    grouped = dataclasses.replace(SCORER, arrangement="grouped")
    turns = ledger(PRICES, NETWORK, SCORER, SCORED, KEPT, BIAS, 1.0, 1.0)
    side_by_side = ledger(PRICES, NETWORK, grouped, SCORED, KEPT, BIAS, 1.0, 1.0)
    assert turns.dac_j == side_by_side.dac_j
    assert float(turns.switching_j) == pytest.approx(104 * 2 * 16 * 0.5)
    assert float(side_by_side.switching_j) == 0.0
    assert token_latency_s(SCORER, 1e-6) == pytest.approx(2e-6)
    assert token_latency_s(grouped, 1e-6) == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dataclasses.replace(NETWORK, tokens=0), "network.tokens = 0.*at least 1"),
        (lambda: dataclasses.replace(NETWORK, protected=-1), "network.protected = -1.*at least 0"),
        (lambda: dataclasses.replace(SCORER, dac_bits=0), "scorer.dac_bits = 0.*at least 1"),
        (lambda: dataclasses.replace(SCORER, dac_bits=None), "scorer.dac_bits = None"),
        (lambda: dataclasses.replace(SCORER, projection="gausian"), "gausian.*did you mean 'gaussian'"),
        (lambda: dataclasses.replace(SCORER, layers=[True] * 3), "scorer.layers.*tuple"),
        (
            lambda: ledger(PRICES, NETWORK, SCORER, SCORED[:2], KEPT, BIAS, 1.0, 1.0),
            r"scored_per_layer has shape \(2,\).*3 layers",
        ),
        (
            lambda: ledger(PRICES, NETWORK, SCORER, SCORED, KEPT, 1e-9, 1.0, 1.0),
            r"bias_current_a has shape \(\)",
        ),
        (
            lambda: ledger(PRICES, NETWORK, dataclasses.replace(SCORER, layers=(True,)), SCORED, KEPT, BIAS, 1.0, 1.0),
            "scorer.layers has shape",
        ),
    ],
)
def test_bad_shapes_are_refused_by_name(make, message):
    with pytest.raises(SettingError, match=message):
        make()
