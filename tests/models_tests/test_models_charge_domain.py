"""Charge-domain scores against NumPy that charges and shares capacitors one by one."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from circuit_cases import BATCH, HEADS, NOISY, TOKENS, WIDTH, attend, chips, kernel_and_design, place, tensors

from atis_jax.numerics import layer_of

SPEC = NOISY["charge_domain"]


def voltage(a, b, capacitor):
    """Of one line: each cell holds the product of two fractions of the supply, then all are joined."""
    charge = sum(c * SPEC.supply_v * x * y for c, x, y in zip(capacitor, a, b, strict=True))
    return charge / sum(capacitor)


def code(x, scale):
    return np.round(np.clip(x / scale, -1, 1) * 3) / 3  # three bits: three steps either side


def test_pairs_are_chosen_as_by_capacitors_and_comparators():
    kernel, design = kernel_and_design(SPEC)
    q, k, v = (np.asarray(x, np.float64) for x in tensors(3))
    chip = jax.tree.map(np.asarray, layer_of(chips(SPEC, 1), 0))
    here = dataclasses.replace(place(SPEC, chip), key=None)
    mixed, attended = attend(kernel, here, *(jnp.asarray(x, jnp.float32) for x in (q, k, v)))
    mixed, full = np.asarray(mixed), np.asarray(attended.full)
    for b, h in np.ndindex(BATCH, HEADS):
        q_scale, k_scale = float(design.q_scale[h]), float(design.k_scale[h])
        reference_v = float(design.threshold) * SPEC.supply_v / (WIDTH * q_scale * k_scale)
        for i in range(TOKENS):
            seen = np.asarray(
                [
                    voltage(code(q[b, h, i], q_scale), code(k[b, h, j], k_scale), 1 + chip.capacitor_error[j, h])
                    + float(chip.offset_v[j, h])
                    for j in range(TOKENS)
                ]
            )
            stays = (seen >= reference_v) | (seen == seen.max())
            np.testing.assert_array_equal(full[b, h, i] > 0, stays)
            weight = np.where(stays, np.exp(k[b, h] @ q[b, h, i]), 0.0)
            np.testing.assert_allclose(mixed[b, h, i], weight @ v[b, h] / weight.sum(), rtol=1e-4, atol=1e-5)


def test_the_threshold_leaves_the_share_it_is_fitted_to():
    kernel, design = kernel_and_design(SPEC)
    here = dataclasses.replace(place(SPEC, None), key=None)
    full = attend(kernel, here, *tensors())[1].full
    assert np.mean(np.asarray(full) > 0) == pytest.approx(float(design.share), abs=1e-6)
    assert abs(float(design.share) - SPEC.kept_pairs) < 0.1  # scores of three bits often tie


def test_noise_is_that_of_the_capacitors():
    """k T / (K C) at 330 K, through 16 x 6 x 6 x 2 pairs: its deviation within 5 of its own errors."""
    kernel, design = kernel_and_design(SPEC)
    here = place(SPEC, None)
    q, k, _ = tensors(4)
    quiet = dataclasses.replace(here, key=None)
    noise = (kernel.score(q, k, here) - kernel.score(q, k, quiet)) / (WIDTH * design.q_scale * design.k_scale)[
        :, None, None
    ]
    expected = np.sqrt(1.380649e-23 * 330.0 / (WIDTH * 1e-15))
    count = noise.size
    assert abs(float(jnp.std(noise)) / expected - 1) < 5 / np.sqrt(2 * count)
