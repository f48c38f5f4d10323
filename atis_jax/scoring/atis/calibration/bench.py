"""The test bench: a chip as calibration sees it, a function from what is set to the comparators' bits.

The calibration methods get a ``Measure`` and never a ``Chip``: what they find out they have measured. A plain function
with the same signature is a bench too.
"""

from __future__ import annotations

from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.circuits.chip import Chip, Environment
from atis_jax.circuits.comparator import reference_v
from atis_jax.circuits.hardware import Hardware
from atis_jax.scoring.atis.analog import read_scores, realise_design
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.typing import Key


class Measure(Protocol):
    """One layer's scorer on one chip, in one environment."""

    def __call__(
        self, design: Design, inputs: Float[Array, "n N"], threshold_v: Float[Array, "n G"], key: Key | None
    ) -> Bool[Array, "n G"]:
        """Program ``design``, play ``inputs`` one after the other, and return the comparators' bits.

        Args:
            design: one layer's; its own threshold is not used.
            inputs: array inputs u, +-1 full scale.
            threshold_v: what the reference is asked for at each read, V; it gives the nearest that it has.
            key: read noise, new at each read; None for a bench without noise.
        """
        ...


def chip_bench(
    spec: ScorerSpec,
    hardware: Hardware,
    chip: Chip,
    environment: Environment,
    query: Float[Array, "G D"] | None = None,
) -> Measure:
    """A bench with ``chip`` in the socket; comparators are reset before each read, so hysteresis plays no part.

    Args:
        spec: structure of the scorer.
        hardware: with the trim DAC, if the chip has one.
        chip: of one layer.
        environment: of the chamber.
        query: what an ``ema`` prototype holds meanwhile; others do without.

    Raises:
        ValueError: an ``ema`` prototype without a query.
    """
    if query is None and spec.prototype == "ema":
        raise ValueError("scorer.prototype = 'ema' is programmed from a query; give chip_bench the one to hold")
    offset_v = chip.comparator_offset_v[: spec.groups]

    def measure(
        design: Design, inputs: Float[Array, "n N"], threshold_v: Float[Array, "n G"], key: Key | None
    ) -> Bool[Array, "n G"]:
        query_GxD = jnp.zeros((spec.groups, design.projection.shape[-1])) if query is None else query
        realised = realise_design(design, spec, hardware, query_GxD, chip, environment)
        reference = reference_v(threshold_v, hardware.comparator) + offset_v
        if key is None:
            return read_scores(realised, spec, inputs, None) > reference
        *nodes, noise = jax.random.normal(key, (spec.halves + 1, inputs.shape[0], spec.groups))
        voltage = read_scores(realised, spec, inputs, jnp.concatenate(nodes, axis=-1))
        return voltage + realised.comparator_noise_v * noise > reference

    return measure
