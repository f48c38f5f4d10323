"""Which chips fail, and why: accuracy and kept fraction of each chip against what its fabrication gave it.

The simulator's privilege: calibration never sees any of this.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax import statistics
from atis_jax.circuits.chip import Chip, nominal_chip, nominal_environment
from atis_jax.numerics import layer_of
from atis_jax.scoring.atis.analog import realise_design
from atis_jax.training.cells import draw_chip
from experiments.montecarlo.arms import Evaluated
from experiments.montecarlo.engine import Arm
from experiments.montecarlo.yields_settings import YieldSettings

CAUSES = ("OTA offsets", "additive currents", "TIA offset", "comparator offset", "gain", "weights")
"""What a chip's errors come to at one comparator: four shifts of the score against its threshold, V; the relative
error of the gain that is common to all weights; and the RMS of what is left of the weights' errors, over their RMS."""


FEWEST_CHIPS = 10
"""Fewer tell nothing of a rank correlation."""


@dataclasses.dataclass(frozen=True)
class Explained:
    """Correlations of an arm's chips with their causes, for the summary and for the figure."""

    summary: dict[str, Any]
    arrays: dict[str, np.ndarray]


def explain(settings: YieldSettings, evaluated: Evaluated, arm: Arm, key: jax.Array) -> Explained:
    """Rank correlations over the chips of the first arm, temperatures and supplies averaged.

    The kept fraction of a layer and the change of accuracy are compared with each cause and its sign: a chip that keeps
    more tokens than wanted is often the better one. The change is compared with the cause's size too, which finds
    errors that harm in either direction. Intervals hold for all correlations of a kind together (Bonferroni).
    """
    chips, conditions = settings.montecarlo.chips, len(settings.conditions)
    if chips < FEWEST_CHIPS:
        return Explained({}, {})
    rows = evaluated.rows[: chips * conditions]

    def mean(value) -> np.ndarray:
        return np.asarray([value(row) for row in rows], float).reshape(chips, conditions).mean(axis=1)

    change = mean(lambda row: (row["gained"] - row["lost"]) / row["examples"])
    depth = arm.evaluator.model.depth
    kept = np.stack([mean(lambda row, layer=layer: row[f"kept_{layer + 1}"]) for layer in range(depth)], axis=1)
    causes = np.asarray(chip_causes(arm, key, chips))
    shift = causes[:, :, :4].sum(axis=-1)
    layers = arm.evaluator.scored
    together = 1.0 - (1.0 - settings.confidence) / (len(layers) * len(CAUSES))
    found: list[dict[str, Any]] = []
    for layer in layers:
        for index, name in enumerate(CAUSES):
            cause = causes[:, layer, index]
            if min(np.ptp(cause), np.ptp(kept[:, layer]), np.ptp(change)) == 0:
                continue  # an imperfection that this hardware does not have, or chips all alike
            pairs = {
                "kept": (cause, kept[:, layer]),
                "accuracy": (cause, change),
                "accuracy_of_size": (np.abs(cause), change),
            }
            entry: dict[str, Any] = {"layer": layer + 1, "cause": name}
            for what, pair in pairs.items():
                value, interval = _correlation(*pair, together)
                entry |= {f"rank_correlation_{what}": value, f"{what}_interval": interval}
            found.append(entry)
    last: dict[str, Any] = {}
    if min(np.ptp(kept[:, -1]), np.ptp(change)) > 0:
        value, interval = _correlation(kept[:, -1], change, settings.confidence)
        last = {"rank_correlation": value, "interval": interval}
    return Explained(
        {"chips": chips, "correlations": found, "kept_and_accuracy": last},
        {
            "yield_chip_change": change,
            "yield_chip_kept": kept,
            "yield_chip_shift_v": shift,
        },
    )


def _correlation(x: np.ndarray, y: np.ndarray, level: float) -> tuple[float, list[float]]:
    found = statistics.correlation(x, y, "spearman", level)
    return found.value, list(found.interval)


def chip_causes(arm: Arm, key: jax.Array, chips: int) -> Float[Array, "chips L 6"]:
    """``CAUSES`` of every chip and layer at the nominal temperature, head groups averaged."""
    evaluator, state = arm.evaluator, arm.state
    hardware, spec, depth = evaluator.hardware, evaluator.spec, evaluator.model.depth
    environment = nominal_environment(hardware)

    def layer_causes(design, chip: Chip, query) -> Float[Array, "6"]:
        made, perfect = (
            realise_design(design, spec, hardware, query, one, environment)
            for one in (chip, nominal_chip(hardware, spec.geometry))
        )
        additive_v = jnp.sum(jnp.abs(made.weight_v) * made.additive, axis=-1)
        error = made.weight_v * made.slope_per_v
        wanted = perfect.weight_v * perfect.slope_per_v
        gain = jnp.sum(error * wanted, axis=-1) / jnp.sum(wanted * wanted, axis=-1)
        left = jnp.sqrt(jnp.mean(jnp.square(error - gain[:, None] * wanted), axis=-1) / jnp.mean(wanted**2, axis=-1))
        causes = (
            difference(-jnp.sum(made.weight_v * made.input_offset, axis=-1)),
            difference(additive_v),
            difference(made.node_offset_v - additive_v),
            -chip.comparator_offset_v[: spec.groups],
            gain - 1.0,
            left,
        )
        return jnp.stack([jnp.mean(cause) for cause in causes])

    def difference(shift_v):
        """Half the difference of the halves, where there are two."""
        return shift_v if spec.halves == 1 else 0.5 * (shift_v[: spec.groups] - shift_v[spec.groups :])

    def one(number):
        chip = evaluator.method.wired(draw_chip(key, number, hardware, depth, spec.geometry))
        return jnp.stack(
            [
                layer_causes(*(layer_of(part, layer) for part in (state.design, chip, state.scorer_state.query)))
                for layer in range(depth)
            ]
        )

    return jax.jit(lambda numbers: jax.lax.map(one, numbers, batch_size=64))(jnp.arange(chips))
