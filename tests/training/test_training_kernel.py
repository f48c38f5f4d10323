"""A run whose attention is computed by a circuit: its section, what it is fitted to, its chips while training."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from tiny_training import SETTINGS, batch, changed

from atis_jax.config import as_dict, as_stored_now, from_config_dict, to_config_dict
from atis_jax.data.dataset import Facts
from atis_jax.models.kernels import SoftmaxSpec, make_kernel
from atis_jax.models.kernels.charge_domain import ChargeDomainSpec
from atis_jax.models.kernels.circuit import FITTED
from atis_jax.models.kernels.fit import with_kernel
from atis_jax.models.registry import make_model
from atis_jax.training.state import labels
from atis_jax.training.step import draw_attention, draw_hardware
from atis_jax.validation import SettingError
from experiments.codesign import codesign_setup
from experiments.ledgers import run_bill
from experiments.settings import CodesignSettings

CIRCUIT = changed(kernel=ChargeDomainSpec(bits=3))
MODEL = make_model(SETTINGS.model, Facts(classes=3, rows=8, columns=8, channels=1, mean=(0.5,), std=(0.3,)))


def test_a_stored_run_without_the_section_has_exact_attention():
    stored = as_dict(SETTINGS)
    del stored["kernel"]
    now = as_stored_now(CodesignSettings, stored)
    assert from_config_dict(CodesignSettings, now).kernel == SoftmaxSpec()
    assert now == as_dict(SETTINGS)


def test_the_section_has_the_fields_of_its_kind():
    config = to_config_dict(SETTINGS)
    config.kernel.kind = "charge_domain"
    config.kernel.bits = 3
    assert from_config_dict(CodesignSettings, config) == CIRCUIT
    with pytest.raises(SettingError, match="config.kernel.kind = 'charge_domian' is not one of: softmax.*did you mean"):
        config.kernel.kind = "charge_domian"
    with pytest.raises(SettingError, match="config.codesign.chips_per_step = 3 does not divide data.batch_size = 8"):
        changed(CIRCUIT, codesign=dict(chips_per_step=3))


def test_a_step_draws_a_chip_of_attention_for_each_of_the_scorer():
    setup = codesign_setup(CIRCUIT, MODEL, "analog")[0]
    key = jax.random.key(0)
    chip, environment = jax.eval_shape(lambda: draw_hardware(setup, key, 1))
    attention = jax.eval_shape(lambda: draw_attention(setup, key, 1))
    assert environment.temperature_k.shape == (4,) and chip.offset_v.shape[:2] == (2, 4)
    assert attention.offset_v.shape == (2, 4, MODEL.length, 2)  # layers, chips, places, heads
    alone = codesign_setup(CIRCUIT, MODEL, "random")[0]
    chip, environment = jax.eval_shape(lambda: draw_hardware(alone, key, 1))
    assert chip is None and environment.temperature_k.shape == (4,)


def test_what_it_is_fitted_to_rests():
    kernel, params = make_kernel(CIRCUIT.kernel), jax.eval_shape(MODEL.init, jax.random.key(0))
    fit = jax.eval_shape(lambda params: with_kernel(MODEL, params, kernel, batch(), jax.random.key(1)), params)
    assert jax.tree.leaves(fit[FITTED])[0].shape[0] == MODEL.depth
    named = labels({"network": fit, "design": jnp.ones(1)}, None)["network"]
    assert set(jax.tree.leaves(named[FITTED])) == {"frozen"} and set(jax.tree.leaves(named["params"])) == {"network"}
    assert with_kernel(MODEL, params, make_kernel(SoftmaxSpec()), batch(), jax.random.key(1)) is params


def test_the_bill_has_what_was_fitted():
    circuit = run_bill(CIRCUIT, MODEL).network.attention
    assert (circuit.bits, circuit.pairs) == (3, 0.25) and run_bill(SETTINGS, MODEL).network.attention is None
    kernel, params = make_kernel(CIRCUIT.kernel), jax.eval_shape(MODEL.init, jax.random.key(0))
    fit = jax.eval_shape(lambda params: with_kernel(MODEL, params, kernel, batch(), jax.random.key(1)), params)
    design = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.5), fit[FITTED])
    costs = run_bill(CIRCUIT, MODEL, {FITTED: design})
    assert costs.network.attention == dataclasses.replace(circuit, pairs=(0.5, 0.5))
    assert float(costs.dense().pairs_j) == 0.0 < float(costs.unscored(jnp.ones(2)).pairs_j)
