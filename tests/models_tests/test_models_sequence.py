"""Images in time against plain loops over images, layers and tokens in float64 NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpy_vit
import pytest
from numpy_vit import QUICK, images_for, lively_params, tiny_model

from atis_jax.circuits import Environment, get_preset, nominal_chip, with_fields
from atis_jax.models.passes import ScorerInputs
from atis_jax.models.sequence import keep_bit_changes, sequence_forward
from atis_jax.numerics import layer_of
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.registry import make_method
from atis_jax.scoring.types import initial_state

IMAGES, DEPTH, WIDTH, INPUTS = 12, 2, 16, 8
TARGET, EMA_RATE, BAND = np.array([0.5, 0.7]), 0.2, 0.15
BAND_V = BAND * 1.0
"""The ideal comparator's span is one volt."""
HARDWARE = with_fields(
    get_preset("ideal"),
    {"comparator.hysteresis_fraction": BAND, "thermal.bias": "constant"},  # gm then falls as 1/T, and nothing else
)
KELVIN = np.linspace(260.0, 380.0, IMAGES)
CASES = {
    "adaptive": dict(adaptive_rate_v=4e-3, activity_rate=0.1),
    "hysteresis": dict(hysteresis=True),
    "ema": dict(prototype="ema"),
    "all": dict(adaptive_rate_v=4e-3, activity_rate=0.1, hysteresis=True, prototype="ema"),
}


@pytest.fixture(scope="module")
def tiny():
    model = tiny_model(depth=DEPTH, stem="linear", rotary=False)
    images, rng = images_for(4, IMAGES), np.random.default_rng(5)
    leaves = dict(
        projection=rng.normal(0, 0.25, (DEPTH, INPUTS, WIDTH)),
        input_gain=rng.normal(0.3, 0.1, DEPTH),
        prototype=rng.normal(0, 0.7, (DEPTH, 1, INPUTS)),
        bias_scale=rng.normal(1, 0.3, DEPTH),
        feedback=rng.normal(0.3, 0.1, (DEPTH, 1)),
        threshold=rng.normal(0.0, 0.1, (DEPTH, 1)),
    )
    design = Design(**{name: jnp.asarray(leaf, jnp.float32) for name, leaf in leaves.items()})
    query = jnp.asarray(rng.normal(size=(DEPTH, 1, WIDTH)), jnp.float32)
    return model, lively_params(model), images, design, query


def between(raw, low, high):
    """Geometric interpolation between two bounds by a logistic (the ranges of design.py)."""
    return low * (high / low) ** (1.0 / (1.0 + np.exp(-np.asarray(raw, np.float64))))


def score(d, layer, x, weights, kelvin):
    """Volts at the comparator of an ideal linear array whose bias does not move with temperature."""
    x = (x - x.mean()) / np.sqrt(x.var() + 1e-6)
    inputs_v = 0.1 * between(d["input_gain"][layer], 0.01, 10.0) * (d["projection"][layer] @ x)
    current_a = between(d["bias_scale"][layer], 4e-9, 100e-9) * weights
    slope = 0.7 / (2 * 1.380649e-23 * kelvin / 1.602176634e-19)
    return between(d["feedback"][layer, 0], 1e3, 1e10) * np.sum(current_a * slope * inputs_v)


def pulled_back_query(model, p, x):
    """Mean over heads of W_k q / sqrt(K) of CLS: a vector that acts on normalised tokens as its logits do."""
    heads, key_width = model.spec.heads, WIDTH // model.spec.heads
    cls = numpy_vit.layer_norm(x[:1])[0]
    parts = []
    for head in range(heads):
        columns = slice(head * key_width, (head + 1) * key_width)
        q = (cls @ p["qkv_kernel"] + p["qkv_bias"])[columns]
        parts.append(p["qkv_kernel"][:, WIDTH:][:, columns] @ q / np.sqrt(key_width))
    return np.mean(parts, axis=0)


def plain_sequence(tiny, spec):
    """Everything one image, one layer, one token at a time; also the least distance of a score from its edge."""
    model, params, images, design, query = tiny
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)["params"]
    d = {name: np.asarray(getattr(design, name), np.float64) for name in Design.__dataclass_fields__}
    q = [np.asarray(query[layer, 0], np.float64) for layer in range(DEPTH)]
    ybar, shift, high = [0.5] * DEPTH, [0.0] * DEPTH, [False] * DEPTH
    found = {name: [] for name in ("predicted", "kept", "pairs", "toggles", "activity", "shift", "query")}
    margin = np.inf
    for image, kelvin in zip(images, KELVIN, strict=True):
        x, index = numpy_vit.embed(model, p, image), np.arange(model.tokens + 1)
        kept, pairs, toggles = [], [], []
        for layer in range(DEPTH):
            weights = np.tanh(d["prototype"][layer, 0])
            if spec.prototype == "ema":
                mapped = d["projection"][layer] @ q[layer]
                weights = 0.95 * mapped / np.abs(mapped).max()
            wanted = 0.5 * (2.0 / (1.0 + np.exp(-d["threshold"][layer, 0])) - 1.0)
            stays, bits = [], []
            for slot, position in enumerate(index):
                edge = wanted + shift[layer]
                if spec.hysteresis:
                    edge += -BAND_V / 2 if high[layer] else BAND_V / 2
                volts = score(d, layer, x[slot], weights, kelvin)
                margin = min(margin, abs(volts - edge))
                y = volts > edge
                if spec.hysteresis or spec.adaptive_rate_v > 0:
                    high[layer] = y
                    ybar[layer] = (1 - spec.activity_rate) * ybar[layer] + spec.activity_rate * y
                    shift[layer] += spec.adaptive_rate_v * (ybar[layer] - TARGET[layer])
                if position > 0:
                    bits.append(y)
                if y or position == 0:
                    stays.append(slot)
            x, index = x[stays], index[stays]
            kept.append(sum(bits) / model.tokens)
            pairs.append(max(len(bits) - 1, 0))
            toggles.append(sum(a != b for a, b in zip(bits, bits[1:], strict=False)))
            if spec.prototype == "ema":
                pulled = pulled_back_query(model, layer_of(p["blocks"], layer), x)
                q[layer] = (1 - EMA_RATE) * q[layer] + EMA_RATE * pulled
            x = numpy_vit.block(model, layer_of(p["blocks"], layer), x, index, np.ones((len(index), 1)))[0]
        logits = numpy_vit.dense(numpy_vit.layer_norm(x[0], p["norm"]), p["head"])
        values = (np.argmax(logits), kept, pairs, toggles, list(ybar), list(shift), [part.copy() for part in q])
        for name, value in zip(found, values, strict=True):
            found[name].append(value)
    return {name: np.asarray(value) for name, value in found.items()}, margin


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_scan_is_the_plain_loop_over_images_and_tokens(tiny, name):
    model, params, images, design, query = tiny
    spec = ScorerSpec(inputs=INPUTS, ema_rate=EMA_RATE, **CASES[name])
    chip = jax.tree.map(lambda leaf: jnp.stack([leaf] * DEPTH), nominal_chip(HARDWARE, spec.geometry))
    state = jax.vmap(lambda q: initial_state(1, WIDTH, q))(query)
    method = make_method(spec, HARDWARE, jnp.asarray(TARGET, jnp.float32))

    def in_time(params, images, kelvin, state):
        environment = Environment(jnp.float32(300.15), jnp.float32(HARDWARE.supply_v))
        inputs = ScorerInputs(design, chip, environment, state)
        return sequence_forward(model, params, method, {"image": images}, kelvin, inputs, None)

    kelvin = jnp.asarray(KELVIN, jnp.float32)
    run = jax.jit(in_time, compiler_options=QUICK)
    out = run(params, images, kelvin, state)
    wanted, margin = plain_sequence(tiny, spec)
    assert margin > 2e-6, "a score lies within rounding of its edge: the comparison would be chance"
    np.testing.assert_array_equal(out.pairs, wanted["pairs"])
    np.testing.assert_array_equal(out.toggles, wanted["toggles"])
    np.testing.assert_allclose(out.kept, wanted["kept"], atol=1e-6)
    np.testing.assert_array_equal(out.predicted, wanted["predicted"])
    np.testing.assert_allclose(out.state.activity[..., 0], wanted["activity"], atol=1e-5)
    np.testing.assert_allclose(out.state.threshold_shift_v[..., 0], wanted["shift"], atol=1e-5)
    np.testing.assert_allclose(out.state.query[:, :, 0], wanted["query"], rtol=1e-4, atol=1e-4)
    assert 0.1 < wanted["kept"].mean() < 0.9  # neither everything nor nothing

    # The memory crosses from image to image: the second half alone is another one, unless given that memory.
    # (The first half follows it, so that the program is the same; what comes later changes nothing before.)
    half = IMAGES // 2
    middle = jax.tree.map(lambda leaf: np.asarray(leaf)[half - 1], out.state)
    later = np.roll(images, -half, axis=0), np.roll(kelvin, -half)
    goes_on = run(params, *later, middle)
    np.testing.assert_array_equal(goes_on.kept[:half], out.kept[half:])
    fresh = run(params, *later, state)
    # One bit of memory reaches no further than the first token of the next image, CLS, which always stays.
    assert name == "hysteresis" or np.any(np.asarray(fresh.kept)[:half] != np.asarray(out.kept)[half:])


def test_changes_are_counted_between_tokens_that_reached_the_comparator():
    bits = np.array([1, 0, 0, 1, 1, 0, 1], bool)
    reached = np.array([1, 0, 1, 1, 0, 1, 1], bool)
    # 1 . 0 1 . 0 1: four pairs, each a change.
    both = np.stack([bits & reached, np.zeros(7, bool)], axis=1), np.stack([reached, reached], axis=1)
    changes, pairs = keep_bit_changes(*(jnp.asarray(part) for part in both))
    assert (int(changes), int(pairs)) == (4, 8)  # the second group never changes
    nothing = jnp.zeros((7, 1), bool)
    assert [int(n) for n in keep_bit_changes(nothing, nothing)] == [0, 0]


def test_one_temperature_for_each_image(tiny):
    model, params, images, design, query = tiny
    state = jax.vmap(lambda q: initial_state(1, WIDTH, q))(query)
    method = make_method(ScorerSpec(inputs=INPUTS), HARDWARE)
    inputs = ScorerInputs(design, None, None, state)
    with pytest.raises(ValueError, match=r"shape \(3,\) for 12 examples; give one for each"):
        sequence_forward(model, params, method, {"image": images}, jnp.full(3, 300.0), inputs, None)
    with pytest.raises(ValueError, match="needs an environment"):
        sequence_forward(model, params, method, {"image": images}, jnp.full(12, 300.0), inputs, None)
