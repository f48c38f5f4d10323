"""The SPICE target: netlists of the scored layers, our model of them, and the loop closed in ngspice."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import least_squares

from atis_jax.cells.library import COMPARATOR_CURRENT_A, SUPPLY_V
from atis_jax.cells.supply import array_supply_a, comparator_supply_a, op_amp_supply_a
from atis_jax.circuits.chip import Chip, Environment, nominal_chip
from atis_jax.circuits.frontend import Realised, converted_v
from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.circuits.tia import has_amplifier, soft_rails
from atis_jax.export.bundle import Bundle
from atis_jax.export.quantities import Achieved, achieved, calibrated_layer, thresholds_v
from atis_jax.export.spice import (
    BenchTokens,
    amplifiers,
    simulated_scores,
    static_deck,
    supply_power_w,
)
from atis_jax.gates import Gate
from atis_jax.scoring.atis.analog import read_scores, realise_design
from atis_jax.spice import benches
from atis_jax.spice.models import Process
from atis_jax.spice.netlist import Amplifier
from atis_jax.spice.simulator import simulate
from atis_jax.units import celsius_to_kelvin
from experiments.spice.characterise import Characterised
from experiments.spice.gates import GATE_POWER, GATE_SUM

SHARPNESS = (2, 4, 8, 16)
SIGMAS = 3.0
"""The grey zone is so many times the gate of the array's RMS error."""
AGREEMENT = 0.99
REPEATS = 20
FITTED_SPAN = 1.2
"""A TIA is fitted up to so many times the largest threshold: beyond, no decision hangs on it."""


@dataclasses.dataclass(frozen=True)
class Twin:
    """Our model of a layer's netlist, told only what its cells do one by one.

    Attributes:
        hardware: fitted OTAs and TIA; grids, converters and noise of the bundle's.
        chip: systematic offsets of op-amp and comparator.
        tia_residual_v: what the fit of the TIA leaves at most within the comparator's span, V.
        comparator_step_v: how finely the comparator's offset was found, V.
        threshold_v: (C,) of every comparator behind the array, its systematic offset in it, V.
    """

    hardware: Hardware
    chip: Chip
    tia_residual_v: float
    comparator_step_v: float
    threshold_v: np.ndarray


def spice_twin(bundle: Bundle, layer: int, found: Characterised, temperature_c: float) -> Twin:
    """Characterise the TIA and the comparator of a layer, and put them together with the fitted OTA."""
    numbers, hardware = achieved(bundle, layer), bundle.layer_hardware(layer)
    span_v = float(hardware.comparator.reference_span_v)
    amplified = has_amplifier(hardware.tia.readout)
    if amplified:
        fits = [_fit_amplifier(found.process, one, temperature_c, 0.5 * span_v) for one in amplifiers(bundle, numbers)]
    else:  # a resistor is ideal; what the OTAs lose at their outputs is the array's
        tia = hardware.tia
        fits = [_AmplifierFit(1.0, 0.0, float(tia.swing_v), tia.rail_sharpness, 0.0)] * bundle.spec.geometry.prototypes
    # Rails are the hardware's, one for all rows: those of the row that needs them most.
    worst = min(fits, key=lambda fit: fit.swing_v)
    step_v = 1e-4
    wanted_v = thresholds_v(bundle, layer)
    references_v = np.zeros_like(wanted_v) if bundle.spec.differential else wanted_v
    offsets_v = benches.comparator_offsets(
        found.process, references_v.tolist(), COMPARATOR_CURRENT_A, temperature_c, inverted=amplified
    )
    if bundle.spec.differential:
        offsets_v = 0.5 * offsets_v
    fields = {
        "ota.law": found.hardware.ota.law,
        **found.law.fields,
        "ota.kappa_current_a": found.hardware.ota.kappa_current_a,
        "tia.swing_v": worst.swing_v,
        "tia.rail_sharpness": worst.sharpness,
    }
    twin = with_fields(hardware, fields)
    chip = dataclasses.replace(
        nominal_chip(twin, bundle.spec.geometry),
        tia_log_gain_error=jnp.array([np.log(fit.gain) for fit in fits], jnp.float32),
        tia_offset_v=jnp.array([fit.offset_v for fit in fits], jnp.float32),
        comparator_offset_v=jnp.asarray(np.tile(offsets_v[: bundle.spec.groups], bundle.spec.halves), jnp.float32),
    )
    return Twin(twin, chip, max(fit.residual_v for fit in fits), step_v, wanted_v + offsets_v)


def design_twin(bundle: Bundle, layer: int) -> Twin:
    """The perfect chip of the design's own hardware: what the tokens are told to be where nothing is simulated."""
    hardware = bundle.layer_hardware(layer)
    return Twin(hardware, nominal_chip(hardware, bundle.spec.geometry), 0.0, 0.0, thresholds_v(bundle, layer))


@dataclasses.dataclass(frozen=True)
class _AmplifierFit:
    gain: float
    offset_v: float
    swing_v: float
    sharpness: int
    residual_v: float


def _fit_amplifier(process: Process, amplifier: Amplifier, temperature_c: float, span_v: float) -> _AmplifierFit:
    """Gain over R_f, offset and soft rails of a simulated TIA, least squares over the range of the thresholds."""
    current_a, score_v = benches.amplifier_curve(process, amplifier, temperature_c)
    near = np.abs(amplifier.feedback_ohm * current_a) <= FITTED_SPAN * span_v
    asked_v, score_v = amplifier.feedback_ohm * current_a[near], score_v[near]
    best: _AmplifierFit | None = None
    for sharpness in SHARPNESS:

        def left(found, sharpness=sharpness):
            gain, offset_v, swing_v = found
            return np.asarray(soft_rails(jnp.asarray(gain * asked_v + offset_v), swing_v, sharpness)) - score_v

        with jax.enable_x64(True):
            fit = least_squares(left, [1.0, 0.0, 0.9], x_scale=[1e-3, 1e-3, 0.1])
        gain, offset_v, swing_v = fit.x.tolist()
        one = _AmplifierFit(gain, offset_v, swing_v, sharpness, float(np.max(np.abs(fit.fun))))
        if best is None or one.residual_v < best.residual_v:
            best = one
    assert best is not None
    return best


def real_tokens(bundle: Bundle, layer: int, twin: Twin, inputs: np.ndarray, temperature_c: float) -> BenchTokens:
    """What the bench plays: the converters' voltages for ``inputs`` (t, N), and the twin's scores and decisions."""
    realised = twin_realised(bundle, layer, twin.hardware, twin.chip, temperature_c)
    u = jnp.asarray(inputs, jnp.float32)
    voltages_v = jax.vmap(converted_v, (None, 0))(realised, u)
    scores_v = jnp.tile(read_scores(realised, bundle.spec, u, None), len(twin.threshold_v) // bundle.spec.groups)
    keep = scores_v > twin.threshold_v.astype(np.float32)
    return BenchTokens(*(np.asarray(part) for part in (voltages_v, scores_v, keep)))


def twin_realised(bundle: Bundle, layer: int, hardware: Hardware, chip: Chip, temperature_c: float) -> Realised:
    """A layer of the bundle, calibrated, on ``chip`` at a temperature."""
    environment = Environment(celsius_to_kelvin(temperature_c), hardware.supply_v)
    design = calibrated_layer(bundle, layer)
    return realise_design(design, bundle.spec, hardware, jnp.asarray(bundle.query[layer]), chip, environment)


def grey_zone_v(numbers: Achieved, twin: Twin) -> np.ndarray:
    """Half-width around each threshold inside which a decision may differ, V, (C,).

    Three times the gate on the array's RMS error (0.5 % of the sum of bias currents, through R_f), and what the
    characterisation of TIA and comparator leaves.
    """
    array_v = SIGMAS * GATE_SUM / 100 * numbers.feedback_ohm * np.abs(numbers.signed_current_a).sum(axis=1)
    array_v = np.tile(array_v, len(twin.threshold_v) // len(array_v))
    return array_v + twin.tia_residual_v + twin.comparator_step_v


@dataclasses.dataclass(frozen=True)
class ClosedLoop:
    """One layer's tokens through ngspice and through our model.

    Attributes:
        scores_v: (t, C) of ngspice, V.
        keep: (t, C) of ngspice.
        bench_tokens: what was played and what the model says.
        threshold_v: (C,) of the model: the reference and the comparator's systematic offset, V.
        zone_v: (C,) half-width of the grey zone, V.
        power_w: mean supply power in ngspice, W.
        charged_w: what the ledger charges for the same, as netlisted, W.
        spice_s: time of ngspice for all tokens of the static bench, one process, s.
        model_s: time of our model for the same tokens, median, s.
    """

    scores_v: np.ndarray
    keep: np.ndarray
    bench_tokens: BenchTokens
    threshold_v: np.ndarray
    zone_v: np.ndarray
    power_w: float
    charged_w: float
    spice_s: float
    model_s: float

    def summary(self, layer: int) -> dict[str, Any]:
        """The numbers of the run's summary."""
        equal = self.keep == self.bench_tokens.keep
        distance_v = np.abs(self.bench_tokens.scores_v - self.threshold_v)
        outside = distance_v > self.zone_v
        wrong = distance_v[~equal]
        return {
            "layer": layer + 1,
            "tokens": len(equal),
            "equal_fraction": float(equal.mean()),
            "unequal_outside_zone": int(np.sum(~equal & outside)),
            "grey_zone_v": self.zone_v.tolist(),
            "inside_zone_fraction": float(np.mean(~outside)),
            "needed_zone_v": float(wrong.max()) if len(wrong) else 0.0,
            "score_rms_error_v": float(np.sqrt(np.mean((self.scores_v - self.bench_tokens.scores_v) ** 2))),
            "score_std_v": float(np.std(self.bench_tokens.scores_v)),
            "power_w": self.power_w,
            "charged_w": self.charged_w,
            "spice_s": self.spice_s,
            "model_s": self.model_s,
            "speed_ratio": self.spice_s / self.model_s,
        }


def close_loop(
    bundle: Bundle,
    layer: int,
    files: Mapping[str, str],
    bench_tokens: BenchTokens,
    twin: Twin,
    temperature_c: float,
    timeout_s: float = 600.0,
) -> ClosedLoop:
    """Play the tokens through the exported files in ngspice, and time our model on the same tokens."""
    # One process at a time: its time is compared with ours.
    done = simulate(static_deck(bundle, files, len(bench_tokens.keep)), timeout_s=timeout_s)
    scores_v, keep = simulated_scores(bundle, done.results[0])
    numbers = achieved(bundle, layer)
    return ClosedLoop(
        scores_v,
        keep,
        bench_tokens,
        twin.threshold_v,
        grey_zone_v(numbers, twin),
        supply_power_w(done.results[0]),
        netlisted_power_w(bundle, numbers),
        done.seconds,
        model_seconds(bundle, layer, twin, bench_tokens, temperature_c),
    )


def netlisted_power_w(bundle: Bundle, numbers: Achieved) -> float:
    """What the ledger charges for a layer built as its netlist is, W."""
    rows_a = jnp.asarray(np.tile(np.sum(np.abs(numbers.signed_current_a), axis=1), bundle.spec.halves))
    each_a = array_supply_a(rows_a, "netlisted")
    if has_amplifier(bundle.hardware.tia.readout):
        each_a = each_a + op_amp_supply_a(rows_a)
    return SUPPLY_V * (float(jnp.sum(each_a)) + bundle.comparators * comparator_supply_a())


def model_seconds(bundle: Bundle, layer: int, twin: Twin, bench_tokens: BenchTokens, temperature_c: float) -> float:
    """Median time of our model from array inputs to keep bits for all tokens of the bench at once, s."""
    realised = twin_realised(bundle, layer, twin.hardware, twin.chip, temperature_c)
    decide: Callable[[Any], Any] = jax.jit(
        lambda u: read_scores(realised, bundle.spec, u, None) > realised.threshold_v[: bundle.spec.groups]
    )
    inputs = jnp.asarray(bench_tokens.voltages_v / float(realised.full_scale_v), jnp.float32)
    jax.block_until_ready(decide(inputs))
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        jax.block_until_ready(decide(inputs))
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def loop_gates(summaries: list[dict[str, Any]]) -> list[Gate]:
    """What the closed loop is held to."""
    tokens = sum(one["tokens"] for one in summaries)
    equal = sum(one["equal_fraction"] * one["tokens"] for one in summaries) / tokens
    return [
        Gate(
            "closed_loop_equal",
            f"keep bits of ngspice equal to our model's, {tokens} tokens of {len(summaries)} layers",
            100 * equal,
            low=100 * AGREEMENT,
            unit="%",
        ),
        Gate(
            "closed_loop_outside",
            f"bits of ngspice unequal to our model's outside the grey zone, of {tokens} tokens",
            float(sum(one["unequal_outside_zone"] for one in summaries)),
            high=0.0,
            unit="tokens",
        ),
        *(
            Gate(
                f"supply_power_{one['layer']}",
                f"layer {one['layer']}: supply power in ngspice, {1e6 * one['power_w']:.3g} uW, over the ledger's as "
                f"netlisted, {1e6 * one['charged_w']:.3g} uW",
                100 * (one["power_w"] / one["charged_w"] - 1),
                low=-GATE_POWER,
                high=GATE_POWER,
                unit="%",
            )
            for one in summaries
        ),
    ]
