"""BERT: pooling over survivors, masked against gathered where [SEP] stands elsewhere in each sentence, padding."""

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
from atis_jax.energy.ledger import counts
from atis_jax.energy.shapes import ScorerShape, TokenCounts
from atis_jax.models.bert import POOLINGS, Bert, BertSpec
from atis_jax.models.forward import gathered_forward, masked_forward
from atis_jax.models.passes import ScorerInputs
from atis_jax.pruning.stream import Stream
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.registry import make_method
from atis_jax.training.spec import PruningSpec
from atis_jax.training.survey import survey
from atis_jax.validation import SettingError

LENGTHS, PADDING, DEPTH, KEPT = (4, 6, 9, 12), 8, 2, (0.7, 0.4)
LONGEST = max(LENGTHS)
FACTS = Facts(classes=3, vocabulary=20, length=LONGEST + PADDING, mean_length=5.0)
SPEC = BertSpec(width=16, depth=DEPTH, heads=2, mlp_width=24)
# No converter steps: scores are continuous.
HARDWARE = with_fields(get_preset("nominal"), {"dac.bits": None})


def sentences(padding: int) -> dict[str, jax.Array]:
    """[CLS], words and [SEP], then padding of any number: nobody's business."""
    rng = np.random.default_rng(0)
    token = rng.integers(1, FACTS.vocabulary, (len(LENGTHS), FACTS.length))[:, : LONGEST + padding]
    place, last = np.arange(token.shape[1]), np.array(LENGTHS)[:, None] - 1
    protected = (place == 0) | (place == last)
    return {"token": jnp.asarray(token), "real": jnp.asarray(place <= last), "protected": jnp.asarray(protected)}


@pytest.fixture(scope="module")
def case():
    """An analog scorer half closed under read noise: masked in either length, and really pruned in the longer one."""
    model = Bert(dataclasses.replace(SPEC, head="mean_of_all"), FACTS)
    params = lively_params(model)
    method = make_method(ScorerSpec(inputs=8), HARDWARE, jnp.asarray(PruningSpec(kept=KEPT).kept_of_incoming(DEPTH)))
    short, long = sentences(0), sentences(PADDING)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def begin(batch):
        return method.begin(jax.random.key(1), survey(model, params, method, batch), jnp.asarray(KEPT))

    design, state = begin(short)
    chip = jax.vmap(method.sample_chip)(jax.random.split(jax.random.key(3), DEPTH))
    inputs = ScorerInputs(design, chip, Environment(jnp.float32(310.0), jnp.float32(1.8)), state)
    masked = jax.jit(
        lambda batch: masked_forward(model, params, method, batch, inputs, jax.random.key(5)), compiler_options=QUICK
    )
    found = masked(short)
    room = tuple(int(most) for most in np.asarray(found.alive).any(-1).sum(-1).max(-1))
    gathered = jax.jit(
        lambda batch: gathered_forward(model, params, method, batch, inputs, jax.random.key(5), capacities=room),
        compiler_options=QUICK,
    )
    return types.SimpleNamespace(short=found, long=masked(long), packed=gathered(long), room=room, batch=long)


@pytest.mark.slow
def test_what_is_really_removed_changes_nothing_wherever_sep_stands(case):
    assert case.room[-1] < LONGEST, "something is removed from the longest sentence too"
    np.testing.assert_array_equal(case.packed.alive, case.long.alive)
    np.testing.assert_array_equal(case.packed.overflow, 0)
    np.testing.assert_allclose(case.packed.logits, case.long.logits, atol=1e-5)


@pytest.mark.slow
def test_padding_changes_neither_decision_nor_logits(case):
    np.testing.assert_array_equal(np.asarray(case.long.alive)[:, :, :LONGEST], case.short.alive)
    assert not np.asarray(case.long.alive)[:, :, LONGEST:].any()
    np.testing.assert_allclose(case.long.logits, case.short.logits, atol=1e-5)


@pytest.mark.slow
def test_cls_and_sep_stay_and_words_go(case):
    alive, protected = np.asarray(case.long.alive)[..., 0], np.asarray(case.batch["protected"])
    assert alive[:, protected].all()
    share = alive[-1][np.asarray(case.long.counted)].mean()
    assert 0.1 < share < 0.8


def test_the_mean_is_over_survivors_weighed_by_gate_and_size():
    rng = np.random.default_rng(0)
    x, gate = rng.normal(size=(2, 5, 3)), np.array([[1, 0, 1, 0.5, 1], [1, 1, 1, 1, 1]])
    real, size = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]], bool), np.array([[1, 1, 2, 1, 1], [1, 1, 1, 1, 1]])
    wanted = [np.average(x[0, [0, 2, 3]], axis=0, weights=[1, 2, 0.5]), x[1, :3].mean(0)]
    place = jnp.arange(5)[None]
    stream = Stream(jnp.asarray(x), place, place < 1, jnp.asarray(real))
    stream = dataclasses.replace(stream, gate=jnp.asarray(gate)[..., None], size=jnp.asarray(size))
    np.testing.assert_allclose(POOLINGS["mean"].vector(stream), wanted, rtol=1e-5)
    of_all = [np.average(x[0, :4], axis=0, weights=size[0, :4]), wanted[1]]
    np.testing.assert_allclose(POOLINGS["mean_of_all"].vector(stream), of_all, rtol=1e-5)


def test_a_scorer_pays_for_a_norm_of_its_own():
    scorer = ScorerShape(
        inputs=8.0, prototypes=1, dac_bits=6.0, projection="learned", arrangement="consensus", layers=(True, False)
    )
    tokens = TokenCounts(scored=jnp.array([5.0, 4.0]), kept=jnp.array([4.0, 3.0]))
    network = Bert(SPEC, FACTS).shape()
    assert network.tokens == 5 and network.protected == 2
    np.testing.assert_array_equal(counts(network, scorer, tokens)[1], [9.0, 3.0])
    np.testing.assert_array_equal(counts(network, None, tokens)[1], [4.0, 3.0])


def test_data_without_words_and_batches_that_do_not_fit_are_refused():
    with pytest.raises(SettingError, match="vocabulary of 0 and a length of 0"):
        Bert(SPEC, Facts(classes=2, rows=8, columns=8, channels=1))
    model, batch = Bert(SPEC, FACTS), sentences(0)
    with pytest.raises(SettingError, match=r"\(4, 11\)"):
        model.embed({}, batch | {"real": batch["real"][:, :-1]})
    with pytest.raises(SettingError, match="scorer.source = 'pixels'"):
        model.embed({}, batch, raw=True)
