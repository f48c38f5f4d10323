"""What every OTA of a design does beside its law, as fitted to curves: polynomials in bias current and temperature.

An offset that a mirror's finite output resistance makes, a mirror that gives 5 % more than it is asked, a kappa that
bends towards moderate inversion: the same on every chip, so none of them is a spread. Each moves with the supply too,
in proportion: the output of an OTA stays at the common mode while the gates of its mirror follow the supply.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.numerics import pytree
from atis_jax.typing import Real

Polynomial = tuple[tuple[Real, ...], ...]
"""Coefficients c[p][q] of z^p t^q, with z = log10(I / I_0) in decades and t = T - T_0 in kelvin."""
MAX_POWER = 3
NONE: Polynomial = ()


@pytree
class Systematic:
    """Corrections common to all OTAs of a design; ``()`` is none.

    I_0 is ``OtaSpec.kappa_current_a`` and T_0 ``ThermalSpec.nominal_temperature_k``. Numbers, not arrays, so that the
    hardware stays hashable.

    Attributes:
        log_current: ln(I_b / wanted), against the wanted current.
        kappa: added to kappa, against the current that flows.
        offset_v: added to V_os, V, against the current that flows.
        additive: added to a, fraction of I_b, against the current that flows.
        log_current_per_v: added to ``log_current`` for each volt of supply above the nominal, 1/V.
        kappa_per_v: the same for ``kappa``, 1/V.
        offset_v_per_v: the same for ``offset_v``, V/V.
        additive_per_v: the same for ``additive``, 1/V.
    """

    log_current: Polynomial = NONE
    kappa: Polynomial = NONE
    offset_v: Polynomial = NONE
    additive: Polynomial = NONE
    log_current_per_v: Polynomial = NONE
    kappa_per_v: Polynomial = NONE
    offset_v_per_v: Polynomial = NONE
    additive_per_v: Polynomial = NONE


def polynomial(coefficients: Polynomial, decades: Float[Array, "*s"], change_k: Real) -> Float[Array, "*s"]:
    """sum_pq c[p][q] z^p t^q.

    Args:
        coefficients: c; ``()`` gives zero.
        decades: z, any shape.
        change_k: t, K.
    """
    total = jnp.zeros_like(decades)
    for row in reversed(coefficients):
        in_temperature = jnp.zeros_like(decades)
        for coefficient in reversed(row):
            in_temperature = in_temperature * change_k + coefficient
        total = total * decades + in_temperature
    return total


def at_supply(
    nominal: Polynomial, per_v: Polynomial, decades: Float[Array, "*s"], change_k: Real, supply_change_v: Real
) -> Float[Array, "*s"]:
    """A correction at a supply: its polynomial at the nominal one, and the change of that with the supply.

    Linear in the supply: over +-10 % of 1.8 V the offset of the sky130 OTA is within 4 % of its change of a straight
    line (``configs/fit.py``).

    Args:
        nominal: of the correction.
        per_v: of its change; ``()`` where the supply does nothing.
        decades: z, any shape.
        change_k: t, K.
        supply_change_v: supply less the nominal, V.
    """
    found = polynomial(nominal, decades, change_k)
    return found + supply_change_v * polynomial(per_v, decades, change_k) if per_v else found
