"""The mean over a step's worst chips: closed forms, Rockafellar and Uryasev's minimum, and the step that uses it."""

from __future__ import annotations

import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.special import logsumexp
from tiny_training import QUICK, TASK, batch, changed, design_for, lively_params, memory_for, split

from atis_jax.training import losses
from atis_jax.training.state import create_state
from atis_jax.training.step import codesign_step, task_terms
from atis_jax.validation import SettingError
from experiments.build import build_model
from experiments.codesign import codesign_setup

LOSSES = np.random.default_rng(0).normal(1.0, 0.5, 12).astype(np.float32)
CHIPS, IMAGES, CLASSES = 4, 3, 5


def test_cvar_is_the_mean_at_one_and_the_maximum_at_one_chip():
    np.testing.assert_allclose(losses.cvar(jnp.asarray(LOSSES), 1.0), LOSSES.mean(), rtol=1e-6)
    for fraction in (1 / 12, 0.01):
        assert losses.cvar(jnp.asarray(LOSSES), fraction) == LOSSES.max()


@pytest.mark.parametrize(("fraction", "count"), [(1 / 12, 1), (0.1, 2), (0.25, 3), (0.26, 4), (0.5, 6), (11 / 12, 11)])
def test_cvar_is_the_mean_of_the_largest_rounded_up(fraction, count):
    assert losses.worst_count(fraction, 12) == count
    expected = np.sort(LOSSES.astype(np.float64))[-count:].mean()
    np.testing.assert_allclose(losses.cvar(jnp.asarray(LOSSES), fraction), expected, rtol=1e-6)


def test_a_whole_number_of_chips_is_not_rounded_up_by_its_last_bit():
    assert 0.07 * 100 > 7 and losses.worst_count(0.07, 100) == 7
    for chips in range(1, 200):
        for count in range(1, chips + 1):
            assert losses.worst_count(count / chips, chips) == count


@pytest.mark.parametrize("count", [1, 3, 6, 9, 12])
def test_cvar_is_rockafellar_and_uryasevs_minimum_where_the_number_is_whole(count):
    """t + mean(max(loss - t, 0)) / fraction is convex and piecewise linear: its minimum lies at one of the losses."""
    fraction, wide = count / 12, LOSSES.astype(np.float64)
    minimum = min(t + np.maximum(wide - t, 0.0).mean() / fraction for t in wide)
    np.testing.assert_allclose(losses.cvar(jnp.asarray(LOSSES), fraction), minimum, rtol=1e-6)


def test_the_gradient_reaches_the_worst_chips_alone(x64):
    slope = jax.grad(lambda loss: losses.cvar(loss, 0.25))(jnp.asarray(LOSSES))
    worst = np.argsort(LOSSES)[-3:]
    expected = np.zeros(12)
    expected[worst] = 1 / 3
    np.testing.assert_allclose(slope, expected, rtol=1e-6)
    check_grads(lambda loss: losses.cvar(loss, 0.25), (LOSSES.astype(np.float64),), 1, eps=1e-4)


def test_equal_chips_are_not_counted_twice():
    np.testing.assert_array_equal(losses.worst_chips(jnp.ones(4), 0.5), [0.5, 0.5, 0.0, 0.0])


def terms_of(logits, objective, fraction=0.5, fabricated=True):
    """Terms of one step; label smoothing 0.1, distillation weighed 0.5 at temperature 2."""
    rng = np.random.default_rng(2)
    labels, teacher = rng.integers(0, CLASSES, CHIPS * IMAGES), rng.normal(0, 2, (CHIPS * IMAGES, CLASSES))
    settings = changed(
        tune=dict(label_smoothing=0.1),
        loss=dict(distill=0.5, distill_temperature=2.0),
        codesign=dict(objective=objective, cvar_fraction=fraction, chips_per_step=CHIPS),
    )
    setup = SimpleNamespace(
        stage=settings.tune,
        loss=settings.loss,
        codesign=settings.codesign,
        task=TASK,
        method=SimpleNamespace(fabricated=fabricated),
        kernel=settings.kernel,
    )
    return task_terms(setup, logits, {"label": labels}, jnp.asarray(teacher)), labels, teacher


@pytest.mark.parametrize("fraction", [0.25, 0.5])
def test_both_terms_are_averaged_over_the_chips_with_the_worst_sum(fraction, x64):
    """In float64 NumPy, image by image: chip c has images 3c to 3c + 2."""
    logits = np.random.default_rng(1).normal(0, 2, (CHIPS * IMAGES, CLASSES))

    def summed(values):
        terms, *known = terms_of(values, "cvar", fraction)
        return sum(terms.values()), (terms, *known)

    (_, (terms, labels, teacher)), slope = jax.jit(jax.value_and_grad(summed, has_aux=True))(jnp.asarray(logits))
    chip = np.repeat(np.arange(CHIPS), IMAGES)
    log_p = logits - logsumexp(logits, axis=1, keepdims=True)
    entropy = -((0.9 * np.eye(CLASSES)[labels] + 0.1 / CLASSES) * log_p).sum(1)
    log_q = logits / 2 - logsumexp(logits / 2, axis=1, keepdims=True)
    log_t = np.asarray(teacher) / 2 - logsumexp(teacher / 2, axis=1, keepdims=True)
    distilled = 0.5 * 4 * (np.exp(log_t) * (log_t - log_q)).sum(1)
    entropy, distilled = (np.array([part[chip == c].mean() for c in range(CHIPS)]) for part in (entropy, distilled))
    worst = np.argsort(entropy + distilled)[-int(CHIPS * fraction) :]
    np.testing.assert_allclose(terms["loss_ce"], entropy[worst].mean(), rtol=1e-6)
    np.testing.assert_allclose(terms["loss_distill"], distilled[worst].mean(), rtol=1e-6)
    reached = np.any(np.asarray(slope) != 0, axis=1)
    np.testing.assert_array_equal(reached, np.isin(chip, worst))


def test_a_scorer_without_chips_and_a_fraction_of_one_keep_the_mean_to_the_bit():
    logits = jnp.asarray(np.random.default_rng(1).normal(0, 2, (CHIPS * IMAGES, CLASSES)), jnp.float32)
    mean = terms_of(logits, "mean")[0]
    for other in (terms_of(logits, "cvar", 1.0)[0], terms_of(logits, "cvar", 0.25, fabricated=False)[0]):
        assert {name: np.asarray(value).tobytes() for name, value in other.items()} == {
            name: np.asarray(value).tobytes() for name, value in mean.items()
        }
    assert terms_of(logits, "cvar", 0.25)[0]["loss_ce"] != mean["loss_ce"]


def first_step(objective, fraction):
    """The step of one layer, and what it starts from; the same chips are drawn for every objective."""
    settings = changed(
        model=dict(depth=1), pruning=dict(kept=(0.6,)), codesign=dict(objective=objective, cvar_fraction=fraction)
    )
    model = build_model(settings, split())
    setup, transform = codesign_setup(settings, model, "analog")
    start = create_state(lively_params(model), design_for(settings), memory_for(settings), jax.random.key(0), transform)
    return codesign_step(setup, transform), (start, batch(), lively_params(model, seed=9))


@pytest.mark.slow
def test_a_step_learns_from_its_worst_chips():
    """Two images a chip: the worst two of four chips are worse than all four."""
    steps, starts = zip(*(first_step(*case) for case in (("cvar", 0.5), ("mean", 0.25))), strict=True)

    def metrics(arguments):
        # One program, so that bits can be compared; without the gradients, which nothing here asks for.
        values = [step(*arguments)[1] for step in steps]
        return [{name: value for name, value in each.items() if name != "gradient_norm"} for each in values]

    worst, mean = jax.device_get(jax.jit(metrics, compiler_options=QUICK)(starts[0]))
    task = [values["loss_ce"] + values["loss_distill"] for values in (worst, mean)]
    assert task[0] > task[1]
    terms = [value for name, value in worst.items() if name.startswith("loss_")]
    np.testing.assert_allclose(worst["loss"], sum(terms), rtol=1e-6)
    # Same chips, same decisions: what is kept and how many are right does not depend on the objective.
    np.testing.assert_array_equal(worst["kept_per_layer"], mean["kept_per_layer"])
    assert worst["accuracy"] == mean["accuracy"]


@pytest.mark.slow
def test_a_step_with_every_chip_among_the_worst_is_todays_to_the_bit():
    """The same operations, one by one: whatever compiles them makes the same program."""

    def operations(objective, fraction):
        step, start = first_step(objective, fraction)
        return re.sub(r" at 0x[0-9a-f]+", "", str(jax.make_jaxpr(step)(*start)))

    mean = operations("mean", 0.25)
    assert operations("cvar", 1.0) == mean
    assert operations("cvar", 0.75) != mean


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(objective="cvarr"), r"codesign.objective = 'cvarr' is not one of: mean, cvar; did you mean 'cvar'"),
        (dict(cvar_fraction=0.0), r"codesign.cvar_fraction = 0.0 is not above its lower bound 0.0"),
        (dict(cvar_fraction=1.5), r"codesign.cvar_fraction = 1.5 is above its upper bound 1.0"),
    ],
)
def test_settings_out_of_range_are_refused(fields, message):
    with pytest.raises(SettingError, match=message):
        changed(codesign=fields)
