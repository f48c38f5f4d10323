"""The ledger as the loss sees it: shapes counted from the program itself, one ledger for loss and summary."""

from __future__ import annotations

import contextlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_training import SETTINGS, SIDE, TASK, changed, design_for, lively_params, memory_for, split

from atis_jax.circuits import get_preset, with_fields
from atis_jax.energy.presets import energy_preset
from atis_jax.energy.shapes import attention_macs, mlp_macs
from atis_jax.models.kernels import Softmax
from atis_jax.numerics import layer_of
from atis_jax.pruning.stream import Stream
from atis_jax.scoring.atis.ledger import array_current_a
from atis_jax.scoring.registry import make_method
from atis_jax.training.evaluate import Evaluator
from atis_jax.training.state import TrainState
from atis_jax.validation import SettingError
from experiments.build import build_model
from experiments.chips import Trained
from experiments.codesign import codesign_setup
from experiments.ledgers import run_bill
from experiments.measure import energy_summary

SPLIT = split()
PRESET = energy_preset(SETTINGS.energy.preset)


def matrix_macs(function, *args) -> int:
    """Multiply-accumulates of every matrix product in the program of ``function``."""

    def count(jaxpr):
        total = 0
        for equation in jaxpr.eqns:
            if equation.primitive.name == "dot_general":
                (contracted, _), _ = equation.params["dimension_numbers"]
                shape = equation.invars[0].aval.shape
                total += math.prod(shape[axis] for axis in contracted) * math.prod(equation.outvars[0].aval.shape)
            for value in equation.params.values():
                for item in value if isinstance(value, (tuple, list)) else [value]:
                    inner = getattr(item, "jaxpr", item)
                    total += count(inner) if hasattr(inner, "eqns") else 0
        return total

    return count(jax.make_jaxpr(function)(*args).jaxpr)


@pytest.mark.parametrize(
    "changes",
    [
        dict(stem="linear", patch=2),
        dict(stem="linear", patch=4, width=24),
        dict(stem="conv", patch=2, stem_width=5),
        dict(stem="conv", patch=4, stem_width=7, width=24),
    ],
)
def test_macs_are_those_of_the_traced_program(changes):
    settings = changed(model=changes)
    model = build_model(settings, SPLIT)
    shape = model.shape()
    params, image = lively_params(model), jnp.zeros((1, SIDE, SIDE, 1))
    assert matrix_macs(lambda p, x: model.embed(p, {"image": x}), params, image) == shape.stem_macs

    position = jnp.arange(model.length)[None]
    stream = Stream(jnp.zeros((1, model.length, model.width)), position, position < 1)
    block, everyone = layer_of(model.blocks(params), 0), jnp.float32(model.length)
    attend = matrix_macs(lambda p, s: model.attend(p, s, Softmax()), block, stream)
    assert attend == float(attention_macs(shape, everyone))
    # The CLS query pulled back to token space is for prototypes that follow it, and made for no other.
    asked = matrix_macs(lambda p, s: model.attend(p, s, Softmax(), {"query"}), block, stream)
    assert asked == attend + model.width**2
    assert matrix_macs(model.feed, block, stream) == float(mlp_macs(shape, everyone))
    assert matrix_macs(model.read_out, params, stream) == shape.width * shape.classes


def summed_currents(design) -> np.ndarray:
    """Sum over the array of largest current times |tanh|, float64; 4 to 100 nA in logarithm."""
    raw = np.asarray(design.bias_scale, np.float64)
    largest_a = 4e-9 * 25.0 ** (1 / (1 + np.exp(-raw)))
    return largest_a * np.abs(np.tanh(np.asarray(design.prototype, np.float64))).sum((1, 2))


def test_array_current_is_the_sum_of_bias_currents():
    design = design_for()
    found = array_current_a(design, SETTINGS.scorer, get_preset("nominal"), memory_for().query)
    np.testing.assert_allclose(found, summed_currents(design), rtol=1e-5)


@pytest.mark.parametrize("kind", ["analog", "digital"])
def test_the_summarys_ledger_is_the_losss(kind):
    settings = changed(scorer=dict(kind=kind))
    model = build_model(settings, SPLIT)
    setup, _ = codesign_setup(settings, model, kind)
    design, memory, kept = design_for(settings), memory_for(settings), np.array([0.55, 0.3])
    ratio = setup.energy_ratio(jnp.asarray(kept, jnp.float32), design, memory)

    state = TrainState(jnp.zeros(()), {}, design, memory, {}, jax.random.key(0))
    method = make_method(settings.scorer, settings.hardware.build())
    evaluator = Evaluator(model, {}, method, range(model.depth), TASK)
    summary = energy_summary(settings, model, Trained(evaluator, state), kept)
    np.testing.assert_allclose(ratio, summary["total_j"] / summary["dense_j"], rtol=1e-5)
    np.testing.assert_allclose(summary["total_j"], sum(summary["ledger_j"].values()), rtol=1e-5)
    # The rivals at the same fractions: what pruning saves without the analog part.
    assert summary["digital_folded_j"] < summary["digital_j"]
    assert (summary["total_j"] == pytest.approx(summary["digital_folded_j"], rel=1e-6)) == (kind == "digital")
    scoring = summary["digital_scoring_j"] - summary["digital_folded_scoring_j"]
    np.testing.assert_allclose(scoring, summary["digital_j"] - summary["digital_folded_j"], rtol=1e-3)


def ledger_of(settings=SETTINGS, hardware=None):
    """The scorer's lines in a run's ledger."""
    hardware = settings.hardware.build() if hardware is None else hardware
    return make_method(settings.scorer, hardware).ledger(run_bill(settings, build_model(settings, SPLIT)))


def spent_by(kind: str, kept, design, **fields):
    """What a method is charged."""
    settings = changed(scorer=fields)
    method = make_method(settings.scorer_of(kind), settings.hardware.build())
    return method.bill(run_bill(settings, build_model(settings, SPLIT)), kept, design, memory_for())


def test_the_analog_lines_by_hand():
    """Bias current, supply and token time; DAC bits; tokens each layer's scorer still sees; memory."""
    design = design_for()
    lines = ledger_of(changed(energy=dict(token_time_s=2e-6, core="bias", circuit="priced")))
    spent = lines.analog(jnp.asarray([0.5, 0.25]), design, memory_for().query)
    scored = np.array([16.0, 8.0])  # the second layer looks at what the first left
    currents = summed_currents(design)
    full_scale_v = get_preset("nominal").dac.full_scale_v
    ota_j = np.sum(scored * currents) * 1.8 * 2e-6 + scored.sum() * 8 * PRESET.line_f * 1.8 * full_scale_v
    np.testing.assert_allclose(spent.ota_j, ota_j, rtol=1e-5)
    np.testing.assert_allclose(spent.dac_j, scored.sum() * 8 * 6 * PRESET.dac_j_per_bit, rtol=1e-6)
    np.testing.assert_allclose(spent.projection_j, scored.sum() * 8 * 16 * PRESET.score_mac_j, rtol=1e-6)
    tokens = np.array([8.0, 4.0]) + 1
    np.testing.assert_allclose(spent.mlp_j, (2 * 16 * 16 * tokens).sum() * PRESET.network_mac_j, rtol=1e-6)
    quarter = (4 * 16**2 * tokens + 2 * 16 * tokens**2).sum()
    np.testing.assert_allclose(spent.attention_j, quarter * PRESET.network_mac_j, rtol=1e-6)
    weights = 2 * (4 * 16 * 16 + 2 * 16 * 16) + 16 * 3  # and the head's, three classes
    np.testing.assert_allclose(spent.weights_j, weights * PRESET.sram_1m_j_per_byte, rtol=1e-6)
    moved = (12 * 16 + 2 * 16) * tokens.sum()
    np.testing.assert_allclose(spent.activations_j, moved * PRESET.sram_32k_j_per_byte, rtol=1e-6)
    read = scored.sum() * 16 * PRESET.sram_32k_j_per_byte + 2 * 8 * 16 * PRESET.sram_32k_j_per_byte
    np.testing.assert_allclose(spent.scorer_memory_j, read, rtol=1e-6)
    np.testing.assert_allclose(spent.programming_j, 2 * 8 * PRESET.program_j / 1e9, rtol=1e-6)


def test_a_time_too_short_for_the_design_is_refused_before_it_is_trained():
    """The layer that needs the longest is named, and what it needs; twice that passes."""
    for token_s, refused in ((4e-6, True), (4e-5, False)):
        lines = ledger_of(changed(energy=dict(core="bias", token_time_s=token_s)))
        with pytest.raises(SettingError, match="that the circuit of layer") if refused else contextlib.nullcontext():
            lines.check_token_time(design_for(), memory_for().query)


def test_layers_without_a_scorer_are_charged_none():
    design, settings = design_for(), changed(pruning=dict(first_layer=1, kept=(0.5,)))
    assert run_bill(settings, build_model(settings, SPLIT)).layers == (False, True)
    ideal = ledger_of(hardware=get_preset("ideal"))
    assert ideal.scorer(design).dac_bits == 8  # charged as int8
    assert ledger_of().scorer(design).dac_bits == 6


def test_the_bits_in_use_are_charged():
    hardware = with_fields(get_preset("nominal"), {"dac.used_bits": jnp.float32(3)})
    charged = ledger_of(hardware=hardware).scorer(design_for()).dac_bits
    assert charged == 3 and isinstance(charged, int)


def test_random_pruning_is_charged_the_network_alone():
    everything = spent_by("random", jnp.ones(2), jnp.ones(2))
    dense = run_bill(SETTINGS, build_model(SETTINGS, SPLIT)).dense()
    np.testing.assert_allclose(everything.total_j, dense.total_j, rtol=1e-6)
    assert float(everything.scoring_j) == 0.0
    half = spent_by("random", jnp.full(2, 0.5), jnp.ones(2))
    assert float(half.mlp_j) < 0.6 * float(everything.mlp_j)


def test_a_moving_prototype_does_not_fold():
    found = {}
    for prototype in ("static", "ema"):
        spent = spent_by("digital", jnp.asarray([0.5, 0.25]), design_for(), prototype=prototype)
        found[prototype] = float(spent.projection_j + spent.score_j)
    scored = 24
    np.testing.assert_allclose(found["static"], scored * 16 * PRESET.score_mac_j, rtol=1e-5)  # d a token
    np.testing.assert_allclose(found["ema"], scored * (8 * 16 + 8) * PRESET.score_mac_j, rtol=1e-5)  # N d + N


def test_the_ratios_slope_is_its_finite_difference():
    # Of a circuit as built larger currents settle sooner, and may cost less: a fixed time has one sign.
    settings = changed(energy=dict(core="bias", circuit="priced"))
    model = build_model(settings, SPLIT)
    setup, _ = codesign_setup(settings, model, "analog")
    design, memory = design_for(), memory_for()
    ratio = jax.jit(setup.energy_ratio)
    by_kept, by_design = jax.jit(jax.grad(setup.energy_ratio, argnums=(0, 1)))(jnp.asarray([0.5, 0.3]), design, memory)
    assert np.all(np.asarray(by_kept) > 0)  # a token more costs more
    step = 0.05  # in float32 a wide step: the ledger is a quadratic in the counts, which central differences hit
    for layer in range(2):
        moved = [jnp.asarray([0.5, 0.3]).at[layer].add(sign * step) for sign in (1, -1)]
        slope = (float(ratio(moved[0], design, memory)) - float(ratio(moved[1], design, memory))) / (2 * step)
        np.testing.assert_allclose(by_kept[layer], slope, rtol=1e-3)
    # Currents: a larger bias costs more, through the exponential of its range.
    assert np.all(np.asarray(by_design.bias_scale) > 0)
    for name in ("threshold", "feedback", "input_gain"):
        np.testing.assert_array_equal(getattr(by_design, name), 0.0)
