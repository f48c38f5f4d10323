"""The exported netlist at the speed it is billed for: settled then, not at a fifth of it, and as our model has it.

Real tokens in random order, one after the other, through the netlist in ngspice. At the billed time scores and bits are
those of the settled model; at half and a fifth of it they are those of the model that follows what each token leaves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.cells.library import OTA_MIRROR_F, OTA_MIRROR_PER_DECADE
from atis_jax.circuits.frontend import Realised
from atis_jax.circuits.hardware import with_fields
from atis_jax.export.bundle import Bundle
from atis_jax.export.spice import (
    BenchTokens,
    at_token_ends,
    simulated_scores,
    transient_bench,
    transient_deck,
)
from atis_jax.gates import Gate
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.residue import read_in_time
from atis_jax.spice.netlist import EDGE
from atis_jax.spice.simulator import simulate
from experiments.export.spice import Twin, twin_realised
from experiments.ledgers import run_bill
from experiments.spice.speed import GATE_SETTLED_V, allowed_bits
from experiments.trained_run import TrainedRun

FRACTIONS = (1.0, 0.5, 0.2)
"""Of the billed time: settled; and two at which the residue is simulated."""
FOLLOWED = 0.98
"""Equal bits at the least, sooner than the billed time, against the model with residue."""
AHEAD = 20
"""Tokens like the first that the model is given before it: four times the billed time at a fifth of it."""
GATE_RESIDUE = 0.25
"""RMS error of the model with residue, over the residue."""


@dataclasses.dataclass(frozen=True)
class InTime:
    """Tokens of one layer played at one speed.

    Attributes:
        fraction: of the billed time.
        token_s: time of a token, s.
        scores_v: (t, C) of ngspice at the end of each token, V.
        keep: (t, C) of ngspice.
        settled: bits unequal to the settled model's.
        settled_v: RMS of the score less the settled one, both of ngspice, V.
        followed: bits unequal to those of the model with residue.
        followed_v: RMS of its error of that difference, V.
    """

    fraction: float
    token_s: float
    scores_v: np.ndarray
    keep: np.ndarray
    settled: int
    settled_v: float
    followed: int
    followed_v: float

    def summary(self, layer: int) -> dict[str, Any]:
        """The numbers of the run's summary."""
        return {
            "layer": layer + 1,
            "fraction": self.fraction,
            "token_s": self.token_s,
            "bits": int(self.keep.size),
            "unequal_to_settled": self.settled,
            "rms_from_settled_v": self.settled_v,
            "unequal_with_residue": self.followed,
            "rms_with_residue_v": self.followed_v,
        }


def billed_times_s(run: TrainedRun) -> np.ndarray:
    """Time of a token in each layer that the run's ledger bills, s."""
    costs = run_bill(run.settings, run.model)
    state = run.trained.state
    method = run.trained.evaluator.method
    assert isinstance(method, Analog)  # refused before
    return np.asarray(method.ledger(costs).token_time_s(state.design, state.scorer_state.query))


def first_tokens(tokens: BenchTokens, count: int) -> BenchTokens:
    """The first ``count`` of them."""
    return BenchTokens(*(getattr(tokens, field.name)[:count] for field in dataclasses.fields(tokens)))


def play_in_time(
    bundle: Bundle,
    layer: int,
    files: Mapping[str, str],
    tokens: BenchTokens,
    static_v: np.ndarray,
    twin: Twin,
    billed_s: float,
    temperature_c: float,
    timeout_s: float = 1800.0,
) -> list[InTime]:
    """Play tokens at each of ``FRACTIONS`` of the billed time.

    Args:
        bundle: the design, its arrays side by side.
        layer: from 0.
        files: of the exported layer.
        tokens: what is played.
        static_v: (t, C) settled scores of ngspice, V.
        twin: our model of the netlist.
        billed_s: time of a token that the ledger charges, s.
        temperature_c: degrees Celsius.
        timeout_s: of one simulation.
    """
    played = []
    for fraction in FRACTIONS:
        token_s, count = fraction * billed_s, len(tokens.keep)
        bench = transient_bench(bundle, layer, tokens, token_s, temperature_c)
        deck = transient_deck(bundle, files, bench, count, token_s)
        ends = at_token_ends(simulate(deck, timeout_s=timeout_s).results[0], count, token_s)
        scores_v, keep = simulated_scores(bundle, ends)
        model_v, model_keep = _followed(bundle, layer, tokens, twin, token_s, temperature_c)
        # The first token meets an operating point, not a rest.
        moved_v, ours_v = (scores_v - static_v)[1:], (model_v - tokens.scores_v)[1:]
        played.append(
            InTime(
                fraction,
                token_s,
                scores_v,
                keep,
                int(np.sum(keep[1:] != tokens.keep[1:])),
                float(np.sqrt(np.mean(moved_v**2))),
                int(np.sum(keep[1:] != model_keep[1:])),
                float(np.sqrt(np.mean((ours_v - moved_v) ** 2))),
            )
        )
    return played


def _followed(
    bundle: Bundle, layer: int, tokens: BenchTokens, twin: Twin, token_s: float, temperature_c: float
) -> tuple[np.ndarray, np.ndarray]:
    """Scores at the end of each token (t, C) in V, and bits, of the twin that follows the residue.

    The bench's inputs take ``EDGE`` of a token to change, and its bits are read half of that before a token's end. It
    starts settled at its first token: the model is given that token until it is, too.
    """
    hardware = with_fields(
        twin.hardware,
        {
            "token_time_s": float((1.0 - EDGE) * token_s),
            "ota.capacitance_f": OTA_MIRROR_F,
            "ota.capacitance_per_decade": OTA_MIRROR_PER_DECADE,
        },
    )
    realised: Realised = twin_realised(bundle, layer, hardware, twin.chip, temperature_c)
    inputs = jnp.asarray(tokens.voltages_v / float(realised.full_scale_v), jnp.float32)
    inputs = jnp.concatenate([jnp.repeat(inputs[:1], AHEAD, axis=0), inputs])
    threshold_v = jnp.asarray(twin.threshold_v.reshape(-1, bundle.spec.groups), jnp.float32)
    quiet = jnp.zeros((len(inputs), bundle.spec.groups))
    everyone = jnp.ones(len(inputs), bool)
    in_time = jax.jit(lambda u, at_v: read_in_time(realised, hardware, bundle.spec, u, everyone, at_v, quiet, quiet))
    scores_v, bits = [], []
    for at_v in threshold_v:
        ends_v, decided_v = in_time(inputs, at_v)
        scores_v.append(ends_v[AHEAD:])
        bits.append(decided_v[AHEAD:] > at_v)
    return np.concatenate(scores_v, axis=1), np.concatenate(bits, axis=1)


def in_time_gates(played: Sequence[Sequence[InTime]]) -> list[Gate]:
    """What the speed of the layers is held to; a single wrong bit of few passes."""
    by_fraction = {fraction: [one[index] for one in played] for index, fraction in enumerate(FRACTIONS)}
    billed, half, fifth = (by_fraction[fraction] for fraction in FRACTIONS)
    bits = sum(one.keep[1:].size for one in billed)
    shortest, longest = (f(1e6 * one.token_s for one in billed) for f in (min, max))
    wrong, worst_v = sum(one.settled for one in billed), max(one.settled_v for one in billed)
    early, early_v = sum(one.settled for one in fifth), max(one.settled_v for one in fifth)
    gates = [
        Gate(
            "in_time_bits",
            f"at the billed {shortest:.3g} to {longest:.3g} us a token: bits unequal to the settled model's, of {bits}",
            float(wrong),
            high=allowed_bits(bits),
            unit="bits",
        ),
        Gate(
            "in_time_score",
            "at the billed time: RMS of a score less the settled one, worst layer",
            1e3 * worst_v,
            high=1e3 * GATE_SETTLED_V,
            unit="mV",
        ),
        Gate(
            "in_time_early",
            f"at a fifth of it the same must fail: {early} bits unequal, {1e3 * early_v:.3g} mV RMS; the larger over "
            "what would pass",
            max(early / allowed_bits(bits), early_v / GATE_SETTLED_V),
            low=1.0,
        ),
    ]
    for name, some in (("half", half), ("fifth", fifth)):
        gates += [
            Gate(
                f"in_time_{name}_bits",
                f"at a {name} of it, against the model with residue: unequal bits, of {bits}",
                float(sum(one.followed for one in some)),
                high=allowed_bits(bits, FOLLOWED),
                unit="bits",
            ),
            Gate(
                f"in_time_{name}_score",
                f"at a {name} of it: RMS error of the model's residue over the residue, worst layer",
                max(one.followed_v / one.settled_v for one in some),
                high=GATE_RESIDUE,
            ),
        ]
    return gates
