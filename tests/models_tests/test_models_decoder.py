"""The decoder, its cache and pruning of its words, against float64 NumPy that loops over words and heads."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpy_decoder
import pytest
from numpy_decoder import LENGTH, VOCABULARY, lively_params, texts, tiny_decoder

from atis_jax.circuits import get_preset
from atis_jax.data.dataset import Facts
from atis_jax.energy.networks import counted_macs
from atis_jax.models import decoder
from atis_jax.models.backbone import key_gate, visible_keys
from atis_jax.models.cache import empty_cache
from atis_jax.models.decode import generate, prefill, step
from atis_jax.models.decoder import Decoder, DecoderSpec
from atis_jax.models.forward import dense_forward, gathered_forward, masked_forward
from atis_jax.models.kernels import Softmax, softmax
from atis_jax.models.passes import SOFTMAX, Relaxation, ScorerInputs
from atis_jax.models.registry import make_model
from atis_jax.numerics import layer_of
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.registry import make_method
from atis_jax.scoring.rivals.random import RandomSpec
from atis_jax.scoring.types import initial_state
from atis_jax.validation import SettingError

KINDS = {
    "gated-tied": dict(),
    "plain-untied-scaled-window": dict(mlp="gelu", tied=False, norm_scale=True, window=3, kv_heads=1),
}
NEAR = dict(rtol=1e-10, atol=1e-10)


@pytest.fixture(params=KINDS)
def model(request, x64):
    return tiny_decoder(**KINDS[request.param])


def padded(rows, columns: int, left: bool):
    """A batch of texts of any lengths; padding holds numbers of no word."""
    token, real = np.full((len(rows), columns), -7), np.zeros((len(rows), columns), bool)
    for number, row in enumerate(rows):
        where = slice(columns - len(row), columns) if left else slice(0, len(row))
        token[number, where], real[number, where] = row, True
    return {"token": jnp.asarray(token), "real": jnp.asarray(real)}


def test_the_whole_pass_is_numpy(model):
    params, text = lively_params(model), texts(0, 2, 6)
    logits, _ = jax.jit(lambda p, batch: dense_forward(model, p, batch))(params, {"token": jnp.asarray(text)})
    for number in range(2):
        np.testing.assert_allclose(logits[number], numpy_decoder.forward(model, params, text[number]), **NEAR)


def test_attention_in_blocks_is_that_of_the_whole_text(x64, monkeypatch):
    for module in (decoder, softmax):
        monkeypatch.setattr(module, "BLOCK", 2)
    model = tiny_decoder(depth=1, window=3)
    params, text = lively_params(model), texts(0, 1, 5)
    logits, _ = jax.jit(lambda p, batch: dense_forward(model, p, batch))(params, {"token": jnp.asarray(text)})
    np.testing.assert_allclose(logits[0], numpy_decoder.forward(model, params, text[0]), **NEAR)


@pytest.mark.slow
@pytest.mark.parametrize("left", [False, True])
def test_prompt_and_steps_through_the_cache_are_the_whole_pass_at_every_word(model, left):
    """Prompts of one to four words, padded either side, and the rest of the text word by word."""
    params, text = lively_params(model), texts(1, 4, 7)
    expected = [numpy_decoder.forward(model, params, row) for row in text]
    batch = padded([row[: 1 + number] for number, row in enumerate(text)], 5, left)
    logits, reading = jax.jit(lambda p, batch: prefill(model, p, batch, slots=7))(params, batch)
    read = jax.jit(lambda p, reading, token: step(model, p, reading, token))
    for further in range(4):
        for number in range(4):
            np.testing.assert_allclose(logits[number], expected[number][number + further], **NEAR)
        token = jnp.asarray(
            [row[number + further + 1] if number + further < 6 else 0 for number, row in enumerate(text)]
        )
        logits, reading = read(params, reading, token)


@pytest.mark.slow
def test_a_prompt_in_chunks_is_the_prompt_at_once(x64):
    """Padding in front, a last chunk that is not full, one text that ends before it."""
    model = tiny_decoder(window=3)
    params, batch = lively_params(model), padded([texts(1, 1, words)[0] for words in (3, 7)], 8, left=True)
    (wanted, whole), (found, cut) = (
        jax.jit(lambda p, batch, chunk=chunk: prefill(model, p, batch, slots=9, chunk=chunk))(params, batch)
        for chunk in (None, 3)
    )
    np.testing.assert_allclose(found, wanted, **NEAR)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, **NEAR), cut, whole)
    with pytest.raises(SettingError, match="chunk = 3 and slots = 7 with a prompt of 8 words"):
        prefill(model, params, batch, slots=7, chunk=3)


@pytest.mark.slow
def test_slots_given_up_are_keys_masked_and_room_for_the_next_words(model):
    """Every head of every layer gives up other slots; the cache has no room but theirs."""
    params, text, prompt = lively_params(model), texts(2, 2, 9), 6
    _, reading = jax.jit(lambda p, batch: prefill(model, p, batch, slots=prompt))(
        params, {"token": jnp.asarray(text[:, :prompt])}
    )
    order = np.random.default_rng(3).permuted(np.tile(np.arange(prompt), (2, 2, model.heads, 1)), axis=-1)
    kept = order < prompt - 3
    cache = reading.cache.evict(jnp.asarray(kept))
    reading = dataclasses.replace(reading, cache=cache)
    position = np.asarray(cache.position)  # (L, B, J, C)
    read = jax.jit(lambda p, reading, token: step(model, p, reading, token))
    found = []
    for place in range(prompt, 9):
        logits, reading = read(params, reading, jnp.asarray(text[:, place]))
        found.append(logits)
    np.testing.assert_array_equal(reading.cache.lost, 0)
    for number in range(2):

        def sees(layer, j, n, m, number=number):
            gone = set(position[layer, number, j][~kept[layer, number, j]])
            return n < prompt or m not in gone

        expected = numpy_decoder.forward(model, params, text[number], sees)[prompt:]
        np.testing.assert_allclose(np.stack(found)[:, number], expected, **NEAR)


@pytest.mark.slow
def test_a_word_refused_before_it_is_written_is_a_key_masked_but_for_itself(x64):
    """Each key head of each layer refuses words of its own; the first chunk has three words, then they come alone."""
    model = tiny_decoder()
    params, text = lively_params(model), texts(5, 1, 6)
    alive = np.random.default_rng(6).random((model.spec.depth, 6, model.heads)) < 0.5

    @jax.jit
    def read(params, cache, token, position, alive):
        stream = model.words(params, token, position, jnp.zeros(position.shape, bool))

        def layer(stream, here):
            block, cache, alive = here
            stream = dataclasses.replace(stream, alive=alive[None])
            cache = model.remember(block, stream, cache)
            stream, _ = model.attend(block, stream, SOFTMAX, cache=cache)
            return dataclasses.replace(model.feed(block, stream), alive=None), cache

        stream, cache = jax.lax.scan(layer, stream, (model.blocks(params), cache, alive))
        return model.predict(params, stream.x[0]), cache

    empty = empty_cache(1, model.heads, 6, model.spec.key_width, jnp.float64)
    cache = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (model.depth, *leaf.shape)), empty)
    found = []
    for words in (slice(0, 3), slice(3, 4), slice(4, 5), slice(5, 6)):
        place = jnp.arange(6)[None, words]
        logits, cache = read(params, cache, jnp.asarray(text[:, words]), place, jnp.asarray(alive[:, words]))
        found.append(logits)
    expected = numpy_decoder.forward(model, params, text[0], lambda layer, j, n, m: alive[layer, m, j])
    np.testing.assert_allclose(np.concatenate(found), expected, **NEAR)
    np.testing.assert_array_equal(cache.written[:, 0].sum(-1), alive.sum(1))


def test_words_without_room_are_counted_and_the_others_keep_their_slots():
    cache = empty_cache(1, 2, 3, 1, jnp.float32)
    words = jnp.arange(5.0).reshape(1, 1, 5, 1) * jnp.ones((1, 2, 1, 1))
    here = jnp.asarray([[[1, 1, 1, 1, 1], [0, 1, 0, 1, 0]]], bool)
    cache = jax.jit(lambda cache: cache.write(words, -words, jnp.arange(5)[None], here))(cache)
    np.testing.assert_array_equal(cache.lost, [[2, 0]])
    np.testing.assert_array_equal(cache.written, [[[True] * 3, [True, True, False]]])
    np.testing.assert_array_equal(cache.keys[0, 0, :, 0], [0, 1, 2])
    np.testing.assert_array_equal(cache.position[0, 1, :2], [1, 3])
    np.testing.assert_array_equal(cache.values[0, 1, :2, 0], [-1, -3])


def decided(model, batch, method, inputs, key):
    """A pass with decisions; the model's own texts have ``LENGTH`` words."""
    run = jax.jit(lambda p, batch, inputs, key: masked_forward(model, p, method, batch, inputs, key))
    return lambda params: run(params, batch, inputs, key)


@pytest.mark.slow
@pytest.mark.parametrize("left", [False, True])
def test_padding_changes_no_logit_and_no_decision(left):
    model = tiny_decoder()
    params, text = lively_params(model, dtype="float32"), texts(4, 2, 6)
    method, inputs = chance((0.7, 0.4))
    keys = jax.random.split(jax.random.key(0), 2)
    plain = decided(model, {"token": jnp.asarray(text)}, method, inputs, keys)(params)
    batch = padded(text, 6 + 16, left)
    out = decided(model, batch, method, inputs, keys)(params)
    np.testing.assert_allclose(
        np.asarray(out.logits)[np.asarray(batch["real"])].reshape(2, 6, -1), plain.logits, atol=2e-5
    )
    np.testing.assert_array_equal(out.alive[:, :, :6], plain.alive)
    np.testing.assert_array_equal(out.counted[:, :6], np.broadcast_to(plain.counted, (2, 6)))
    assert not np.any(out.counted[:, 6:]) and not np.any(out.alive[:, :, 6:])


@dataclasses.dataclass(frozen=True, eq=False)
class Traced(Softmax):
    """Counts how often a program is made of it."""

    times: list = dataclasses.field(default_factory=list)

    def __call__(self, *args, **options):
        self.times.append(args[0].shape)
        return super().__call__(*args, **options)


@pytest.mark.slow
def test_a_step_of_generation_is_compiled_once(x64):
    """However many words are said, layers there are, and prompts come."""
    model, counted = tiny_decoder(depth=3), []
    params = lively_params(model)
    for steps in (3, 6):
        kernel = Traced()
        said = [generate(model, params, {"token": jnp.asarray(texts(n, 2, 4))}, steps, kernel=kernel) for n in (5, 6)]
        assert said[0].shape == (2, steps)
        counted.append(len(kernel.times))
    assert counted[0] == counted[1] <= 4


@pytest.mark.slow
def test_generation_says_the_likeliest_word_of_the_whole_pass(x64):
    model = tiny_decoder()
    params, prompt = lively_params(model), texts(7, 2, 3)
    said = generate(model, params, {"token": jnp.asarray(prompt)}, 4)
    for number in range(2):
        text = list(prompt[number])
        for word in np.asarray(said)[number]:
            assert word == np.argmax(numpy_decoder.forward(model, params, text)[-1])
            text.append(int(word))


@pytest.mark.slow
def test_words_are_drawn_by_key_and_temperature(x64):
    """Near zero the likeliest; hot, any word of the vocabulary."""
    model = tiny_decoder()
    params, batch = lively_params(model), {"token": jnp.asarray(texts(8, 2, 3))}
    cold = generate(model, params, batch, 4, key=jax.random.key(0), temperature=1e-6)
    np.testing.assert_array_equal(cold, generate(model, params, batch, 4))
    hot = [np.asarray(generate(model, params, batch, 4, key=jax.random.key(n), temperature=1e3)) for n in (1, 2)]
    assert np.any(hot[0] != hot[1]) and np.all((np.stack(hot) >= 0) & (np.stack(hot) < VOCABULARY))


def test_a_cache_too_small_for_the_words_is_refused():
    model = tiny_decoder()
    with pytest.raises(SettingError, match=r"slots = 5 and steps = 4 with a prompt of 3 words.*at least 6"):
        generate(model, {}, {"token": jnp.zeros((1, 3), int)}, 4, slots=5)


def chance(shares):
    return make_method(RandomSpec(), get_preset("nominal")), ScorerInputs(jnp.asarray(shares), None, None, ())


def digital():
    """Prototypes of two head groups, thresholds in the middle of the scores."""
    method = make_method(ScorerSpec(inputs=8, kind="digital", arrangement="grouped", groups=2), get_preset("nominal"))
    rng = np.random.default_rng(9)
    design = Design(
        projection=jnp.asarray(rng.normal(0, 0.25, (2, 8, 16))),
        input_gain=jnp.zeros(2),
        prototype=jnp.asarray(rng.normal(size=(2, 2, 8))),
        bias_scale=jnp.zeros(2),
        feedback=jnp.zeros((2, 2)),
        threshold=jnp.zeros((2, 2)),
    )
    return method, ScorerInputs(design, None, None, jax.vmap(lambda _: initial_state(2, 16))(jnp.arange(2)))


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda: chance((0.6, 0.3)), digital], ids=["random", "digital"])
def test_pruned_words_are_masked_or_removed_to_the_same_end(make, x64):
    """Both passes and NumPy, that of words left out too: a word reads on from where it was pruned."""
    model = tiny_decoder()
    params, text = lively_params(model), [row[:n] for row, n in zip(texts(10, 3, 9), (9, 7, 4), strict=True)]
    method, inputs = make()
    batch, key = padded(text, 10, left=True), jax.random.key(1)
    a = jax.jit(lambda p, i, k: masked_forward(model, p, method, batch, i, k))(params, inputs, key)
    room = tuple(int(n) for n in np.asarray(a.alive).any(-1).sum(-1).max(-1))
    b = jax.jit(lambda p, i, k: gathered_forward(model, p, method, batch, i, k, capacities=room))(params, inputs, key)
    np.testing.assert_array_equal(a.alive, b.alive)
    np.testing.assert_array_equal(b.overflow, 0)
    real = np.asarray(batch["real"])
    np.testing.assert_allclose(np.asarray(a.logits)[real], np.asarray(b.logits)[real], **NEAR)
    alive = np.asarray(a.alive)  # (L, B, N, G)
    assert 0 < alive[:, 0, :8].sum() < alive[:, 0, :8].size
    for number, row in enumerate(text):
        here = alive[:, number]
        expected = numpy_decoder.forward(
            model,
            params,
            row,
            lambda layer, j, n, m, here=here: here[layer, m, j * here.shape[-1] // model.heads],
            lambda layer, n, here=here: here[layer, n].any(),
        )
        np.testing.assert_allclose(np.asarray(a.logits)[number, real[number]], expected, **NEAR)
        assert here[:, len(row) - 1].all()  # the last word, behind which the next is said


def test_a_row_always_sees_itself():
    """Also with its own gate shut, and padding; and no other key whose gate is shut."""
    model = tiny_decoder()

    @jax.jit
    def pairs(params, batch):
        stream = model.embed(params, batch).opened(1)
        stream = dataclasses.replace(stream, gate=jnp.zeros_like(stream.gate).at[:, 1].set(1.0))
        visible, gate = visible_keys(stream, key_gate(stream, model.heads), model.rule)
        return visible & (gate > 0)

    seen = np.asarray(pairs(lively_params(model, dtype="float32"), padded(texts(11, 1, 5), 6, left=False)))[0]
    expected = np.eye(6, dtype=bool)
    expected[1:, 1] = True
    np.testing.assert_array_equal(seen, np.broadcast_to(expected, seen.shape))


@pytest.mark.slow
def test_gradients_through_shut_gates_are_finite():
    model = tiny_decoder()
    params, text = lively_params(model, dtype="float32"), texts(12, 2, 5)
    method, inputs = digital()
    inputs = dataclasses.replace(inputs, design=dataclasses.replace(inputs.design, threshold=jnp.full((2, 2), 30.0)))
    inputs = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if leaf.dtype != bool else leaf, inputs)

    @jax.jit
    @jax.grad
    def gradient(values):
        whole = dataclasses.replace(inputs, design=values["design"])
        soft = Relaxation(smoothing=0.3)
        batch = padded(text, 6, left=True)
        out = masked_forward(model, values["params"], method, batch, whole, None, relaxation=soft)
        return jnp.sum(jnp.square(out.logits))

    found = gradient({"params": params, "design": inputs.design})
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))
    assert np.any(np.asarray(found["params"]["blocks"]["down"]))


def test_the_last_words_row_is_its_query_pulled_back_to_the_words(x64):
    """At one place for all, where nothing is turned and all see all: softmax(x . W_k q) of normalised words."""
    model = tiny_decoder(norm_scale=True)
    params = lively_params(model)

    @jax.jit
    def first_block(params, token):
        stream = model.embed(params, {"token": token})
        stream = dataclasses.replace(stream, position=jnp.zeros_like(stream.position))
        return stream.x, model.attend(layer_of(params["blocks"], 0), stream, SOFTMAX, ("cls_row", "query"))[1]

    x, attended = jax.device_get(first_block(params, texts(13, 2, 5)))
    normed = x / np.sqrt(np.mean(x * x, -1, keepdims=True) + model.spec.norm_epsilon)
    logits = np.einsum("bnd,bhd->bhn", normed, attended.query)
    weight = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(attended.cls_row, weight, **NEAR)
    assert attended.full is None


@pytest.mark.slow
def test_dropout_needs_a_key_and_changes_with_it():
    model = tiny_decoder(dropout=0.5)
    params, batch = lively_params(model, dtype="float32"), {"token": jnp.asarray(texts(14, 2, 4))}
    run = jax.jit(lambda p, k: dense_forward(model, p, batch, dropout_key=k)[0])
    off, one, two = (np.asarray(run(params, k)) for k in (None, jax.random.key(1), jax.random.key(2)))
    np.testing.assert_allclose(off[0], numpy_decoder.forward(model, params, batch["token"][0]), atol=2e-5)
    assert np.abs(one - off).max() > 1e-2 and np.abs(one - two).max() > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_the_bill_counts_every_weight_that_acts_on_a_word(kind):
    model = tiny_decoder(**KINDS[kind])
    params = jax.eval_shape(model.init, jax.random.key(0))
    weights = sum(leaf.size for leaf in jax.tree.leaves(params["blocks"]) if leaf.ndim == 3)
    shape = model.shape()
    assert shape.weights == weights
    pairs = 2 * model.depth * LENGTH**2 * model.width
    assert counted_macs(shape) == LENGTH * (weights + VOCABULARY * model.width) + pairs


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(width=18), r"model.heads = 4 does not divide model.width = 18; choose a divisor"),
        (dict(kv_heads=3), r"model.kv_heads = 3 does not divide model.heads = 4.*choose a divisor of the heads"),
        (dict(width=12), r"model.width / model.heads = 3 must be even"),
        (dict(mlp="relu"), r"model.mlp = 'relu' is not one of: swiglu, gelu"),
        (dict(rotary_base=1.0), r"model.rotary_base = 1.0 is not above its lower bound 1.0"),
    ],
)
def test_impossible_decoders_are_refused_by_name(fields, message):
    with pytest.raises(SettingError, match=message):
        DecoderSpec(**(dict(width=16, heads=4, kv_heads=2) | fields))


def test_data_that_are_no_text_are_refused():
    with pytest.raises(SettingError, match=r"model.kind = 'decoder' with facts.vocabulary = 0.*data set of text"):
        make_model(DecoderSpec(), Facts(classes=10, rows=8, columns=8))
    assert isinstance(make_model(DecoderSpec(), Facts(classes=9, vocabulary=9, length=4)), Decoder)


def test_a_text_too_long_and_words_made_of_pixels_are_refused():
    model = tiny_decoder()
    params = lively_params(model, dtype="float32")
    with pytest.raises(SettingError, match=r"has 25 words a text, beyond the 24"):
        model.embed(params, {"token": jnp.zeros((1, 25), int)})
    with pytest.raises(SettingError, match=r"scorer.source = 'pixels' with model.kind = 'decoder'"):
        model.embed(params, {"token": jnp.zeros((1, 5), int)}, raw=True)


@pytest.mark.slow
def test_a_number_outside_the_vocabulary_is_no_other_word():
    model = tiny_decoder()
    x = model.embed(
        lively_params(model, dtype="float32"), {"token": jnp.asarray([[0, VOCABULARY, -1, VOCABULARY - 1]])}
    ).x
    np.testing.assert_array_equal(np.isnan(x[0, :, 0]), [False, True, True, False])
