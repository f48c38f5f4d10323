"""The first layer's comparator by itself, token by token: step response of its threshold, and dead bands compared.

Every token reaches the first scored layer and its scores do not depend on what is kept, so one recording of them
serves any number of loops.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from atis_jax import rng
from atis_jax.circuits.chip import Chip, Environment
from atis_jax.models.sequence import keep_bit_changes
from atis_jax.numerics import layer_of
from atis_jax.scoring.atis.threshold import sequential_decisions
from atis_jax.scoring.types import initial_state
from atis_jax.units import celsius_to_kelvin
from experiments import measure
from experiments.drift.arms import Sequence, targets
from experiments.drift.response import limit_cycle, settling
from experiments.drift.settings import DriftSettings
from experiments.trained_run import TrainedRun

POINTS = 400
"""Samples of each response that the report draws."""
GRID = 4001
"""Thresholds at which the share of scores above is tabulated."""


@dataclasses.dataclass(frozen=True)
class Recording:
    """Comparator inputs of the first scored layer on several chips.

    Attributes:
        voltage_v: (chips, tokens, G), read noise included.
        threshold_v: (chips, G), as realised.
        tokens_per_image: CLS included.
    """

    voltage_v: Float[np.ndarray, "c t G"]
    threshold_v: Float[np.ndarray, "c G"]
    tokens_per_image: int


def record(settings: DriftSettings, run: TrainedRun, images: np.ndarray, chips: Chip, root: jax.Array) -> Recording:
    """Scores of ``images`` at rest temperature, in time order."""
    evaluator, layer = run.trained.evaluator, run.trained.evaluator.scored[0]
    masked, size = evaluator.masked(), run.settings.data.eval_batch_size
    kelvin = jnp.asarray(celsius_to_kelvin(settings.rest_temperature_c))
    environment = Environment(temperature_k=kelvin, supply_v=evaluator.hardware.supply_v)
    volts, thresholds = [], []
    for number in range(settings.chips):
        inputs = run.trained.inputs(layer_of(chips, number), environment)
        key = jax.random.fold_in(rng.key_of(root, "evaluation"), number)
        parts = []
        for first in range(0, len(images), size):
            part = images[first : first + size]
            padded = np.concatenate([part, np.zeros((size - len(part), *part.shape[1:]), part.dtype)])
            voltage = masked({"image": padded}, inputs, jax.random.fold_in(key, first)).voltage[layer]
            parts.append(np.asarray(voltage)[: len(part)])
        voltage_BxNxG = np.concatenate(parts)
        volts.append(voltage_BxNxG.reshape(-1, voltage_BxNxG.shape[-1]))
        thresholds.append(np.asarray(measure.realised_layer(run.trained, inputs, layer).threshold_v))
    return Recording(np.stack(volts), np.stack(thresholds), evaluator.model.length)


@jax.jit
def _loop(voltage_v, threshold_v, rate_v, alpha, hysteresis_v, target):
    """Keep bits and threshold shift at each token, for one chip and one loop."""
    groups = voltage_v.shape[-1]
    start = dataclasses.replace(initial_state(groups, 1), activity=jnp.full((groups,), target))
    keep, met, _ = sequential_decisions(
        voltage_v,
        threshold_v,
        jnp.ones(voltage_v.shape, bool),
        start,
        hysteresis_v=hysteresis_v,
        adaptive_rate_v=rate_v,
        activity_rate=alpha,
        target=target,
    )
    return keep, met - threshold_v


def step_response(
    settings: DriftSettings, run: TrainedRun, sequence: Sequence, recording: Recording
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """The threshold's answer to the first of ``settings.shifts`` for every rate in ``loop_rates_v``.

    Returns:
        one table row a rate, and the curves to draw: measured (mean of chips, each in units of its own step), and
        expected: the same law with the keep bit replaced by the share of scores above the threshold.
    """
    each, layer = recording.tokens_per_image, run.trained.evaluator.scored[0]
    target, rates = float(targets(run)[layer]), np.asarray(settings.loop_rates_v)
    over_chips = jax.vmap(_loop, (0, 0, None, None, None, None))
    over_rates = jax.vmap(over_chips, (None, None, 0, None, None, None))
    keep, shift = over_rates(
        recording.voltage_v, recording.threshold_v, jnp.asarray(rates), settings.activity_rate, 0.0, target
    )
    keep_RxCxT, shift_RxCxT = np.asarray(keep).mean(axis=-1), np.asarray(shift, float).mean(axis=-1)
    change, end = sequence.change * each, sequence.arrived * each
    before = slice(sequence.before.start * each, change)
    drawn = np.unique(np.linspace(change, shift_RxCxT.shape[-1] - 1, POINTS).astype(int))
    wanted, hold = _wanted_shift(recording, target, change), settings.hold_tokens
    start_RxC = shift_RxCxT[:, :, before].mean(axis=-1)
    theory_RxCxT = _expected(recording, rates, settings.activity_rate, target, start_RxC, change)
    rows, measured, expected = [], [], []
    for number, rate in enumerate(rates):
        keep_CxT, shift_CxT, theory_CxT = keep_RxCxT[number], shift_RxCxT[number], theory_RxCxT[number]
        start_v = start_RxC[number]
        times = [settling(s, a, b, change, hold=hold) for s, a, b in zip(shift_CxT, start_v, wanted, strict=True)]
        cycles = [cycle for s in shift_CxT if (cycle := limit_cycle(s[end:])) is not None]
        theory = [settling(s, a, b, 0, hold=hold) for s, a, b in zip(theory_CxT, start_v, wanted, strict=True)]
        rows.append(
            {
                "rate_v": float(rate),
                "step_v": float((wanted - start_v).mean()),
                "settling_tokens": _mean_of_all(times),
                "settled_chips": sum(time is not None for time in times),
                "expected_settling_tokens": _mean_of_all(theory),
                "overshoot": float(_overshoot(shift_CxT[:, change:], start_v, wanted)),
                "hunting_v": float(shift_CxT[:, end:].std(axis=1).mean()),
                "kept": float(keep_CxT[:, end:].mean()),
                "kept_error": float(keep_CxT[:, end:].mean() - target),
                "cycle_amplitude_v": float(np.mean([cycle.amplitude for cycle in cycles])) if cycles else None,
                "cycle_period_tokens": float(np.mean([cycle.period for cycle in cycles])) if cycles else None,
                "cycle_chips": len(cycles),
                "chips": len(times),
                "tokens": int(keep_CxT.shape[1]),
                "tokens_after": int(keep_CxT.shape[1] - end),
            }
        )
        size = (wanted - start_v)[:, None]
        measured.append(((shift_CxT[:, drawn] - start_v[:, None]) / size).mean(axis=0))
        expected.append(((theory_CxT[:, drawn - change] - start_v[:, None]) / size).mean(axis=0))
    curves = {
        "drift_loop_rate_v": rates,
        "drift_loop_tokens": drawn - change,
        "drift_loop_measured": np.stack(measured),
        "drift_loop_expected": np.stack(expected),
    }
    return rows, curves


def _wanted_shift(recording: Recording, target: float, change: int) -> Float[np.ndarray, "c"]:
    """The shift at which the share of scores above the threshold is the target, after the change."""
    later = recording.voltage_v[:, change:]
    return (np.quantile(later, 1.0 - target, axis=1) - recording.threshold_v).mean(axis=-1)


def _expected(recording: Recording, rates_v, alpha, target, start_RxC, change: int) -> Float[np.ndarray, "R c t"]:
    """The law without chance: the keep bit is its mean over the scores after the change, each chip's own."""
    length = recording.voltage_v.shape[1] - change
    above = (recording.voltage_v[:, change:] - recording.threshold_v[:, None]).reshape(len(recording.voltage_v), -1)
    low, high = float(above.min()), float(above.max())
    grid = np.linspace(low, high, GRID)
    share = np.stack([1.0 - np.searchsorted(np.sort(one), grid) / one.size for one in above])
    chip = np.arange(len(share))
    shift, activity = np.array(start_RxC, float), np.full(np.shape(start_RxC), float(target))
    rate_Rx1 = np.asarray(rates_v)[:, None]
    out = np.empty((*shift.shape, length))
    for token in range(length):
        out[..., token] = shift
        place = np.clip(np.rint((shift - low) * ((GRID - 1) / (high - low))), 0, GRID - 1).astype(int)
        activity += alpha * (share[chip, place] - activity)
        shift += rate_Rx1 * (activity - target)
    return out


def _mean_of_all(times: list[int | None]) -> float | None:
    """The mean, None unless every chip has settled."""
    found = [time for time in times if time is not None]
    return float(np.mean(found)) if len(found) == len(times) else None


def _overshoot(shift_CxT, start_v, wanted_v) -> float:
    """Farthest beyond the shift that keeps the wanted share, over the step; mean of chips."""
    direction = np.sign(wanted_v - start_v)[:, None]
    beyond = (direction * (shift_CxT - wanted_v[:, None])).max(axis=1)
    return float(np.mean(np.maximum(beyond, 0.0) / np.maximum(np.abs(wanted_v - start_v), 1e-12)))


def dead_bands(
    settings: DriftSettings, run: TrainedRun, recording: Recording
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Keep-bit changes, kept fraction and changed decisions at the first layer for every dead band.

    CLS, which is never pruned, keeps the comparator's memory going but is not counted.
    """
    span_v = float(run.trained.evaluator.hardware.comparator.reference_span_v)
    fractions = np.asarray(settings.band_fractions)
    over_chips = jax.vmap(_loop, (0, 0, None, None, None, None))
    over_bands = jax.vmap(over_chips, (None, None, None, None, 0, None))
    keep = over_bands(recording.voltage_v, recording.threshold_v, 0.0, 1.0, jnp.asarray(fractions * span_v), 0.5)[0]
    plain = recording.voltage_v > recording.threshold_v[:, None]
    each, groups = recording.tokens_per_image, recording.voltage_v.shape[-1]
    images = recording.voltage_v.shape[1] // each
    patches = np.asarray(keep).reshape(len(fractions), -1, each, groups)[:, :, 1:]
    reference = plain.reshape(-1, each, groups)[:, 1:]
    count = jax.jit(jax.vmap(keep_bit_changes))
    rows = []
    for fraction, bits in zip(fractions, patches, strict=True):
        toggles, pairs = count(jnp.asarray(bits), jnp.ones(bits.shape, bool))
        rows.append(
            {
                "band_fraction": float(fraction),
                "band_v": float(fraction * span_v),
                "toggles_per_token": float(jnp.sum(toggles) / jnp.sum(pairs)),
                "kept": float(bits.mean()),
                "changed_decisions": float((bits != reference).mean()),
                "chips": settings.chips,
                "images": images,
                "tokens": int(bits.size),
            }
        )
    curves = {f"drift_band_{name}": np.array([row[name] for row in rows]) for name in BAND_CURVES}
    return rows, {"drift_band_fraction": fractions} | curves


BAND_CURVES = ("toggles_per_token", "kept", "changed_decisions")
