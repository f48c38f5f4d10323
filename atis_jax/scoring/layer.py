"""A scorer in front of one layer of a network of one's own: tokens in, decisions out, no loop of ours around it.

Shape suffixes: B examples, N tokens, X what is looked at, G head groups.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.circuits.chip import Chip, Environment
from atis_jax.circuits.hardware import Hardware
from atis_jax.circuits.presets import get_preset
from atis_jax.numerics import layer_of
from atis_jax.pruning.stream import Attended
from atis_jax.scoring.atis.design import threshold_range
from atis_jax.scoring.atis.method import Atis
from atis_jax.scoring.atis.regression import FITTED
from atis_jax.scoring.method import Survey, scored
from atis_jax.scoring.registry import METHODS
from atis_jax.scoring.types import Context, Decision, initial_state
from atis_jax.typing import Key
from atis_jax.units import celsius_to_kelvin
from atis_jax.validation import SettingError, choose

STARTS = ("random", "received")
"""What a design of one layer can start from."""


@dataclasses.dataclass(frozen=True)
class LayerScorer:
    """A circuit of ours in front of one layer. Pure: designs and chips are arguments.

    Attributes:
        method: its structure, and the hardware that it is designed for.
    """

    method: Atis

    def start(
        self,
        key: Key,
        tokens: Float[Array, "B N X"],
        kept: float = 0.5,
        counted: Bool[Array, "B N"] | None = None,
        attention: Float[Array, "B H N"] | None = None,
    ) -> Any:
        """A design for one layer, fitted to what stands in front of it: an initialiser of a Flax parameter.

        Projection and prototype are drawn, or with ``start="received"`` predict the attention that tokens get. Gain and
        threshold are such that a chip without errors keeps ``kept``.

        Args:
            key: of what is drawn.
            tokens: hidden states, or at least of their scale.
            kept: share of the tokens kept, 0 to 1.
            counted: tokens that may be pruned; None: all.
            attention: that each token gets from a head's queries on average; for ``start="received"`` alone.

        Raises:
            SettingError: it has to start from an attention that is not given, or would not look at the one that is.
        """
        if (attention is None) == bool(FITTED[self.method.spec.start]):
            raise SettingError(
                f"scorer.start = {self.method.spec.start!r} with attention {'not ' * (attention is None)}given; give "
                "start() what each token receives if start = 'received', and nothing if it is 'random'"
            )
        return _started(self, key, jax.lax.stop_gradient(tokens), kept, counted, attention)

    def sample_chip(self, key: Key) -> Chip | None:
        """The chip of this key; its errors are fixed, whatever it is used for."""
        return _sampled(self, key)

    def __call__(
        self,
        design: Any,
        tokens: Float[Array, "B N X"],
        chip: Chip | None = None,
        temperature_c: Float[Array, ""] | float = 27.0,
        *,
        key: Key | None = None,
        counted: Bool[Array, "B N"] | None = None,
        position: Int[Array, "B N"] | None = None,
        smoothing: Float[Array, ""] | float = 0.0,
    ) -> Decision:
        """Score a batch.

        Args:
            design: from ``start``, as trained.
            tokens: in front of the layer's attention.
            chip: from ``sample_chip``; None: the chip without errors.
            temperature_c: of the chip, degrees Celsius.
            key: of the read noise; None: none.
            counted: tokens that may be pruned; the others are kept. None: all.
            position: each token's place in the full sequence, by which its noise is drawn. None: nothing was removed.
            smoothing: width of the soft comparator over half the reference's span, for training; 0: the physical one.

        Returns:
            Leaves (B, N, G): ``keep`` bits, their ``keep_probability``, which has the gradient, and ``voltage``, V.
        """
        return _decided(self, design, tokens, chip, temperature_c, key, counted, position, smoothing)


# Jitted here: else someone who calls them as they are would compile hundreds of operations one by one.
@partial(jax.jit, static_argnums=0)
def _sampled(one: LayerScorer, key):
    return one.method.sample_chip(key)


@partial(jax.jit, static_argnums=0)
def _started(one: LayerScorer, key, tokens, kept, counted, attention):
    method = one.method
    counted = jnp.ones(tokens.shape[:2], bool) if counted is None else counted
    attended = Attended(received=None if attention is None else attention[None])
    begun = method.begin(key, Survey(tokens[None], counted, attended), jnp.asarray(kept)[None])
    design = layer_of(begun[0], 0)
    score_v = jnp.where(counted[..., None], one(design, tokens).voltage, jnp.nan)
    span = threshold_range(method.hardware)
    threshold_v = jnp.nanquantile(score_v, 1.0 - kept, axis=(0, 1))
    raw = span.inverse(jnp.clip(threshold_v, 0.98 * span.low, 0.98 * span.high))
    return dataclasses.replace(design, threshold=raw)


@partial(jax.jit, static_argnums=0)
def _decided(one: LayerScorer, design, tokens, chip, temperature_c, key, counted, position, smoothing):
    method, (examples, length) = one.method, tokens.shape[:2]
    counted = jnp.ones((examples, length), bool) if counted is None else counted
    everyone = jnp.broadcast_to(jnp.arange(length), (examples, length))
    context = Context(
        alive=jnp.ones((examples, length, method.groups), bool),
        position=everyone if position is None else position,
        counted=counted,
        full=jnp.sum(counted, axis=-1),
        state=initial_state(method.groups, tokens.shape[-1]),
        smoothing=smoothing,
    )
    environment = Environment(celsius_to_kelvin(temperature_c), method.hardware.supply_v)
    keys = None if key is None else jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(examples))
    chip = method.perfect_chip() if chip is None else chip
    found, _ = scored(method, design, chip, environment, tokens, context, keys)
    judged = counted[..., None]
    return dataclasses.replace(
        found, keep=found.keep | ~judged, keep_probability=jnp.where(judged, found.keep_probability, 1.0)
    )


def scorer(hardware: str | Hardware = "nominal", kind: str = "analog", **fields: Any) -> LayerScorer:
    """A scorer for one layer of any network.

    Args:
        hardware: name of a preset, or a preset.
        kind: "analog", "digital", "pulse_width" or "routing_fabric".
        **fields: of the section ``scorer`` of a config, such as ``inputs=16``.

    Raises:
        SettingError: no such kind or field, a value out of bounds, or a structure that needs more than one layer.
    """
    cls = choose(METHODS, kind, "scorer.kind")
    if not issubclass(cls, Atis):
        raise SettingError(
            f"scorer.kind = {kind!r} is no circuit of ours with a prototype and a threshold; write its rule into your "
            "network, or choose 'analog', 'digital', 'pulse_width' or 'routing_fabric'"
        )
    spec = cls.Spec(kind=kind, **fields)
    for name, value, possible in (("prototype", spec.prototype, ("static",)), ("start", spec.start, STARTS)):
        if value not in possible:
            raise SettingError(
                f"scorer.{name} = {value!r} looks at queries of the network, which a scorer of one layer is not given; "
                f"set {name} = {' or '.join(map(repr, possible))}"
            )
    preset = get_preset(hardware) if isinstance(hardware, str) else hardware
    return LayerScorer(cls(spec, cls.built_on(spec, preset)))
