"""How long the built circuit needs for a token: its array settles, its comparator decides."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.library import COMPARATOR_RANGE_V, COMPARATOR_TIME_S, OTA_MIRROR_F, OTA_MIRROR_PER_DECADE
from atis_jax.typing import Real
from atis_jax.units import thermal_voltage_v

DECIDED_V = 2e-3
"""A score this far from the threshold must still be decided: half a step of an 8 bit reference over 1 V."""


MIRROR_CURRENT_A = 10e-9
"""Of an OTA whose mirror has ``OTA_MIRROR_F``."""


def mirror_f(
    current_a: Float[Array, "*s"] | float,
    capacitance_f: Real = OTA_MIRROR_F,
    per_decade: Real = OTA_MIRROR_PER_DECADE,
    at_a: Real = MIRROR_CURRENT_A,
) -> Float[Array, "*s"]:
    """Capacitance at the mirror of an OTA, F: C (1 + c log10(I / I_0)); at least a fifth of C, where the line ends.

    Args:
        current_a: bias current, above zero, A.
        capacitance_f: C; of the built OTA, which was measured from 3 to 100 nA.
        per_decade: c.
        at_a: I_0, A.
    """
    decades = jnp.log10(jnp.asarray(current_a) / at_a)
    return capacitance_f * jnp.maximum(1.0 + per_decade * decades, 0.2)


def array_settling_s(
    current_a: Float[Array, "*s"] | float,
    bits: Real,
    *,
    capacitance_f: Real,
    kappa: Real,
    full_scale_v: Real,
    temperature_k: Real,
) -> Float[Array, "*s"]:
    """Until an array has settled to half an LSB of b bits, s: (C / gm) ln 2^(b+1) / (1 - tanh(kappa V_fs / 4 U_T)).

    The mirror of an OTA follows the current into it at a rate in proportion to that current. gm = kappa I / 2 U_T is
    the rate at balance, where half the bias flows there; the last factor is what is left of it where an input at half
    the full scale turns it down. Smaller weights settle later and lack less: with the mean current of an array, the
    RMS error of random tokens in ngspice is that half LSB of their scores' spread (``experiments.export``).

    Args:
        current_a: bias current, the mean of an array's, A.
        bits: B.
        capacitance_f: of the mirror's node, F.
        kappa: gate coupling.
        full_scale_v: of the inputs, V.
        temperature_k: K.
    """
    slope_v = 2.0 * thermal_voltage_v(temperature_k) / kappa
    turned_down = 1.0 - jnp.tanh(0.5 * full_scale_v / slope_v)
    return capacitance_f * slope_v / current_a * (bits + 1.0) * jnp.log(2.0) / turned_down


def decision_s() -> float:
    """Time in which the built comparator decides a score ``DECIDED_V`` from its threshold, s: T ln(1 + R / V).

    Its output node leaves a rail that is R = ``COMPARATOR_RANGE_V`` of its input away, with one pole of
    T = ``COMPARATOR_TIME_S``.
    """
    return COMPARATOR_TIME_S * math.log1p(COMPARATOR_RANGE_V / DECIDED_V)
