"""ATIS as a gatekeeper: a few dimensions of the hidden state, an OTA array, and a comparator in front of K and V.

Shape suffixes: B texts, n words, D width, N inputs of the array, G scores of a word: one, or one a key head.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.circuits.chip import Chip, Environment, nominal_chip, nominal_environment, sample_chip
from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.eviction.policies.future import PER, groups_of, log_future
from atis_jax.eviction.policies.linear import demeaned
from atis_jax.eviction.policy import Policy
from atis_jax.eviction.seen import Seen
from atis_jax.fitting.preset_file import named_hardware
from atis_jax.numerics import pytree
from atis_jax.scoring.atis.analog import read_scores, realise_design
from atis_jax.scoring.atis.design import INPUT_GAIN, Design, inputs_of, threshold_range
from atis_jax.scoring.atis.initial import initial_design
from atis_jax.scoring.atis.program import program
from atis_jax.scoring.atis.prototype import raw_from_weights
from atis_jax.scoring.atis.regression import LARGEST_WEIGHT, pursued
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.atis.start import fit_spread
from atis_jax.typing import Key
from atis_jax.units import NOMINAL_TEMPERATURE_K, thermal_voltage_v
from atis_jax.validation import check_settings, setting


@pytree
class Gate:
    """One layer's gate: what is programmed, and what it is programmed on.

    Attributes:
        design: its projection selects N dimensions, each over its own spread: one gain an input.
        shift: (N,) mean of each selected dimension over its spread, which its converter's code leaves out.
        chip: what fabrication gave.
        environment: temperature and supply.
    """

    design: Design
    shift: Float[Array, "N"]
    chip: Chip
    environment: Environment


@dataclasses.dataclass(frozen=True)
class AnalogGate(Policy):
    """Volts by which a word's score exceeds the comparator's reference; above zero its key and value are written.

    Dimensions by orthogonal matching pursuit on the training texts, weights by ridge regression of ``log_future`` on
    what converters and OTAs make of them. A converter's offset and reference hold each input's own mean and scale: a
    few dimensions of a language model are a hundred times as wide as the others (Sun et al. 2024, arXiv 2402.17762).

    Attributes:
        inputs: N.
        bits: of the converters.
        per: one score a layer, or one for each key head, on the same inputs.
        preset: hardware that chips are drawn from.
        one_scale: one scale for all inputs, and no offsets.
        noise: whether reading has noise.
    """

    inputs: int = setting(16, low=1, high=4096, doc="inputs of the array")
    bits: int = setting(4, low=1, high=16, doc="of the converters")
    per: str = setting("layer", choices=PER, doc="one score a layer, or one for each key head")
    preset: str = setting("nominal", path=True, doc="hardware that chips are drawn from, or its file")
    one_scale: bool = setting(False, doc="one scale for all inputs, and no offsets")
    noise: bool = setting(True, doc="whether reading has noise")
    static = True
    fits = True

    def __post_init__(self):
        check_settings(self, "policy")
        _ = self.hardware

    @cached_property
    def hardware(self) -> Hardware:
        """The preset with converters of so many bits."""
        return with_fields(named_hardware(self.preset), {"dac.bits": self.bits})

    def spec(self, groups: int) -> ScorerSpec:
        """Structure of the array."""
        arrangement = "consensus" if groups == 1 else "grouped"
        return ScorerSpec(inputs=self.inputs, projection="selection", arrangement=arrangement, groups=groups)

    def fit(self, seen: Seen, free: Bool[Array, "N"], key) -> Gate:
        """The gate of a chip without errors, its threshold in the middle of the reference's span."""
        groups, hardware = groups_of(self.per, seen.heads), self.hardware
        spec, width = self.spec(groups), seen.hidden.shape[-1]
        target = jnp.moveaxis(log_future(seen, free, self.per), 1, -1).reshape(-1, groups)
        weight = jnp.broadcast_to(free, seen.hidden.shape[:2]).reshape(-1).astype(jnp.float32)
        design = initial_design(key, spec, hardware, width)
        rows = pursued(design.projection, demeaned(seen, free).reshape(-1, width), target, weight)
        x = seen.hidden.reshape(-1, width) @ rows.T
        mean = jnp.average(x, axis=0, weights=weight)
        spread = jnp.sqrt(jnp.average(jnp.square(x - mean), axis=0, weights=weight))
        if self.one_scale:
            mean, spread = jnp.zeros_like(mean), jnp.full_like(spread, jnp.sqrt(jnp.mean(jnp.square(spread))))
        design = dataclasses.replace(design, projection=rows / spread[:, None])
        gate = Gate(design, mean / spread, nominal_chip(hardware, spec.geometry), nominal_environment(hardware))
        share = self.share(gate, seen.hidden.reshape(-1, width)).reshape(*seen.hidden.shape[:2], -1)
        weights = _ridge(share, free, target)
        peak = jnp.maximum(jnp.max(jnp.abs(weights), axis=-1, keepdims=True), jnp.finfo(weights.dtype).tiny)
        design = dataclasses.replace(design, prototype=raw_from_weights(LARGEST_WEIGHT * weights / peak))
        query = jnp.zeros((groups, width))
        centred = (share - jnp.mean(share, axis=(0, 1), where=free[:, None])).reshape(-1, self.inputs)
        design = fit_spread(design, spec, hardware, query, centred, weight, lambda _, given: given)
        return dataclasses.replace(gate, design=with_threshold(design, hardware, jnp.zeros(groups)))

    def share(self, gate: Gate, hidden: Float[Array, "n D"]) -> Float[Array, "n N"]:
        """What a word makes of each weight's current: an OTA's tanh, on the perfect chip."""
        slope = self.hardware.ota.kappa / (2.0 * thermal_voltage_v(NOMINAL_TEMPERATURE_K))
        return jnp.tanh(self.inputs_of(gate, hidden) * self.hardware.dac.full_scale_v * slope)

    def inputs_of(self, gate: Gate, hidden: Float[Array, "n D"]) -> Float[Array, "n N"]:
        """What the converters are given, +-1 full scale."""
        return inputs_of(gate.design, hidden) - INPUT_GAIN.forward(gate.design.input_gain) * gate.shift

    def score(self, params: Gate, seen, attention, key):
        """See ``Policy``; V."""
        batch, words, width = seen.hidden.shape
        spec = self.spec(len(params.design.threshold))
        query = jnp.zeros((spec.groups, width))
        realised = realise_design(params.design, spec, self.hardware, query, params.chip, params.environment)
        inputs = self.inputs_of(params, seen.hidden.reshape(-1, width))
        if self.noise:
            node, own = jax.random.normal(key, (2, batch * words, spec.groups))
            over = read_scores(realised, spec, inputs, node) + realised.comparator_noise_v * own
        else:
            over = read_scores(realised, spec, inputs, None)
        over = over - realised.threshold_v
        return jnp.moveaxis(over.reshape(batch, words, spec.groups), -1, 1)


@dataclasses.dataclass(frozen=True)
class DigitalGate(AnalogGate):
    """The analog gate's digital twin: the same inputs, codes and regression, sums of products in exact arithmetic."""

    def share(self, gate, hidden):
        """The inputs themselves."""
        return self.inputs_of(gate, hidden)

    def inputs_of(self, gate, hidden):
        """The converters' codes, without the converters."""
        top = 2**self.bits - 1
        value = jnp.clip(super().inputs_of(gate, hidden), -1.0, 1.0)
        return 2.0 * jnp.round(0.5 * (value + 1.0) * top) / top - 1.0

    def score(self, params: Gate, seen, attention, key):
        """See ``Policy``; V of a linear circuit."""
        batch, words, width = seen.hidden.shape
        spec = self.spec(len(params.design.threshold))
        programmed = program(params.design, spec, self.hardware, jnp.zeros((spec.groups, width)))
        weight_v = programmed.feedback_ohm[:, None] * programmed.drawn_current_a
        over = self.inputs_of(params, seen.hidden.reshape(-1, width)) @ weight_v.T - programmed.threshold_v
        return jnp.moveaxis(over.reshape(batch, words, spec.groups), -1, 1)


def with_threshold(design: Design, hardware: Hardware, threshold_v: Float[Array, "*L G"]) -> Design:
    """The design with these thresholds, as far as the reference reaches, V."""
    span = threshold_range(hardware)
    return dataclasses.replace(
        design, threshold=span.inverse(jnp.clip(threshold_v, -0.98 * span.high, 0.98 * span.high))
    )


def moved(gate: Gate, hardware: Hardware, by_v: Float[Array, "*L G"]) -> Gate:
    """The gate with its thresholds higher by this, V."""
    before = threshold_range(hardware).forward(gate.design.threshold)
    return dataclasses.replace(gate, design=with_threshold(gate.design, hardware, before + by_v))


def _ridge(share: Float[Array, "B n N"], free: Bool[Array, "n"], target: Float[Array, "M G"]) -> Float[Array, "G N"]:
    """Weights of the regression on shares less their text's mean, as the target is."""
    chosen = free[:, None]
    deviation = jnp.where(chosen, share - jnp.mean(share, axis=1, where=chosen, keepdims=True), 0.0)
    deviation = deviation.reshape(-1, share.shape[-1])
    gram = deviation.T @ deviation
    ridge = RIDGE * jnp.mean(jnp.diagonal(gram)) + jnp.finfo(gram.dtype).tiny
    return jnp.linalg.solve(gram + ridge * jnp.eye(len(gram)), deviation.T @ target).T


RIDGE = 1e-3
"""Added to the Gram matrix of the shares, over its mean diagonal."""


def fabricated(policy: AnalogGate, gate: Gate, key: Key, environment: Environment) -> Gate:
    """The gates of all layers on one chip, somewhere.

    Args:
        policy: the circuit.
        gate: as fitted, leaves (L, ...).
        key: the same makes the same chip.
        environment: temperature and supply.
    """
    depth, groups = gate.design.threshold.shape
    geometry = policy.spec(groups).geometry
    chip = jax.vmap(lambda one: sample_chip(one, policy.hardware, geometry))(jax.random.split(key, depth))
    everywhere = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (depth,)), environment)
    return dataclasses.replace(gate, chip=chip, environment=everywhere)
