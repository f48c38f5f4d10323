"""Sixteen padding tokens behind every sentence: no loss, decision, noise or count knows of them."""

from __future__ import annotations

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_vit import QUICK, lively_params

from atis_jax.circuits import Environment, get_preset, with_fields
from atis_jax.data.dataset import Facts
from atis_jax.energy.baselines import energy_ratio
from atis_jax.energy.spec import EnergySpec
from atis_jax.models.encoder import Encoder, EncoderSpec
from atis_jax.models.forward import dense_forward, gathered_forward, masked_forward
from atis_jax.models.passes import ScorerInputs
from atis_jax.numerics import layer_of
from atis_jax.pruning import masks
from atis_jax.scoring.atis import losses as atis_losses
from atis_jax.scoring.atis.analog import realise_design
from atis_jax.scoring.atis.method import attended_most
from atis_jax.scoring.atis.program import program
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.registry import make_method
from atis_jax.scoring.rivals.random import RandomSpec
from atis_jax.training import agreement, evaluate, losses
from atis_jax.training.evaluate import Evaluator
from atis_jax.training.spec import CodesignSpec, LossSpec, PruningSpec, StageSpec
from atis_jax.training.state import create_state, optimiser
from atis_jax.training.step import Codesign, codesign_step
from atis_jax.training.survey import survey
from atis_jax.training.task import make_task
from atis_jax.validation import SettingError

SENTENCES, WORDS, PADDING, DEPTH, STEPS = 6, 10, 16, 2, 20
MARGIN_V = 1e-5
# No converter steps: scores are continuous, so a margin in volts is the whole story.
HARDWARE = with_fields(get_preset("nominal"), {"dac.bits": None})
FACTS = Facts(classes=3, vocabulary=20, length=WORDS + PADDING, mean_length=7.0)
SPECS = {
    "analog": ScorerSpec(
        inputs=8, adaptive_rate_v=1e-3, hysteresis=True, prototype="ema", groups=2, arrangement="grouped"
    ),
    "digital": ScorerSpec(kind="digital", inputs=8),
    "random": RandomSpec(),
}
KEPT = (0.8, 0.5)


def sentences(padding: int):
    """Sentences of 3 to 10 words, and ``padding`` tokens more; what stands in a padding token is nobody's business."""
    rng = np.random.default_rng(0)
    token = rng.integers(1, FACTS.vocabulary, (SENTENCES, WORDS + PADDING))[:, : WORDS + padding]
    real = np.arange(WORDS + padding) < np.linspace(3, WORDS, SENTENCES).round()[:, None]
    return {
        "token": jnp.asarray(token, jnp.int32),
        "real": jnp.asarray(real),
        "label": jnp.asarray(np.arange(SENTENCES) % FACTS.classes, jnp.int32),
    }


SHORT, LONG = sentences(0), sentences(PADDING)
MODEL = Encoder(EncoderSpec(width=16, depth=DEPTH, heads=2, mlp_width=24), FACTS)
PARAMS = lively_params(MODEL)


@pytest.fixture(scope="module", params=SPECS)
def case(request):
    """A method half closed, with what its pass says of either length under read noise."""
    spec = SPECS[request.param]
    method = make_method(spec, HARDWARE, jnp.asarray(PruningSpec(kept=KEPT).kept_of_incoming(DEPTH)))
    wanted = jnp.asarray(KEPT)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def begin(batch):
        return method.begin(jax.random.key(1), survey(MODEL, PARAMS, method, batch), wanted)

    design, state = begin(SHORT)
    start = design, begin(LONG)[0]
    if method.tracked:
        design = dataclasses.replace(design, threshold=design.threshold + 1.5)
    chip = environment = None
    if method.fabricated:
        chip = jax.vmap(method.sample_chip)(jax.random.split(jax.random.key(3), DEPTH))
        environment = Environment(jnp.float32(310.0), jnp.float32(1.8))
    inputs = ScorerInputs(design, chip, environment, state)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def masked(batch, key):
        return masked_forward(MODEL, PARAMS, method, batch, inputs, key)

    return types.SimpleNamespace(
        name=request.param,
        method=method,
        inputs=inputs,
        start=start,
        masked=masked,
        short=masked(SHORT, jax.random.key(5)),
        long=masked(LONG, jax.random.key(5)),
    )


def theta_v(case):
    """(L, 1, 1, G) thresholds before feedback; hysteresis and adaption move them alike in both passes."""
    spec, found = case.method.spec, []
    for layer in range(DEPTH):
        design, chip, state = layer_of((case.inputs.design, case.inputs.chip, case.inputs.state), layer)
        if case.method.fabricated:
            realised = realise_design(design, spec, HARDWARE, state.query, chip, case.inputs.environment)
            found.append(realised.threshold_v[: spec.groups])
        else:
            found.append(program(design, spec, HARDWARE, state.query).threshold_v)
    return np.stack(found)[:, None, None]


def cut(leaf):
    """Leaves (L, B, N, ...) without the sixteen."""
    return np.asarray(leaf)[:, :, : WORDS + 1]


@pytest.mark.slow
def test_no_decision_outside_the_margin_changes(case):
    counted = np.asarray(case.short.counted)
    short, long = np.asarray(case.short.alive), cut(case.long.alive)
    share = short.any(-1)[:, counted].mean(1)
    assert np.all((share > 0.1) & (share < 0.95)), "the case prunes some tokens and not others"
    np.testing.assert_allclose(
        cut(case.long.voltage)[:, counted], np.asarray(case.short.voltage)[:, counted], atol=MARGIN_V / 2
    )
    clear = np.ones_like(short)
    if case.method.tracked and not case.method.spec.sequential:
        clear = np.abs(np.asarray(case.short.voltage) - theta_v(case)) > MARGIN_V
    assert clear[:, counted].mean() > 0.98
    same = short == long
    assert np.all(same | ~clear)
    agree = same.all((0, 2, 3))
    np.testing.assert_allclose(np.asarray(case.long.logits)[agree], np.asarray(case.short.logits)[agree], atol=1e-5)
    assert not np.asarray(case.long.alive)[:, :, WORDS + 1 :].any()


@pytest.mark.slow
def test_the_design_that_training_starts_from_knows_of_no_padding(case):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *case.start)


def setup_for(method, threshold: str) -> Codesign:
    costs = Bill(EnergySpec(preset="horowitz_45nm"), MODEL.shape(), (True,) * DEPTH)
    return Codesign(
        model=MODEL,
        method=method,
        task=make_task("classify"),
        stage=StageSpec(steps=STEPS, label_smoothing=0.1),
        pruning=PruningSpec(kept=KEPT, ramp=0.0, hard_from=0.5),
        loss=LossSpec(distill=0.5, keep=10.0, swing=0.05, energy=0.1, attention=0.2),
        codesign=CodesignSpec(threshold=threshold, threshold_learning_rate=0.1, chips_per_step=2),
        energy_ratio=lambda kept, design, state: energy_ratio(method.bill(costs, kept, design, state), costs.dense()),
    )


@pytest.mark.slow
@pytest.mark.parametrize("case", ["analog", "random"], indirect=True)
def test_no_term_of_a_codesign_steps_loss_changes(case):
    """Soft decisions at the stage's start, hard ones at its end.

    Of the circuits the one with more terms; losses over head groups are below.
    """
    sequential = case.method.tracked and case.method.spec.adaptive_rate_v > 0
    setup = setup_for(case.method, "gradient" if sequential else "tracked")
    transform = optimiser(setup.stage, setup.codesign, case.method)
    state = create_state(PARAMS, case.inputs.design, case.inputs.state, jax.random.key(7), transform)
    step, teacher = codesign_step(setup, transform), lively_params(MODEL, seed=1)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def metrics(number, batch):
        found = step(dataclasses.replace(state, step=number), batch, teacher)[1]
        gradient = found.pop("gradient_norm")
        # The gradient of one method is enough: what is not asked for is not compiled.
        return found | ({"gradient_norm": gradient} if case.name == "digital" else {})

    for number in (jnp.int32(0), jnp.int32(STEPS - 1)):
        short, long = metrics(number, SHORT), metrics(number, LONG)
        assert {"loss", "loss_ce", "loss_distill", "kept_per_layer", "energy_ratio"} <= short.keys()
        for name in short.keys() - {"gradient_norm"}:
            # A sum of terms is as large as they are together, and rounds as it is.
            scale = np.maximum(1.0, np.abs(np.asarray(short[name])))
            np.testing.assert_allclose(long[name] / scale, short[name] / scale, rtol=0, atol=1e-6, err_msg=name)
        if "gradient_norm" in short:
            np.testing.assert_allclose(long["gradient_norm"], short["gradient_norm"], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["analog"], indirect=True)
def test_a_tokens_read_noise_does_not_depend_on_batch_bucket_or_padding(case):
    """The same sentence alone, padded, and with its pruned tokens really removed: the same draw for each token."""
    keys, others = jax.random.split(jax.random.key(9), (2, SENTENCES))

    def noise(batch, sentences=slice(None)):
        """The difference of two draws: what is without noise drops out."""
        one, other = (case.masked(batch, draw[sentences]).voltage for draw in (keys, others))
        return np.asarray(one - other)[0]

    def of(batch, index):
        return {name: column[index] for name, column in batch.items()}

    counted, last = np.asarray(case.short.counted), slice(SENTENCES - 1, SENTENCES)
    together = noise(SHORT)
    assert 2e-4 < together[counted].std() < 0.05
    padded, alone = noise(LONG)[:, : WORDS + 1], noise(of(LONG, last), last)[:, : WORDS + 1]
    np.testing.assert_allclose(padded[counted], together[counted], atol=2e-6)
    np.testing.assert_allclose(alone[0, counted[-1]], together[-1, counted[-1]], atol=2e-6)

    room = int(np.asarray(case.short.alive).any(-1).sum(-1).max())
    packed = jax.jit(
        lambda batch, keys: gathered_forward(
            MODEL, PARAMS, case.method, batch, case.inputs, keys, capacities=(room, room)
        ),
        compiler_options=QUICK,
    )(LONG, keys)
    masked = case.masked(LONG, keys)
    np.testing.assert_array_equal(packed.alive, masked.alive)
    seen = np.asarray(masked.before).any(-1) & np.asarray(masked.counted)
    np.testing.assert_allclose(np.asarray(packed.voltage)[seen], np.asarray(masked.voltage)[seen], atol=5e-6)
    np.testing.assert_allclose(packed.logits, masked.logits, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["random"], indirect=True)
def test_random_pruning_keeps_its_share_of_the_real_words(case):
    """``Context.full`` counts them: 0.8 and 0.5 of 3 to 10 words, to the next whole number either way."""
    words = np.asarray(SHORT["real"]).sum(1)
    kept = np.asarray(case.long.alive)[:, :, 1:, 0].sum(-1)
    for layer, share in enumerate(KEPT):
        assert np.all((kept[layer] >= np.floor(share * words - 1e-6)) & (kept[layer] <= np.ceil(share * words + 1e-6)))


@pytest.mark.slow
def test_attention_that_words_receive_leaves_out_padding_rows_and_columns():
    parts = {"received", "cls_row"}
    run = jax.jit(lambda batch: dense_forward(MODEL, PARAMS, batch, needs=parts), compiler_options=QUICK)
    (short, told), (long, more) = run(SHORT), run(LONG)
    np.testing.assert_allclose(long, short, atol=2e-6)
    for part in parts:
        found, wider = np.asarray(getattr(told, part)), np.asarray(getattr(more, part))
        np.testing.assert_allclose(wider[..., : WORDS + 1], found, atol=2e-6)
        np.testing.assert_array_equal(wider[..., WORDS + 1 :], 0.0)
        np.testing.assert_allclose(found.sum(-1), 1.0, atol=1e-5)


@pytest.mark.slow
def test_room_is_chosen_for_real_words():
    """What is kept of the longest sentence, however much padding stands behind it."""
    method = make_method(RandomSpec(), HARDWARE)
    evaluator = Evaluator(MODEL, PARAMS, method, range(DEPTH), make_task("classify"))
    inputs = ScorerInputs(jnp.asarray([1.0, 0.5]), None, None, ())
    weighted = {"weight": jnp.ones(SENTENCES), "number": jnp.arange(SENTENCES)}
    totals = [
        evaluate.count(evaluator.masked(), evaluator.task, [batch | weighted], inputs, jax.random.key(2))
        for batch in (SHORT, LONG)
    ]
    words = int(np.asarray(SHORT["real"]).sum())
    for total in totals:
        assert total.counted == words
        np.testing.assert_array_equal(total.largest, [WORDS, WORDS // 2])
        assert total.kept_fraction[0] == 1.0
        assert abs(total.kept_fraction[1] - 0.5) <= SENTENCES / 2 / words
    np.testing.assert_array_equal(totals[0].kept, totals[1].kept)
    room = evaluate.capacities_for(totals[1].largest, MODEL, range(DEPTH))
    assert all(
        most < taken <= most + 1 + MODEL.tokens // 8 for most, taken in zip(totals[1].largest, room, strict=True)
    )


def columns(seed: int = 0):
    """Random stand-ins for what a pass leaves behind, (L, B, N, G), counted (B, N) with padding at the end."""
    rng = np.random.default_rng(seed)
    shape = (DEPTH, SENTENCES, WORDS + 1, 2)
    alive = np.logical_and.accumulate(rng.random(shape) < 0.7, axis=0)
    counted = np.arange(WORDS + 1) <= rng.integers(3, WORDS, SENTENCES)[:, None]
    counted[:, 0] = False
    return types.SimpleNamespace(
        probability=rng.uniform(0.05, 0.95, shape).astype(np.float32),
        alive=alive,
        voltage=rng.normal(0, 0.3, shape).astype(np.float32),
        row=rng.random((DEPTH, SENTENCES, 2, WORDS + 1)).astype(np.float32),
        counted=counted,
    )


SCORED, FINAL = jnp.ones(DEPTH), jnp.asarray(KEPT)
OF_REAL_TOKENS = {
    "kept_fraction": lambda c: masks.kept_fraction(c.alive[-1], c.counted),
    "kept_tokens": lambda c: masks.kept_tokens(c.alive[-1], c.counted),
    "at_fixed_rate": lambda c: jax.grad(
        lambda p: jnp.sum((masks.at_fixed_rate(p, c.alive[0] & c.counted[..., None]) * c.voltage[0])[c.counted])
    )(c.probability[0])[c.counted],
    "expected_kept": lambda c: losses.expected_kept(c.probability, c.alive, c.counted),
    "expected_kept's gradient": lambda c: jax.grad(
        lambda p: jnp.sum(losses.expected_kept(p, c.alive, c.counted) * FINAL)
    )(c.probability)[:, c.counted],
    "score_swing": lambda c: atis_losses.score_swing(c.voltage, c.alive, 0.5, SCORED, c.counted),
    "attention_agreement": lambda c: atis_losses.attention_agreement(
        c.probability, attended_most(c.row, FINAL, c.counted), SCORED, c.counted
    ),
    "attended_most": lambda c: attended_most(c.row, FINAL, c.counted)[:, c.counted],
    "top_fraction": lambda c: masks.top_fraction(c.voltage[0, ..., 0], c.counted, 2, np.zeros_like(c.counted))[
        c.counted
    ],
    "agreement with attention": lambda c: np.stack(
        agreement.attention_agreement(c.voltage[..., 0], c.alive[..., 0], c.row[:, :, 0], c.counted)
    ),
}


@pytest.mark.parametrize("name", OF_REAL_TOKENS)
def test_counts_and_losses_are_of_real_tokens_alone(name):
    """Random numbers where padding stands change nothing, and sixteen more columns of them do not either."""

    def over(part, axis, value):
        width = [(0, PADDING if at == axis else 0) for at in range(part.ndim)]
        return np.pad(part, width, constant_values=value)

    here, other = columns(), columns(seed=1)
    padding = ~here.counted
    padding[:, 0] = False
    mixed = types.SimpleNamespace(
        probability=np.where(padding[..., None], other.probability, here.probability),
        alive=here.alive,
        voltage=np.where(padding[..., None], other.voltage, here.voltage),
        row=np.where(padding[:, None], other.row, here.row),
        counted=here.counted,
    )
    wide = types.SimpleNamespace(
        probability=over(mixed.probability, 2, 0.5),
        alive=over(mixed.alive, 2, True),
        voltage=over(mixed.voltage, 2, 0.4),
        row=over(mixed.row, 3, 0.9),
        counted=over(mixed.counted, 1, False),
    )
    run = OF_REAL_TOKENS[name]
    for other in (mixed, wide):
        found, wanted = jax.jit(lambda other=other: (run(other), run(here)), compiler_options=QUICK)()
        np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("batch", "raw", "message"),
    [
        (SHORT, True, r"scorer.source = 'pixels' with model.kind = 'encoder'.*set scorer.source = 'tokens'"),
        (jax.tree.map(lambda leaf: jnp.repeat(leaf, 3, axis=-1), SHORT), False, r"\(6, 30\).*W at most 26"),
        (SHORT | {"real": LONG["real"]}, False, r"'token'. of shape \(6, 10\), .*'real'. of shape \(6, 26\)"),
    ],
)
def test_what_an_encoder_cannot_embed_is_named(batch, raw, message):
    with pytest.raises(SettingError, match=message):
        MODEL.embed(PARAMS, batch, raw=raw)


def test_what_the_data_protect_stays_behind_the_encoders_own_cls():
    model = Encoder(MODEL.spec, dataclasses.replace(FACTS, protected=2))
    place = jnp.arange(FACTS.length)[None]
    batch = {"token": place, "real": place < 4, "protected": (place == 0) | (place == 3)}
    stream = model.embed(jax.jit(model.init)(jax.random.key(0)), batch)
    np.testing.assert_array_equal(np.flatnonzero(stream.counted[0]), [2, 3])  # CLS, [CLS], two words, [SEP]
    assert (model.tokens, model.length, model.shape().protected) == (FACTS.length - 2, FACTS.length + 1, 3)


def test_an_encoder_of_what_is_no_text_is_refused():
    with pytest.raises(SettingError, match=r"model.kind = 'encoder' reads words.*choose a data.kind of text"):
        Encoder(EncoderSpec(), Facts(classes=2, rows=8, columns=8, channels=1))
