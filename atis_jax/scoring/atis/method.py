"""What the analog scorer and its digital twin share: one design, its start, its losses, who is trained how.

Shape suffixes: L layers, B examples, N tokens, X what is looked at, D width, H heads, G head groups.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.circuits.chip import Environment
from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.energy.shapes import OF_PIXELS
from atis_jax.pruning.masks import top_fraction
from atis_jax.pruning.stream import Attended, Stream
from atis_jax.scoring.atis import losses
from atis_jax.scoring.atis.checks import check_place
from atis_jax.scoring.atis.design import Design, threshold_range
from atis_jax.scoring.atis.knobs import KNOBS, active_inputs, dac_bits, knobs_detached
from atis_jax.scoring.atis.ledger import AtisLedger
from atis_jax.scoring.atis.prototype import update_query
from atis_jax.scoring.atis.regression import FITTED
from atis_jax.scoring.atis.sharing import OF_ONE_READ, SHARED, averaged, copied_from
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.atis.start import starting_design, transferred
from atis_jax.scoring.atis.threshold import MIN_SMOOTHING, TARGET_WITHOUT_CONTEXT, sequential_decisions
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Method, Place, Survey, Trail
from atis_jax.scoring.types import Context, ScorerState, initial_state
from atis_jax.typing import Key
from atis_jax.validation import SettingError, choose

_PROJECTION_LABELS = {"learned": "scorer", "gaussian": "frozen", "sparse_sign": "frozen", "selection": "frozen"}
_PROTOTYPE_LABELS = {"static": "scorer", "ema": "frozen", "extracted": "frozen"}
_FOLLOWS_QUERY = {"static": False, "extracted": False, "ema": True}
"""Whether a prototype follows the queries of recent sequences."""


class Atis(Method):
    """A prototype correlated with each token in front of Q, K and V, and a threshold; what computes it is a subclass's.

    Attributes:
        spec: structure of the scorer.
    """

    Spec = ScorerSpec
    surveys = frozenset({"query"})
    tracked = True

    def __init__(self, spec: ScorerSpec, hardware: Hardware, target: Float[Array, "L"] | None = None):
        super().__init__(spec, hardware, target)
        if choose(_FOLLOWS_QUERY, spec.prototype, "scorer.prototype") and spec.ema_rate > 0:
            self.needs = frozenset({"query"})
        self.surveys = self.surveys | choose(FITTED, spec.start, "scorer.start")
        self.reads_once = spec.reads_once

    @classmethod
    def built_on(cls, spec: ScorerSpec, hardware: Hardware) -> Hardware:
        """A sensor's voltages are there already: no converter makes them."""
        at_sensor = choose(OF_PIXELS, spec.source, "scorer.source")
        return with_fields(hardware, {"dac.bits": None}) if at_sensor else hardware

    def check(self, place: Place) -> None:
        """See ``scoring.atis.checks``."""
        check_place(self.spec, self.hardware, place, converts=self.fabricated)

    def check_raw(self, values: int) -> None:
        """An array has no more inputs than a patch has pixels."""
        if self.spec.inputs > values:
            raise SettingError(
                f"config.scorer.inputs = {self.spec.inputs} exceeds the {values} pixel values of a patch that "
                f"scorer.source = 'pixels' selects from; lower scorer.inputs to at most {values}, or raise model.patch"
            )

    @property
    def groups(self) -> int:
        """Prototypes."""
        return self.spec.groups

    @property
    def raw(self) -> bool:
        """Whether it sits at the sensor."""
        return choose(OF_PIXELS, self.spec.source, "scorer.source")

    def sees(self, stream: Stream) -> tuple[Float[Array, "B N X"], Bool[Array, "B N G"]]:
        """The tokens in front of the layer; or their raw pixels, which the protected ones have not."""
        assert stream.alive is not None
        if not self.raw:
            return stream.x, stream.alive
        return stream.along["raw"], stream.alive & ~stream.protected[..., None]

    def begin(self, key: Key, survey: Survey, kept: Float[Array, "L"]) -> tuple[Design, ScorerState]:
        """See ``scoring.atis.start``; one read for all layers starts as that of the first layer that is to prune."""
        design, queries = starting_design(key, self.spec, self.hardware, survey, self.share)
        if self.reads_once:
            design = copied_from(design, jnp.argmax(kept < 1.0))
        width = queries.shape[-1]
        return design, jax.vmap(lambda query: initial_state(self.spec.groups, width, query))(queries)

    def share(self, design: Design, conditioned: Float[Array, "n X"]) -> Float[Array, "n N"]:
        """What a token makes of each weight's current, -1 to 1: a start's scores are fitted to their range by it."""
        return transferred(design, self.spec, self.hardware, conditioned)

    def labels(self, design: Design) -> Design:
        """Which optimiser moves which leaf: scorer, knob, threshold or frozen."""
        named: dict[str, Any] = dict(
            projection=choose(_PROJECTION_LABELS, self.spec.projection, "scorer.projection"),
            input_gain="scorer",
            prototype=choose(_PROTOTYPE_LABELS, self.spec.prototype, "scorer.prototype"),
            bias_scale="scorer",
            feedback="scorer",
            threshold="threshold",
        )
        knobs = {name: "knob" for name in KNOBS if getattr(design, name) is not None}
        # Where hardware is chosen at all, the currents' scale is chosen with it, as quickly.
        named |= knobs | ({"bias_scale": "knob"} if knobs else {})
        return Design(**named)

    @property
    def chooses_hardware(self) -> bool:
        """Gates, bits or full scale."""
        return self.spec.trains_hardware

    def remember(self, state: ScorerState, attended: Attended) -> ScorerState:
        """The moving prototype follows this batch's queries."""
        if attended.query is None or not self.needs:
            return state
        return dataclasses.replace(state, query=update_query(state.query, attended.query, self.spec.ema_rate))

    def apart(self, design: Design) -> Design | None:
        """The design whose knobs the scores send no gradient to.

        The swing fits scores to their range, which is for gains and feedback to do: an input that is switched on or
        off for its part in the spread would drown what it is worth to the task.
        """
        return knobs_detached(design) if self.spec.trains_hardware else None

    def tied(self, gradient: Design) -> Design:
        """What is shared by the layers moves alike in all."""
        if self.reads_once:
            return averaged(gradient, OF_ONE_READ)
        return averaged(gradient, SHARED) if self.spec.shared else gradient

    def teaches(self, weights: Any) -> frozenset[str]:
        """The dense network's CLS attention, where it is a target."""
        return frozenset({"cls_row"}) if weights.attention > 0 else frozenset()

    def loss(self, trail: Trail, weights: Any) -> dict[str, Float[Array, ""]]:
        """Kept fractions, swing of the scores, energy, and agreement with the dense network's attention."""
        half_span_v, terms = threshold_range(self.hardware).high, {}
        if not trail.tracked:
            terms["loss_keep"] = weights.keep * losses.keep_rate(trail.kept, trail.target, trail.scored)
        # What one read gives cannot fill the range again for the fewer tokens that reach a later layer.
        read = trail.scored * (jnp.cumsum(trail.scored) == 1.0) if self.reads_once else trail.scored
        swing = losses.score_swing(trail.voltage, trail.before, half_span_v, read, trail.counted)
        terms |= {"loss_swing": weights.swing * swing, "loss_energy": weights.energy * trail.energy_ratio}
        if weights.attention > 0:
            assert trail.teacher.cls_row is not None
            important = attended_most(trail.teacher.cls_row, trail.final, trail.counted)
            terms["loss_attention"] = weights.attention * losses.attention_agreement(
                trail.probability, important, trail.scored, trail.counted
            )
        return terms

    def metrics(self, design: Design) -> Mapping[str, Array]:
        """What co-design has chosen of the hardware so far."""
        found: dict[str, Any] = {}
        if self.spec.input_gates:
            found["inputs_per_layer"] = jax.vmap(lambda one: active_inputs(one, self.spec))(design)
        if self.spec.trainable_bits and self.fabricated:
            found["dac_bits_per_layer"] = jax.vmap(lambda one: dac_bits(one, self.spec, self.hardware))(design)
        return found

    def ledger(self, costs: Bill) -> AtisLedger:
        """The lines of this scorer, analog or digital."""
        return AtisLedger(costs, self.spec, self.hardware, converts=self.fabricated)

    def decide(
        self,
        at_comparator: Float[Array, "n G"],
        reference_v: Float[Array, "G"],
        context: Context,
        sequential: bool,
        hysteresis_v,
    ) -> tuple[Bool[Array, "n G"], Float[Array, "..."], ScorerState]:
        """Keep bits, the threshold each token met, and the memory afterwards."""
        if not sequential:
            return at_comparator > reference_v, reference_v, context.state
        return sequential_decisions(
            at_comparator,
            reference_v,
            context.alive,
            context.state,
            hysteresis_v=hysteresis_v,
            adaptive_rate_v=self.spec.adaptive_rate_v,
            activity_rate=self.spec.activity_rate,
            target=TARGET_WITHOUT_CONTEXT if self.target is None else self.target[context.layer],
        )

    def soft_width_v(self, context: Context) -> Float[Array, ""]:
        """Width of the soft comparator, V."""
        return jnp.maximum(context.smoothing, MIN_SMOOTHING) * threshold_range(self.hardware).high

    def reference_v(
        self, design: Design, chip: Any, environment: Environment | None, state: ScorerState
    ) -> Float[Array, "G"]:
        """The threshold that each score of a layer meets on a chip, in volts of ``Decision.voltage``."""
        raise NotImplementedError

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
        """Which decisions of one layer rounding could turn.

        Args:
            design: of the layer.
            chip: of the layer, or None.
            environment: its temperature, or None.
            state: its memory.
            voltage: (B, N, G) scores that were found.
            seen: (B, N, X) what was looked at.
            rounding_v: scores this near the threshold may fall either side of it.
            rounding_code: a converter input this near the edge between two codes may round to either.
        """
        raise NotImplementedError


def attended_most(
    cls_row: Float[Array, "L B H N"], share: Float[Array, "L"], counted: Bool[Array, "B N"]
) -> Bool[Array, "L B N"]:
    """For each layer the ``share`` of tokens the dense network's CLS attends to most, over all layers and heads."""
    salience = jnp.mean(cls_row, axis=(0, 2))
    counted = jnp.broadcast_to(counted, salience.shape)
    real = jnp.sum(counted, axis=-1)
    protected = jnp.zeros_like(counted)
    priority = jnp.where(counted, salience, -jnp.inf)
    return jax.vmap(lambda wanted: top_fraction(priority, counted, jnp.round(wanted * real), protected))(share)
