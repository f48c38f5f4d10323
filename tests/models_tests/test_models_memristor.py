"""Attention in crossbars against NumPy that writes and reads cell by cell."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from circuit_cases import BATCH, HEADS, NOISY, TOKENS, WIDTH, attend, chips, kernel_and_design, place, tensors

from atis_jax.numerics import layer_of

SPEC = NOISY["memristor"]


def rounded(x, scale, steps):
    return np.round(np.clip(x / scale, -1, 1) * steps) / steps * scale


def stored(x, scale, error):
    """Two cells of four levels a number, from a tenth to all of the largest conductance."""
    held = np.zeros(x.shape)
    for j, d in np.ndindex(x.shape):
        level = np.round(np.clip(abs(x[j, d]) / scale, 0, 1) * 3) / 3
        cell = {sign: 0.1 + 0.9 * (level if (x[j, d] < 0) == sign else 0.0) for sign in (0, 1)}
        held[j, d] = sum((1 - 2 * sign) * cell[sign] * np.exp(error[j, sign, d]) for sign in (0, 1)) / 0.9 * scale
    return held


def test_both_products_are_those_of_the_cells():
    kernel, design = kernel_and_design(SPEC)
    q, k, v = (np.asarray(x, np.float64) for x in tensors(3))
    chip = layer_of(chips(SPEC, 1), 0)
    here = dataclasses.replace(place(SPEC, chip), key=None)
    mixed = np.asarray(attend(kernel, here, *(jnp.asarray(x, jnp.float32) for x in (q, k, v)))[0])
    of_key, of_value = (np.asarray(part, np.float64) for part in (chip.key, chip.value))
    scales = jax.tree.map(np.asarray, design)
    for b, h in np.ndindex(BATCH, HEADS):
        keys = stored(k[b, h], scales.k_scale[h], of_key[:, :, h])
        values = stored(v[b, h], scales.v_scale[h], of_value[:, :, h])
        score = rounded(rounded(q[b, h], scales.q_scale[h], 127) @ keys.T, scales.score_scale[h], 127)
        weight = np.exp(score - score.max(axis=1, keepdims=True))
        weight = np.round(weight / weight.sum(axis=1, keepdims=True) * 255) / 255
        expected = rounded(weight @ values, scales.v_scale[h], 127)
        step = scales.v_scale[h] / 127  # a sum in float32 may fall on the other side of a converter's edge
        assert np.max(np.abs(mixed[b, h] - expected)) < 1.01 * step + scales.v_scale[h] / 100
        assert np.mean(np.abs(mixed[b, h] - expected) < 1e-5) > 0.9


def test_writing_again_draws_again_and_reading_does_not():
    """The deviation of ln G over 4 x 6 x 2 x 8 x 2 cells, within 5 of its own errors."""
    kernel, design = kernel_and_design(SPEC)
    here, ones = place(SPEC, None), jnp.ones((BATCH, HEADS, TOKENS, WIDTH)) * design.k_scale[:, None, None]
    write = jax.jit(lambda here: kernel.stored(ones, design.k_scale, None, "key", here) / design.k_scale[:, None, None])
    held = write(here)
    np.testing.assert_array_equal(held, write(here))
    assert not np.any(held[:1] == write(place(SPEC, None, batch=BATCH, first=50))[:1])
    # G+ e^a - G- e^b over 0.9 with G+ = 1, G- = 0.1: variance of a lognormal each.
    variance = np.exp(SPEC.write_error**2) * (np.exp(SPEC.write_error**2) - 1)
    expected = np.sqrt(variance * (1 + 0.1**2)) / 0.9
    assert abs(float(jnp.std(held)) / expected - 1) < 5 / np.sqrt(held.size)
