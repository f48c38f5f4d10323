"""Queries, keys and values of a tiny layer, and every circuit for attention fitted to them."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.circuits.chip import Environment
from atis_jax.models.kernels import make_kernel
from atis_jax.models.kernels.charge_domain import ChargeDomainSpec
from atis_jax.models.kernels.circuit import ArrayShape, Place, Seen
from atis_jax.models.kernels.memristor import MemristorSpec
from atis_jax.models.kernels.reram_pq import ReramPqSpec

BATCH, HEADS, TOKENS, WIDTH = 4, 2, 6, 8
NOISY = {
    "charge_domain": ChargeDomainSpec(bits=3, kept_pairs=0.4, capacitor_error=0.2, offset_v=0.01),
    "reram_pq": ReramPqSpec(subvectors=2, codes=4, kept_pairs=0.4, error=0.5, read_noise=0.05),
    "memristor": MemristorSpec(levels=4, device_error=0.2, write_error=0.2),
}
"""With errors so large that they turn decisions."""
PERFECT = {
    "charge_domain": ChargeDomainSpec(bits=16, kept_pairs=1.0),
    "reram_pq": ReramPqSpec(subvectors=2, codes=2, kept_pairs=1.0, error=0.0, read_noise=0.0),
    "memristor": MemristorSpec(levels=65_536, input_bits=16, output_bits=16, device_error=0.0, write_error=0.0),
}
"""With so many bits, and all pairs, that they compute exact attention."""


def tensors(seed: int = 0):
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.normal(0, 1.0, (BATCH, HEADS, TOKENS, WIDTH)), jnp.float32) for _ in range(3))


@functools.cache
def kernel_and_design(spec):
    kernel = make_kernel(spec)
    q, k, v = tensors()
    there = jnp.ones(q.shape[:3], bool)
    everything = Seen(q, k, v, there, there, jnp.ones((*q.shape[:3], TOKENS), bool))
    return kernel, jax.jit(kernel.begin)(jax.random.key(5), everything)


@functools.partial(jax.jit, static_argnums=(0, 1))
def drawn(kernel, count: int):
    shape = ArrayShape(HEADS, WIDTH, TOKENS)
    return jax.vmap(lambda key: kernel.sample_chip(key, shape))(jax.random.split(jax.random.key(2), count))


def chips(spec, count: int):
    return drawn(kernel_and_design(spec)[0], count)


@functools.cache
def keys(batch: int, first: int):
    return jax.jit(jax.vmap(jax.random.fold_in, (None, 0)))(jax.random.key(9), first + jnp.arange(batch))


def place(spec, chip, position=None, batch=BATCH, first=0, kelvin=330.0):
    """On a chip, warm and with noise; examples from number ``first`` on."""
    position = jnp.broadcast_to(jnp.arange(TOKENS), (batch, TOKENS)) if position is None else position
    environment = Environment(jnp.asarray(kelvin), jnp.full(jnp.shape(kelvin), 1.0))
    return Place(kernel_and_design(spec)[1], chip, environment, position, keys(batch, first), TOKENS)


@functools.partial(jax.jit, static_argnums=0)
def attend(kernel, here, q, k, v, gate=None, rows=None):
    return kernel.at(here)(q, k, v, None, gate, rows=rows, needs=("full",))
