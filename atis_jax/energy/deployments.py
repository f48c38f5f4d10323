"""Deployments: one network in one place, and the ways to run it, each as a ledger."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.cells.timing import mirror_f
from atis_jax.energy.baselines import (
    cheapest_digital_ledger,
    coarse_then_fine_ledger,
    dense_ledger,
    digital_ledger,
    folded_digital_ledger,
)
from atis_jax.energy.components.converters import SAR_BITS
from atis_jax.energy.constants import paper
from atis_jax.energy.front_end import CIRCUITS, CORES, DACS, PRICED, FrontEnd
from atis_jax.energy.ledger import LINES, SCORING_LINES, Ledger, ledger
from atis_jax.energy.networks import bert_shape, gpt2_shape, vit_shape
from atis_jax.energy.presets import PRESET_NAMES, EnergyPreset, Term, made_of, provenance
from atis_jax.energy.shapes import (
    FORMATS,
    MEMORIES,
    PROJECTIONS,
    SOURCES,
    Memory,
    NetworkShape,
    ScorerShape,
    TokenCounts,
)
from atis_jax.typing import Real
from atis_jax.validation import SettingError, check_choice, check_settings, choose, setting

CONTENDERS = ("dense", "digital", "folded", "paper", "coarse", "codesigned_digital", "codesigned")
"""No pruning; the paper's score in digital, as computed and folded to one vector; the paper's circuit; the co-designed
score in digital on pixels that are converted coarsely first, in front of a camera only; the same score in digital, in
its cheaper form; the co-designed circuit. The last but one is what the last has to beat: a design that needs fewer
numbers is cheaper in digital too."""
ANALOG = ("paper", "codesigned")
PRICED_LOAD_F = 0.2e-12
"""Of an OTA whose capacitance nobody knows."""
IN_BOTH = ("scorer_memory", "projection")
"""Lines of a scorer of which a part is no choice of its circuit: the tokens it reads, the projection before it."""
SCANNED = ("sensor_read", "sensor_adc", *SCORING_LINES)
"""Lines of a frame that wakes nothing: it is read, and scored."""
MODES = ("encoder", "decode")
_SHAPES: dict[str, Callable[[DeploymentSpec, NetworkShape | None], NetworkShape]] = {
    "deit_ti": lambda spec, own: vit_shape(192, 3),
    "deit_s": lambda spec, own: vit_shape(384, 6),
    "vit_b": lambda spec, own: vit_shape(768, 12),
    "bert_base": lambda spec, own: bert_shape(spec.length),
    "gpt2": lambda spec, own: gpt2_shape(spec.length, head_tokens=1),
    "own": lambda spec, own: _given(own),
}
DEPLOYMENT_NETWORKS = tuple(_SHAPES)


@dataclasses.dataclass(frozen=True)
class PointSpec:
    """A scorer's design point."""

    inputs: int = setting(64, low=1, high=100_000, doc="N, array inputs")
    bits: int = setting(6, low=1, high=12, doc="of the converters")
    projection: str = setting("learned", choices=PROJECTIONS, doc="from d to N")
    bias_a: float = setting(100e-9, low=0.0, high=1e-3, exclusive_low=True, doc="mean bias current of an OTA")
    supply_v: float = setting(1.0, low=0.0, high=10.0, exclusive_low=True, doc="analog supply")
    token_time_s: float = setting(1e-6, low=1e-9, high=1.0, doc="time the array is on for one token")
    full_scale_v: float = setting(0.1, low=0.0, high=10.0, exclusive_low=True, doc="swing of an input line")
    load_f: float | None = setting(
        None,
        low=0.0,
        high=1e-9,
        exclusive_low=True,
        doc="capacitance an OTA settles; None is its own, 0.2 pF if priced",
    )
    dac: str = setting("per_bit", choices=DACS, doc="how numbers become voltages")
    dac_j_per_bit: float | None = setting(
        None, low=0.0, high=1e-9, doc="of a conversion, in place of the preset's; 1e-12 in the paper"
    )
    converters: int | None = setting(None, low=1, high=4096, doc="converters taking turns; None is one an input")
    core: str = setting("settling", choices=CORES, doc="array on for token_time_s, or as long as it takes to settle")
    circuit: str = setting(
        "floating_gate", choices=CIRCUITS, doc="whose power: the built circuit's, or the preset's prices"
    )
    shared: bool = setting(False, doc="one projection and prototype for all layers")
    differential: bool = setting(False, doc="two half arrays of opposite weights")

    def __post_init__(self):
        check_settings(self, "point")
        if self.dac_j_per_bit is not None and self.dac not in ("per_bit", "sar_8b"):
            raise SettingError(
                f"point.dac_j_per_bit = {self.dac_j_per_bit} with point.dac = {self.dac!r}, which has no price a bit; "
                "set dac_j_per_bit = None, or dac = 'per_bit'"
            )
        if self.dac == "sar_8b" and self.bits > SAR_BITS:
            raise SettingError(
                f"point.bits = {self.bits} with point.dac = 'sar_8b', a published converter of {SAR_BITS} bits; give "
                f"at most {SAR_BITS} bits, or another dac"
            )


PAPER_POINT = PointSpec(dac_j_per_bit=paper.DAC.value)


@dataclasses.dataclass(frozen=True)
class DeploymentSpec:
    """Where a network runs, what it keeps, and what that costs."""

    network: str = setting("deit_s", choices=DEPLOYMENT_NETWORKS, doc="which transformer; own is that of config.own")
    length: int = setting(
        512, low=2, high=1_000_000, doc="words of a sequence, or in the cache; pictures have their own"
    )
    mode: str = setting("encoder", choices=MODES, doc="all tokens at once, or one more token on a cache")
    kept: float = setting(0.3, low=0.0, high=1.0, exclusive_low=True, doc="fraction kept in the last layer")
    falling: bool = setting(True, doc="kept falls evenly in logarithm down the layers; else it is the same in all")
    source: str = setting("tokens", choices=SOURCES, doc="what is scored: tokens, or pixels before they are converted")
    preset: str | None = setting(None, choices=PRESET_NAMES, required=True, doc="cost of each operation; choose one")
    weights: str = setting("none", choices=MEMORIES, doc="memory of the weights")
    tokens: str = setting("none", choices=MEMORIES, doc="memory of the tokens between operations")
    cache: str = setting("none", choices=MEMORIES, doc="memory of a decoder's keys and values")
    batch: int = setting(1, low=1, high=1_000_000, doc="examples that share one reading of the weights")
    score_format: str = setting("int8", choices=FORMATS, doc="numbers of projection and digital score")
    uses: float = setting(1e9, low=1.0, high=1e18, doc="examples between two programmings of the floating gates")
    rate_hz: float = setting(1.0, low=0.0, high=1e12, exclusive_low=True, doc="examples or tokens a second")
    sent_bytes: int = setting(0, low=0, high=1_000_000_000, doc="of the result sent over the air")
    woken: float = setting(
        1.0, low=0.0, high=1.0, exclusive_low=True, doc="share of the frames on which the scorer wakes the network"
    )
    coarse_bits: int = setting(
        3, low=1, high=7, doc="of the first conversion where pixels are converted coarsely, then in full"
    )
    words: str = setting("", doc="one sentence for a reader who has not seen the deployment")

    def __post_init__(self):
        check_settings(self, "deployment")
        if self.woken < 1.0 and self.source != "pixels":
            raise SettingError(
                f"deployment.woken = {self.woken} with deployment.source = {self.source!r}, which are there only once "
                "the network is awake; set source = 'pixels', or woken = 1"
            )
        if self.source == "pixels" and self.network not in ("deit_ti", "deit_s", "vit_b", "own"):
            raise SettingError(f"deployment.source = 'pixels' with network {self.network!r}, which has none; use a ViT")
        if self.mode == "decode" and self.network != "gpt2":
            raise SettingError(f"deployment.mode = 'decode' with network {self.network!r}, an encoder; use gpt2")

    def memory(self) -> Memory:
        """Where weights, tokens and cache are."""
        return Memory(weights=self.weights, tokens=self.tokens, cache=self.cache, batch=self.batch)


def deployment_network(spec: DeploymentSpec, own: NetworkShape | None = None) -> NetworkShape:
    """The shape that runs.

    Args:
        spec: the deployment.
        own: the shape of network ``own``, with its pixels.

    Raises:
        SettingError: network ``own`` without its shape.
    """
    shape = choose(_SHAPES, spec.network, "deployment.network")(spec, own)
    return dataclasses.replace(shape, sent_bytes=spec.sent_bytes)


def _given(own: NetworkShape | None) -> NetworkShape:
    if own is None:
        raise SettingError("deployment.network = 'own' without the shape of one; choose another network")
    return own


def kept_fractions(spec: DeploymentSpec, depth: int) -> list[float]:
    """Kept after each layer: k^((l + 1) / L) or k in all; a scorer of pixels has only the first layer to do it in."""
    if spec.falling and spec.source == "tokens":
        return [math.exp(math.log(spec.kept) * (layer + 1) / depth) for layer in range(depth)]
    return [spec.kept] * depth


def deployment_tokens(spec: DeploymentSpec, network: NetworkShape, pruned: bool) -> TokenCounts:
    """Counts with or without pruning.

    A decoder makes one token: it goes through every layer and attends to what its cache has kept. Its scorer looks
    at that token alone, once, before it joins the cache.
    """
    fractions = jnp.asarray(kept_fractions(spec, network.depth) if pruned else [1.0] * network.depth)
    count = fractions * network.tokens
    one, everyone = jnp.ones((network.depth,)), jnp.full((1,), float(network.tokens))
    counts: dict[str, Callable[[], TokenCounts]] = {
        "encoder": lambda: TokenCounts(scored=jnp.concatenate([everyone, count[:-1]]), kept=count),
        "decode": lambda: TokenCounts(scored=one, kept=one, attended=jnp.maximum(count, 1.0)),
    }
    return choose(counts, spec.mode, "deployment.mode")()


def deployment_scorer(spec: DeploymentSpec, point: PointSpec, network: NetworkShape) -> ScorerShape:
    """The shape of the scorer at a design point; of pixels it reads them all, unless ``inputs`` are fewer.

    Raises:
        SettingError: a selection of more dimensions than a token has.
    """
    pixels = spec.source == "pixels"
    if point.projection == "selection" and not pixels and point.inputs > network.width:
        raise SettingError(
            f"point.inputs = {point.inputs} with point.projection = 'selection' selects more than the {network.width} "
            f"dimensions of a token; give at most {network.width}, or another projection"
        )
    return ScorerShape(
        inputs=float(min(point.inputs, network.pixel_values) if pixels else point.inputs),
        prototypes=1,
        dac_bits=float(point.bits),
        projection="selection" if pixels else point.projection,
        arrangement="consensus",
        layers=tuple(layer == 0 or not pixels for layer in range(network.depth)),
        differential=point.differential,
        shared=point.shared,
        source=spec.source,
        format=spec.score_format,
    )


def front_end(spec: DeploymentSpec, point: PointSpec, scorer: ScorerShape, depth: int) -> FrontEnd:
    """The analog front end at a design point; pixels are voltages already."""
    return FrontEnd(
        bias_current_a=jnp.full((depth,), 1.0) * scorer.inputs * scorer.arrays * point.bias_a,
        supply_v=point.supply_v,
        token_time_s=point.token_time_s,
        full_scale_v=point.full_scale_v,
        load_f=point_load_f(point),
        uses=spec.uses,
        dac="none" if spec.source == "pixels" else point.dac,
        converters=point.converters,
        core=point.core,
        circuit=point.circuit,
    )


def point_load_f(point: PointSpec) -> Real:
    """What an OTA of a design point settles, F: what it is given, or the built mirror's own."""
    if point.load_f is not None:
        return point.load_f
    return PRICED_LOAD_F if point.circuit == PRICED else mirror_f(point.bias_a)


def recipe_of(spec: DeploymentSpec, point: PointSpec) -> dict[str, tuple[Term, ...]]:
    """The constants behind a deployment's prices, with the design point's own converter where it has one."""
    recipe = provenance(spec.preset)
    if point.dac_j_per_bit is not None:
        own = dataclasses.replace(
            paper.DAC,
            name="DAC of the design point",
            value=point.dac_j_per_bit,
            low=min(point.dac_j_per_bit, paper.DAC.low or 0.0),
            high=max(point.dac_j_per_bit, paper.DAC.high or 0.0),
        )
        recipe["dac_j_per_bit"] = (Term(own),)
    return recipe


def prices(spec: DeploymentSpec, point: PointSpec) -> EnergyPreset:
    """What operations cost in a deployment at a design point."""
    return made_of(recipe_of(spec, point), str(spec.preset))


def contender(
    name: str,
    spec: DeploymentSpec,
    network: NetworkShape,
    points: dict[str, PointSpec],
    preset: EnergyPreset | None = None,
) -> Ledger:
    """One way to run a deployment.

    Args:
        name: one of ``CONTENDERS``.
        spec: the deployment.
        network: its network.
        points: design points ``paper`` and ``codesigned``.
        preset: prices, in place of those of deployment and point.

    Raises:
        SettingError: no such contender.
    """
    check_choice(name, CONTENDERS, "contender")
    point = point_of(name, points)
    preset = prices(spec, point) if preset is None else preset
    if name == "dense":
        everyone = deployment_tokens(spec, network, pruned=False)
        return dense_ledger(preset, network, spec.memory(), everyone)
    tokens = deployment_tokens(spec, network, pruned=True)
    awake = _pruned_ledger(name, spec, network, point, preset, tokens)
    if spec.woken == 1.0:
        return awake
    nothing = dataclasses.replace(tokens, kept=jnp.zeros_like(tokens.kept))
    lines = _pruned_ledger(name, spec, network, point, preset, nothing).as_dict()
    asleep = Ledger(**{f"{line}_j": lines[line] if line in SCANNED else jnp.zeros(()) for line in LINES})
    return jax.tree.map(lambda on, off: spec.woken * on + (1.0 - spec.woken) * off, awake, asleep)


def point_of(name: str, points: dict[str, PointSpec]) -> PointSpec:
    """The design point of a contender."""
    return points["codesigned" if name.startswith("codesigned") or name == "coarse" else "paper"]


def contenders_of(spec: DeploymentSpec) -> tuple[str, ...]:
    """The ways to run a deployment: coarse conversion only where a camera converts."""
    return tuple(name for name in CONTENDERS if name != "coarse" or spec.source == "pixels")


def _pruned_ledger(
    name: str,
    spec: DeploymentSpec,
    network: NetworkShape,
    point: PointSpec,
    preset: EnergyPreset,
    tokens: TokenCounts,
) -> Ledger:
    """One frame of a contender that scores; without the network where ``tokens`` keep nothing."""
    scorer, memory = deployment_scorer(spec, point, network), spec.memory()
    if name in ANALOG:
        return ledger(preset, network, scorer, tokens, front_end(spec, point, scorer, network.depth), memory)
    if name == "coarse":
        return coarse_then_fine_ledger(preset, network, scorer, tokens, memory, spec.coarse_bits)
    rivals = {"digital": digital_ledger, "folded": folded_digital_ledger, "codesigned_digital": cheapest_digital_ledger}
    return choose(rivals, name, "contender")(preset, network, scorer, tokens, memory)


class Lined(Protocol):
    """Whatever has joules by line: one ledger, or many at once where its lines are arrays."""

    def as_dict(self) -> dict[str, Any]:
        """Joules by line."""
        ...


def differing_lines(ours: Lined, theirs: Lined, rival: str) -> tuple[str, ...]:
    """The lines of two ledgers that are not the same in both; against ``dense`` all of them.

    A digital scorer prunes the same tokens, so that scoring differs and, in front of a camera's converters, what is
    converted.
    """
    mine, other = ours.as_dict(), theirs.as_dict()
    return tuple(line for line in mine if rival == "dense" or float(mine[line]) != float(other[line]))


def spending_ratio(ours: Lined, theirs: Lined, rival: str, lines: tuple[str, ...] | None = None):
    """What ``ours`` spends over ``theirs``: in all against ``dense``, else without what is the same in both.

    Of what both read of tokens and project the smaller amount is no part of either. Infinite where the rival spends
    nothing. A number, or an array where the ledgers' lines are arrays.

    Args:
        ours: of one contender.
        theirs: of its rival.
        rival: whose name that is.
        lines: those that differ; ``differing_lines`` where not given.
    """
    lines = differing_lines(ours, theirs, rival) if lines is None else lines
    return _ratio(ours, theirs, lines, shares=rival != "dense")


def circuits_ratio(ours: Lined, theirs: Lined):
    """What ``ours`` spends on scoring over ``theirs``, without what both read of tokens and project."""
    return _ratio(ours, theirs, SCORING_LINES, shares=True)


def _ratio(ours: Lined, theirs: Lined, lines: tuple[str, ...], shares: bool):
    mine, other = ({line: np.asarray(one.as_dict()[line], np.float64) for line in lines} for one in (ours, theirs))
    both = [np.minimum(mine[line], other[line]) for line in lines if shares and line in IN_BOTH]
    shared = sum(both, np.zeros(()))
    spent = sum(other.values(), np.zeros(())) - shared
    ratio = np.divide(sum(mine.values()) - shared, spent, out=np.full(spent.shape, math.inf), where=spent > 0)
    return ratio if ratio.ndim else float(ratio)


def deployment_ledgers(
    spec: DeploymentSpec, points: dict[str, PointSpec], own: NetworkShape | None = None
) -> dict[str, Ledger]:
    """Every contender's ledger, by name."""
    network = deployment_network(spec, own)
    return {name: contender(name, spec, network, points) for name in contenders_of(spec)}


def priced_ledgers(
    spec: DeploymentSpec, network: NetworkShape, points: dict[str, PointSpec]
) -> Callable[[EnergyPreset], dict[str, Ledger]]:
    """Prices -> every contender's ledger under them, compiled once."""

    @jax.jit
    def found(preset: EnergyPreset) -> dict[str, Ledger]:
        return {name: contender(name, spec, network, points, preset) for name in contenders_of(spec)}

    return lambda preset: jax.device_get(found(preset))
