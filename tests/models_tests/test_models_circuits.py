"""What every circuit for attention keeps to: exact where it is perfect, and blind to batch, room and padding."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from circuit_cases import BATCH, HEADS, NOISY, PERFECT, TOKENS, attend, chips, kernel_and_design, place, tensors

from atis_jax.models.kernels import KERNELS, Softmax, make_kernel
from atis_jax.models.kernels.circuit import Circuit
from atis_jax.numerics import layer_of
from atis_jax.validation import SettingError

NEAR = dict(rtol=1e-5, atol=1e-6)


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
    np.testing.assert_allclose(found, Softmax()(*given, None, None)[0], atol=2e-3)


def test_examples_dealt_to_chips_meet_each_its_own_and_their_own_noise(case):
    """In a batch of four, or of two."""
    spec, kernel = case
    made, kelvin, given = chips(spec, 2), jnp.asarray([290.0, 340.0]), tensors()
    dealt = attend(kernel, place(spec, made, kelvin=kelvin), *given)[0]
    half = BATCH // 2
    for number in range(2):
        part = slice(number * half, (number + 1) * half)
        here = place(spec, layer_of(made, number), batch=half, first=part.start, kelvin=kelvin[number])
        np.testing.assert_allclose(attend(kernel, here, *(x[part] for x in given))[0], dealt[part], **NEAR)
    assert not np.allclose(Softmax()(*given, None, None)[0], dealt, atol=1e-3)


def test_tokens_that_are_gone_change_nothing_for_the_others(case):
    """Masked, and really removed with room for one that is not there."""
    spec, kernel = case
    q, k, v = tensors(1)
    chip = layer_of(chips(spec, 1), 0)
    there = jnp.asarray([True, False, True, True, False, True])
    gate = jnp.broadcast_to(there.astype(jnp.float32), (BATCH, HEADS, 1, TOKENS))
    masked = attend(kernel, place(spec, chip), q, k, v, gate, jnp.broadcast_to(there, (BATCH, TOKENS)))[0]
    left = np.flatnonzero(there)
    slots = np.append(left, 0)  # the room repeats a position, and holds what it may
    real = jnp.arange(len(slots)) < len(left)
    packed = [x[:, :, slots].at[:, :, -1].set(7.0) for x in (q, k, v)]
    here = place(spec, chip, jnp.broadcast_to(jnp.asarray(slots), (BATCH, len(slots))))
    gate = jnp.broadcast_to(real.astype(jnp.float32), (BATCH, HEADS, 1, len(slots)))
    found = attend(kernel, here, *packed, gate, jnp.broadcast_to(real, (BATCH, len(slots))))[0]
    np.testing.assert_allclose(found[:, :, : len(left)], masked[:, :, left], **NEAR)


def test_a_circuit_that_is_not_fitted_says_so():
    with pytest.raises(SettingError, match=r"kernel.kind = 'charge_domain' has no .* models.kernels.fit.with_kernel"):
        make_kernel(NOISY["charge_domain"])(*tensors(), None, None)
