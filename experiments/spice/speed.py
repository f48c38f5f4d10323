"""A row of transistors at the speed its ledger bills: settled then, and not at a fifth of it."""

from __future__ import annotations

import numpy as np

from atis_jax.cells.timing import array_settling_s, decision_s
from atis_jax.circuits.ota import mirror_capacitance_f
from atis_jax.circuits.presets import get_preset
from atis_jax.gates import Gate
from atis_jax.spice import benches
from atis_jax.spice.models import Process
from atis_jax.spice.steps import scores_in_time
from experiments.spice.rows import random_row

PRESET, INPUTS, BITS = "sky130_fg", 32, 6
CURRENTS_A = (3e-9, 60e-9)
SETTLED = 0.99
GATE_SETTLED_V = 5e-3
EARLY = 0.2


def allowed_bits(bits: int, equal: float = SETTLED) -> float:
    """How many may differ, if a share ``equal`` must not; one where they are few."""
    return max(1.0, (1.0 - equal) * bits)


def speed_gates(process: Process, temperature_c: float, tokens: int, seed: int) -> list[Gate]:
    """Random tokens of a random row, one after the other, against the same tokens settled, all in ngspice."""
    hardware, random = get_preset(PRESET), np.random.default_rng(seed)
    row = random_row(random, INPUTS, *CURRENTS_A, hardware)
    full_scale_v = float(hardware.dac.full_scale_v)
    voltages_v = full_scale_v * random.uniform(-1.0, 1.0, (tokens, INPUTS))
    mean_a = float(np.mean(np.abs(row.signed_current_a)))
    billed_s = decision_s() + float(
        array_settling_s(
            mean_a,
            BITS,
            capacitance_f=mirror_capacitance_f(mean_a, hardware.ota),
            kappa=hardware.ota.kappa,
            full_scale_v=full_scale_v,
            temperature_k=temperature_c + 273.15,
        )
    )
    told = process, row.signed_current_a, voltages_v, row.amplifier, row.threshold_v
    settled_v, settled = benches.array_scores(*told, temperature_c)
    found = []
    for token_s in (billed_s, EARLY * billed_s):
        scores_v, keep = scores_in_time(*told, token_s, temperature_c)
        # The first token meets an operating point.
        wrong, error_v = np.sum(keep[1:] != settled[1:]), np.sqrt(np.mean((scores_v - settled_v)[1:] ** 2))
        found.append((float(wrong), float(error_v)))
    (wrong, error_v), (early, early_v) = found
    what = f"{INPUTS} random OTAs at the billed {1e6 * billed_s:.3g} us a token"
    return [
        Gate(
            "speed_bits",
            f"{what}: bits unlike the settled ones, of {tokens - 1}",
            wrong,
            high=allowed_bits(tokens - 1),
            unit="bits",
        ),
        Gate(
            "speed_score",
            f"{what}: RMS of a score less the settled one",
            1e3 * error_v,
            high=1e3 * GATE_SETTLED_V,
            unit="mV",
        ),
        Gate(
            "speed_early",
            f"a fifth of it must fail: {early:g} bits, {1e3 * early_v:.3g} mV RMS; the larger over what passes",
            max(early / allowed_bits(tokens - 1), early_v / GATE_SETTLED_V),
            low=1.0,
        ),
    ]
