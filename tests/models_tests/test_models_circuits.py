"""What every circuit for attention keeps to: exact where it is perfect, and blind to batch, room and padding."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from circuit_cases import BATCH, HEADS, NOISY, PERFECT, TOKENS, attend, chips, kernel_and_design, place, tensors
from numpy_vit import QUICK
from test_models_padding import LONG, MODEL, PARAMS, SHORT

from atis_jax.circuits import Environment, get_preset
from atis_jax.models.forward import gathered_forward, masked_forward
from atis_jax.models.kernels import KERNELS, Softmax, make_kernel
from atis_jax.models.kernels.circuit import Circuit
from atis_jax.models.kernels.fit import with_kernel
from atis_jax.models.passes import ScorerInputs
from atis_jax.numerics import layer_of
from atis_jax.scoring.registry import make_method
from atis_jax.scoring.rivals.random import RandomSpec
from atis_jax.training.evaluate import attention_chips_for
from atis_jax.validation import SettingError

NEAR = dict(rtol=1e-5, atol=1e-6)


@jax.jit
def exact(q, k, v, gate=None):
    return Softmax()(q, k, v, None, gate)[0]


@pytest.fixture(params=NOISY)
def case(request):
    spec = NOISY[request.param]
    return spec, kernel_and_design(spec)[0]


def test_every_circuit_is_looked_at():
    assert {name for name in KERNELS if isinstance(KERNELS[name], type) and issubclass(KERNELS[name], Circuit)} == set(
        NOISY
    )
    assert set(NOISY) == set(PERFECT)


@pytest.mark.parametrize("name", PERFECT)
def test_without_errors_and_with_many_bits_it_is_exact_attention(name):
    kernel, given = kernel_and_design(PERFECT[name])[0], tensors()
    found = attend(kernel, dataclasses.replace(place(PERFECT[name], None), key=None), *given)[0]
    np.testing.assert_allclose(found, exact(*given), atol=2e-3)


def test_chips_batch_removal_and_room_change_nothing_but_what_they_must(case):
    """Two chips at once with tokens masked; the second alone, with them removed and room for one that is not there."""
    spec, kernel = case
    q, k, v = tensors(1)
    made, kelvin, half = chips(spec, 2), jnp.asarray([290.0, 340.0]), BATCH // 2
    there = jnp.asarray([True, False, True, True, False, True])
    gate = jnp.broadcast_to(there.astype(jnp.float32), (BATCH, HEADS, 1, TOKENS))
    rows = jnp.broadcast_to(there, (BATCH, TOKENS))
    masked = attend(kernel, place(spec, made, kelvin=kelvin), q, k, v, gate, rows)[0]
    left = np.flatnonzero(there)
    slots = np.append(left, 0)  # the room repeats a position, and holds what it may
    real = np.arange(len(slots)) < len(left)
    packed = [jnp.asarray(np.where(real[:, None], np.asarray(x)[half:, :, slots], 7.0)) for x in (q, k, v)]
    position = jnp.broadcast_to(slots, (half, len(slots)))
    here = place(spec, layer_of(made, 1), position, batch=half, first=half, kelvin=kelvin[1])
    gate = jnp.broadcast_to(real.astype(np.float32), (half, HEADS, 1, len(slots)))
    found = attend(kernel, here, *packed, gate, jnp.broadcast_to(real, (half, len(slots))))[0]
    np.testing.assert_allclose(found[:, :, : len(left)], masked[half:, :, left], **NEAR)
    assert not np.allclose(exact(q, k, v)[half:, :, left], found[:, :, : len(left)], atol=1e-3)


def test_a_circuit_that_is_not_fitted_says_so():
    with pytest.raises(SettingError, match=r"kernel.kind = 'charge_domain' has no .* models.kernels.fit.with_kernel"):
        make_kernel(NOISY["charge_domain"])(*tensors(), None, None)


@pytest.mark.slow
def test_a_network_on_two_chips_is_blind_to_padding_and_to_removal():
    """Masked and dealt to two chips at once; the second alone, tokens removed, with sixteen tokens of padding."""
    kernel, key = make_kernel(NOISY["charge_domain"]), jax.random.split(jax.random.key(4), len(SHORT["label"]))
    method = make_method(RandomSpec(), get_preset("nominal"))
    params = jax.jit(lambda params, batch: with_kernel(MODEL, params, kernel, batch, jax.random.key(1)))(PARAMS, SHORT)
    made = attention_chips_for(jax.random.key(2), kernel, MODEL, 2)
    warm = Environment(jnp.asarray([290.0, 340.0]), jnp.ones(2))
    shares = jnp.asarray([0.8, 0.5])
    inputs = ScorerInputs(shares, None, warm, (), jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), made))

    @functools.partial(jax.jit, compiler_options=QUICK)
    def masked(batch, inputs, key):
        return masked_forward(MODEL, params, method, batch, inputs, key, kernel=kernel)

    found = masked(SHORT, inputs, key)
    half = slice(len(SHORT["label"]) // 2, None)
    alone = ScorerInputs(shares, None, layer_of(warm, 1), (), layer_of(made, 1))

    @functools.partial(jax.jit, compiler_options=QUICK)
    def gathered(batch, inputs, key):
        return gathered_forward(MODEL, params, method, batch, inputs, key, capacities=(10, 8), kernel=kernel)

    out = gathered({name: column[half] for name, column in LONG.items()}, alone, key[half])
    assert int(out.overflow.sum()) == 0
    np.testing.assert_allclose(out.logits, found.logits[half], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_row_that_sees_no_key_is_zero_and_every_gradient_finite(case):
    spec, kernel = case
    q, k, v = tensors(6)
    visible = jnp.ones((1, 1, TOKENS, TOKENS), bool).at[:, :, 2].set(False)
    gate = jnp.full((BATCH, HEADS, 1, TOKENS), 0.5).at[..., 1].set(0.0)

    def total(parts, here):
        q, k, v, gate = parts
        mixed = kernel.at(here)(q, k, v, visible, gate)[0]
        return jnp.sum(jnp.sin(mixed)), mixed

    found, mixed = jax.jit(jax.grad(total, has_aux=True))((q, k, v, gate), place(spec, None))
    np.testing.assert_array_equal(mixed[:, :, 2], 0.0)
    assert all(np.all(np.isfinite(leaf)) and np.any(leaf) for leaf in found)
