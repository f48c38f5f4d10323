"""The analog scorer: projection, DACs, OTA array, TIA, comparator (ATIS paper, section 3).

A differential scorer (paper 5.3) has two half arrays of weights w and -w on the same DACs, each with its own TIA, and
one comparator that sees half the difference of the two: V = (V+ - V-) / 2. In this model of a chip

* what is the same in both halves before the difference cancels: an offset of the op-amps or of the OTAs that both
  halves share, a disturbance of the common mode, and the even-order part of the halves' transfer;
* what each half draws for itself is averaged: OTA offsets, additive currents, programming and gain errors and op-amp
  offsets, which ``sample_chip`` draws independently for every device, so that the score's error falls by sqrt(2) for
  twice the array;
* what multiplies both halves alike does not cancel: temperature and chip-wide kappa act on the score itself, and so do
  the converters' errors and the comparator's offset, of which there is one.

Read noise is independent in the halves too. The kT/C of the shared converters, part of it, is not independent on
silicon; drawn as if it were, its share of the noise power is half of what it should be.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.circuits import comparator
from atis_jax.circuits.chip import Chip, Environment, nominal_chip, sample_chip
from atis_jax.circuits.frontend import Realised, read, realise
from atis_jax.circuits.hardware import Hardware
from atis_jax.energy.ledger import Ledger
from atis_jax.energy.shapes import IN_TURNS
from atis_jax.scoring.atis.design import Design, inputs_of
from atis_jax.scoring.atis.knobs import designed_hardware
from atis_jax.scoring.atis.method import Atis
from atis_jax.scoring.atis.program import array_program
from atis_jax.scoring.atis.projection import conditioned
from atis_jax.scoring.atis.residue import read_in_time
from atis_jax.scoring.atis.sharing import with_one_array
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.types import Context, Decision, ScorerState
from atis_jax.typing import Key
from atis_jax.validation import SettingError, choose


class Analog(Atis):
    """The analog circuit, simulated on ``hardware``.

    What does not depend on the token (programming, temperature, DAC levels) is worked out once per layer and chip,
    also under ``vmap`` over examples. Read noise is one normal at the summing node and one at the comparator for each
    token and prototype, keyed by the token's original position.

    Raises:
        SettingError: the array needs more inputs than the hardware has.
    """

    def __init__(self, spec: ScorerSpec, hardware: Hardware, target: Float[Array, "L"] | None = None):
        super().__init__(spec, hardware, target)
        if spec.inputs > hardware.max_inputs:
            raise SettingError(
                f"config.scorer.inputs = {spec.inputs} exceeds the {hardware.max_inputs} array inputs of "
                f"hardware.preset {hardware.name!r}; lower scorer.inputs or choose a larger preset"
            )

        if math.isfinite(hardware.token_time_s):
            _check_in_time(spec, hardware)

    @property
    def fabricated(self) -> bool:
        """It is a circuit."""
        return True

    def sample_chip(self, key: Key, lot: Key | None = None) -> Chip:
        """One layer's chip, of a lot."""
        return sample_chip(key, self.hardware, self.spec.geometry, lot)

    def wired(self, chip: Chip | None) -> Chip | None:
        """One array where one read serves all layers."""
        return with_one_array(chip) if self.reads_once and chip is not None else chip

    def perfect_chip(self) -> Chip:
        """The same without any error."""
        return nominal_chip(self.hardware, self.spec.geometry)

    def score(
        self,
        design: Design,
        chip: Chip | None,
        environment: Environment | None,
        tokens: Float[Array, "n D"],
        context: Context,
        key: Key | None,
    ) -> tuple[Decision, ScorerState]:
        """See ``Method``.

        Where one read serves all layers, the first gives the score on, with its array and its array's noise; behind it
        a layer's own are the threshold and the comparator, with its offset and noise.

        Raises:
            ValueError: there is no chip or no environment.
        """
        if chip is None or environment is None:
            raise ValueError("the analog scorer needs a chip and an environment; see circuits.chip.nominal_chip")
        spec, hardware = self.spec, self.hardware
        realised = realise_design(design, spec, hardware, context.state.query, chip, environment)
        node_noise, comparator_noise = _read_noise(key, context, spec)
        if context.along is None:
            inputs = inputs_of(design, conditioned(tokens, spec.source))
            if math.isfinite(hardware.token_time_s):
                return self._in_time(realised, inputs, context, node_noise, comparator_noise)
            voltage = read_scores(realised, spec, inputs, node_noise)
        else:
            voltage = context.along
        reference_v = realised.threshold_v[: spec.groups]
        at_comparator = voltage
        if comparator_noise is not None:
            at_comparator = voltage + realised.comparator_noise_v * comparator_noise
        hysteresis_v = realised.hysteresis_v if spec.hysteresis else 0.0
        keep, threshold_v, state = self.decide(at_comparator, reference_v, context, spec.sequential, hysteresis_v)
        probability = comparator.keep_probability(
            voltage, threshold_v, realised.comparator_noise_v, self.soft_width_v(context)
        )
        return Decision(at_comparator, probability, keep, along=voltage if self.reads_once else None), state

    def _in_time(
        self, realised: Realised, inputs: Float[Array, "n N"], context: Context, node_noise, comparator_noise
    ) -> tuple[Decision, ScorerState]:
        """Decisions of tokens that follow each other faster than the circuit settles."""
        spec, threshold_v = self.spec, realised.threshold_v[: self.spec.groups]
        still_v = read_scores(realised, spec, inputs, None)
        array_v = (
            jnp.zeros_like(still_v) if node_noise is None else read_scores(realised, spec, inputs, node_noise) - still_v
        )
        own_v = 0.0 if comparator_noise is None else realised.comparator_noise_v * comparator_noise
        reaches = context.counted & jnp.any(context.alive, axis=-1)
        _, decided_v = read_in_time(
            realised, self.hardware, spec, inputs, reaches, threshold_v, array_v, jnp.broadcast_to(own_v, still_v.shape)
        )
        probability = comparator.keep_probability(
            decided_v if comparator_noise is None else decided_v - own_v,
            threshold_v,
            realised.comparator_noise_v,
            self.soft_width_v(context),
        )
        return Decision(decided_v, probability, decided_v > threshold_v), context.state

    def check_design(self, costs: Bill, design: Design, state: ScorerState) -> None:
        """A token time must let the circuit settle and decide."""
        self.ledger(costs).check_token_time(design, state.query)

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Design, state: ScorerState) -> Ledger:
        """The network, converters, array, amplifiers and comparators."""
        return self.ledger(costs).analog(kept, design, state.query)

    def reference_v(
        self, design: Design, chip: Chip, environment: Environment | None, state: ScorerState
    ) -> Float[Array, "G"]:
        """After the reference's resolution and the comparator's offset."""
        assert environment is not None
        return realise_design(design, self.spec, self.hardware, state.query, chip, environment).threshold_v[
            : self.spec.groups
        ]

    def near_threshold(
        self,
        design: Design,
        chip,
        environment,
        state: ScorerState,
        voltage,
        seen,
        rounding_v: float,
        rounding_code: float,
    ) -> Bool[Array, "B N G"]:
        """See ``Atis``: within ``rounding_v``, or where the steps of converters near an edge reach the threshold."""
        spec = self.spec
        if chip is None or environment is None:
            return jnp.zeros(voltage.shape, bool)
        realised = realise_design(design, spec, self.hardware, state.query, chip, environment)
        distance_v = jnp.abs(voltage - realised.threshold_v[: spec.groups])
        reach_v = jnp.full(distance_v.shape, rounding_v)
        if self.hardware.dac.resolution is not None:
            levels = realised.dac_top
            place = 0.5 * (inputs_of(design, conditioned(seen, spec.source)) + 1.0) * levels
            at_edge = jnp.abs(jnp.abs(place - jnp.round(place)) - 0.5) < rounding_code
            step_v = jnp.abs(realised.weight_v) * realised.slope_per_v * (2.0 * realised.full_scale_v / levels)
            step_v = jnp.mean(step_v.reshape(spec.halves, spec.groups, -1), axis=0)
            # Twice the ideal step: the elements of one converter may differ by more than that only when broken.
            reach_v = reach_v + 2.0 * jnp.einsum("bnj,gj->bng", at_edge.astype(step_v.dtype), step_v)
        return distance_v <= reach_v


def _check_in_time(spec: ScorerSpec, hardware: Hardware) -> None:
    """Refuse what else remembers tokens, or asks an array several things of one, beside a finite token time."""
    for name, beside in (
        ("hysteresis = True", spec.hysteresis),
        (f"adaptive_rate_v = {spec.adaptive_rate_v}", spec.adaptive_rate_v > 0),
        (f"reads = {spec.reads!r}", spec.reads_once),
        (f"arrangement = {spec.arrangement!r}", choose(IN_TURNS, spec.arrangement, "scorer.arrangement")),
    ):
        if beside:
            raise SettingError(
                f"config.scorer.{name} with config.hardware.token_time_s = {hardware.token_time_s}: what a token "
                "leaves for the next is simulated for a comparator and an array that remember nothing else; set "
                "hardware.token_time_s = None, or leave the other out"
            )


def realise_design(
    design: Design,
    spec: ScorerSpec,
    hardware: Hardware,
    query: Float[Array, "G D"],
    chip: Chip,
    environment: Environment,
) -> Realised:
    """One layer's design as programmed on a chip: its own converters, its arrays (both halves of a differential one).

    Args:
        design: one layer's.
        spec: structure of the scorer.
        hardware: the chip was sampled from it.
        query: what an ``ema`` prototype holds.
        chip: of one layer, ``spec.geometry``.
        environment: temperature and supply.
    """
    programmed = array_program(design, spec, hardware, query)
    return realise(programmed, designed_hardware(design, spec, hardware), chip, environment)


def read_scores(
    realised: Realised,
    spec: ScorerSpec,
    inputs: Float[Array, "n N"],
    node_noise: Float[Array, "n HG"] | None,
) -> Float[Array, "n G"]:
    """What the comparators see of each token without their own noise, V.

    Args:
        realised: the arrays, ``spec.geometry.prototypes`` = H G rows.
        spec: whether the scores are differential (H = 2, rows of w before rows of -w) or not (H = 1).
        inputs: array inputs, +-1 full scale.
        node_noise: a standard normal a token and row, or None for a noiseless read.
    """
    rows_v = jax.vmap(read, in_axes=(None, 0, None if node_noise is None else 0))(realised, inputs, node_noise)
    if not spec.differential:
        return rows_v
    return 0.5 * (rows_v[:, : spec.groups] - rows_v[:, spec.groups :])


def _read_noise(key: Key | None, context: Context, spec: ScorerSpec):
    """Standard normals (n, H G) for the summing nodes and (n, G) for the comparators, or (None, None) without a key.

    Each token draws from a key of its own, folded from its original position: not from how many tokens there are.
    """
    if key is None:
        return None, None
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, context.position)
    draw = jax.vmap(lambda token: jax.random.normal(token, (spec.halves + 1, spec.groups)))(keys)
    return draw[:, :-1].reshape(len(draw), -1), draw[:, -1]
