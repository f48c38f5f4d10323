"""The pure training steps: dense, and co-design with a scorer in front of every layer.

``(state, batch, teacher) -> (state, metrics)``; everything else is fixed when the step is built. Metrics stay on the
device; the loop fetches those of one step after dispatching the next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from atis_jax import rng
from atis_jax.circuits.chip import Chip, Environment, nominal_chip, sample_chip
from atis_jax.circuits.hardware import Hardware
from atis_jax.models.forward import ScorerInputs, dense_forward, masked_forward
from atis_jax.models.vit import VisionTransformer
from atis_jax.pruning.masks import kept_fraction, top_fraction
from atis_jax.scoring.design import threshold_range
from atis_jax.scoring.knobs import active_inputs, dac_bits
from atis_jax.scoring.sharing import averaged
from atis_jax.scoring.spec import ScorerSpec
from atis_jax.scoring.types import Scorer
from atis_jax.training import losses
from atis_jax.training.schedule import codesign_knobs
from atis_jax.training.spec import CodesignSpec, LossSpec, PruningSpec, StageSpec
from atis_jax.training.state import TrainState, advance
from atis_jax.typing import Key, PyTree
from atis_jax.units import celsius_to_kelvin
from atis_jax.validation import choose

Batch = dict[str, Any]
Metrics = dict[str, Any]
Step = Callable[[TrainState, Batch, PyTree], tuple[TrainState, Metrics]]

EnergyRatio = Callable[[Float[Array, "L"], Any, Float[Array, "L G D"]], Float[Array, ""]]
"""(kept fraction per layer, design, queries) -> energy of the pruned network over the dense one."""


_TRACKED = {"tracked": True, "gradient": False}
"""Whether the thresholds follow the kept fraction; else the loss."""
_SECANT = {"tangent": False, "secant": True}
"""``gated_softmax``'s ``secant`` for each gradient of a pruned token's gate."""
_OF_WORST = {"mean": False, "cvar": True}
"""Whether the objective is over a step's worst chips; else over all."""


@dataclasses.dataclass(frozen=True)
class Codesign:
    """What a co-design step is built from.

    Attributes:
        model: the network.
        scorer: decides which tokens stay.
        spec: structure of the scorer.
        hardware: chips are sampled from it.
        stage, pruning, loss, codesign: the run's settings.
        energy_ratio: the ledger, as a function of what is trained.
        analog: whether the scorer has a chip at all.
    """

    model: VisionTransformer
    scorer: Scorer
    spec: ScorerSpec
    hardware: Hardware
    stage: StageSpec
    pruning: PruningSpec
    loss: LossSpec
    codesign: CodesignSpec
    energy_ratio: EnergyRatio
    analog: bool


def dense_step(model: VisionTransformer, stage: StageSpec, transform: optax.GradientTransformation) -> Step:
    """A step of the network alone."""

    def objective(values: dict[str, Any], state: TrainState, batch: Batch):
        logits, *_ = dense_forward(model, values["network"], batch["image"], dropout_key(model, state))
        loss = losses.cross_entropy(logits, batch["label"], stage.label_smoothing)
        return loss, ({"loss_ce": loss, "accuracy": accuracy(logits, batch["label"])},)

    def step(state: TrainState, batch: Batch, teacher: PyTree) -> tuple[TrainState, Metrics]:
        del teacher
        values = {"network": state.params, "design": state.design}
        gradient, (metrics,) = gradient_of(lambda values: objective(values, state, batch), values)
        return apply(state, transform, values, gradient, state.scorer_state), metrics

    return step


def codesign_step(setup: Codesign, transform: optax.GradientTransformation) -> Step:
    """A step that moves network, projection, prototype and thresholds together, on chips drawn for it."""
    depth = setup.model.spec.depth
    target = jnp.asarray(setup.pruning.kept_per_layer(depth))
    scored = setup.pruning.scored(depth)
    here = slice(scored.start, scored.stop)
    has_scorer = jnp.asarray([float(layer in scored) for layer in range(depth)])

    half_span_v = threshold_range(setup.hardware).high
    tracked = choose(_TRACKED, setup.codesign.threshold, "codesign.threshold") and setup.spec.kind != "random"
    secant = choose(_SECANT, setup.codesign.gate_gradient, "codesign.gate_gradient")

    def objective(values: dict[str, Any], state: TrainState, batch: Batch, teacher: PyTree):
        knobs = codesign_knobs(state.step, setup.stage.steps, setup.pruning, target)
        chip, environment = draw_hardware(setup, state.key, state.step)
        noise = rng.step_key(state.key, "read_noise" if setup.analog else "random_scorer", state.step)
        design = values["design"]
        if setup.spec.kind == "random":
            design = jax.lax.stop_gradient(knobs.target) * setup.model.tokens
        inputs = ScorerInputs(design, chip, environment, state.scorer_state)
        out = masked_forward(
            setup.model,
            values["network"],
            setup.scorer,
            batch["image"],
            inputs,
            noise if setup.codesign.read_noise or setup.spec.kind == "random" else None,
            scored=scored,
            source=setup.spec.source,
            ema_rate=setup.spec.ema_rate if setup.spec.prototype == "ema" else 0.0,
            smoothing=knobs.smoothing,
            hardness=1.0 if setup.spec.kind == "random" else knobs.hardness,
            fixed_rate=tracked,
            detach_network=setup.codesign.detach_network,
            # The swing fits scores to their range, which is for gains and feedback to do: an input that is switched on
            # or off for its part in the spread would drown what it is worth to the task.
            detach_knobs=setup.spec.trains_hardware and setup.spec.kind != "random",
            secant=secant,
            dropout_key=dropout_key(setup.model, state),
        )
        teacher_logits, _, from_cls, _ = dense_forward(setup.model, teacher, batch["image"])
        kept = losses.carried(losses.expected_kept(out.probability, out.alive), scored.stop)
        ratio = setup.energy_ratio(kept, values["design"], state.scorer_state.query)
        terms = task_terms(setup, out.logits, batch["label"], teacher_logits)
        if setup.spec.kind != "random":
            if not tracked:
                terms["loss_keep"] = setup.loss.keep * losses.keep_rate(kept[here], knobs.target[here])
            before = jnp.concatenate([jnp.ones_like(out.alive[:1]), out.alive[:-1]])
            terms["loss_swing"] = setup.loss.swing * losses.score_swing(out.voltage, before, half_span_v, has_scorer)
            terms["loss_energy"] = setup.loss.energy * ratio
            if setup.loss.attention > 0:
                important = attended(from_cls, target * setup.model.tokens)
                terms["loss_attention"] = setup.loss.attention * losses.attention_agreement(
                    out.probability, important, has_scorer
                )
        kept_per_layer = jax.vmap(kept_fraction)(out.alive)
        aux: Metrics = terms | {
            "accuracy": accuracy(out.logits, batch["label"]),
            "kept_per_layer": kept_per_layer,
            "kept_fraction": jnp.mean(kept_per_layer),
            "energy_ratio": ratio,
            "gate_temperature": knobs.smoothing,
        }
        if setup.spec.input_gates and setup.spec.kind != "random":
            aux["inputs_per_layer"] = jax.vmap(lambda d: active_inputs(d, setup.spec))(values["design"])
        if setup.spec.trainable_bits and setup.analog:
            aux["dac_bits_per_layer"] = jax.vmap(lambda d: dac_bits(d, setup.spec, setup.hardware))(values["design"])
        # The same for every head group: a token is pruned when no group keeps it.
        too_few = ((knobs.target - kept_per_layer) * has_scorer)[:, None]
        return sum(terms.values()), (aux, out.state, too_few)

    def step(state: TrainState, batch: Batch, teacher: PyTree) -> tuple[TrainState, Metrics]:
        values = {"network": state.params, "design": state.design}
        gradient, (metrics, scorer_state, too_few) = gradient_of(
            lambda values: objective(values, state, batch, teacher), values
        )
        if setup.spec.shared and setup.spec.kind != "random":
            gradient["design"] = averaged(gradient["design"])
        if tracked:
            design = gradient["design"]
            threshold = jnp.broadcast_to(too_few, design.threshold.shape)
            gradient["design"] = dataclasses.replace(design, threshold=threshold)
        return apply(state, transform, values, gradient, jax.lax.stop_gradient(scorer_state)), metrics

    return step


def task_terms(
    setup: Codesign, logits: Float[Array, "B classes"], labels: Int[Array, "B"], teacher: Float[Array, "B classes"]
) -> dict[str, Float[Array, ""]]:
    """Cross-entropy and weighted distillation, over all images or over those of the step's worst chips.

    The worst are chosen by the sum of the two, so that the sum of the terms is the CVaR of the sum.
    """
    smoothing, temperature = setup.stage.label_smoothing, setup.loss.distill_temperature
    chips = setup.codesign.chips_per_step if setup.analog else 1
    worst = losses.worst_count(setup.codesign.cvar_fraction, chips)
    if not choose(_OF_WORST, setup.codesign.objective, "codesign.objective") or worst == chips:
        return {
            "loss_ce": losses.cross_entropy(logits, labels, smoothing),
            "loss_distill": setup.loss.distill * losses.distillation(logits, teacher, temperature),
        }

    def per_chip(of_image: Float[Array, "B"]) -> Float[Array, "chips"]:
        return jnp.mean(of_image.reshape(chips, -1), axis=1)  # dealt in order, as the scorer deals them

    entropy = per_chip(losses.cross_entropies(logits, labels, smoothing))
    distilled = setup.loss.distill * per_chip(losses.distillations(logits, teacher, temperature))
    weight = losses.worst_chips(entropy + distilled, setup.codesign.cvar_fraction)
    return {"loss_ce": jnp.sum(weight * entropy), "loss_distill": jnp.sum(weight * distilled)}


def gradient_of(objective, values: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Gradient of ``objective(values) -> (loss, (metrics, ...))``, and its second result with loss and norm added."""
    (loss, (metrics, *rest)), gradient = jax.value_and_grad(objective, has_aux=True)(values)
    return gradient, (metrics | {"loss": loss, "gradient_norm": optax.tree.norm(gradient)}, *rest)


def apply(
    state: TrainState, transform: optax.GradientTransformation, values: dict[str, Any], gradient, scorer_state
) -> TrainState:
    """The state after one optimiser step."""
    updates, opt_state = transform.update(gradient, state.opt_state, values)
    values = optax.apply_updates(values, updates)
    return advance(
        state, params=values["network"], design=values["design"], scorer_state=scorer_state, opt_state=opt_state
    )


def dropout_key(model: VisionTransformer, state: TrainState) -> Key | None:
    """This step's dropout, or None for a network without any."""
    return rng.step_key(state.key, "dropout", state.step) if model.spec.dropout > 0 else None


def draw_hardware(setup: Codesign, key: Key, step) -> tuple[Chip | None, Environment | None]:
    """This step's chips (leaves (L, chips, ...): one array per layer) and temperatures, each from its own stream."""
    if not setup.analog:
        return None, None
    depth, chips, geometry = setup.model.spec.depth, setup.codesign.chips_per_step, setup.spec.geometry
    if setup.codesign.fresh_chip:
        keys = jax.random.split(rng.step_key(key, "chip", step), (depth, chips))
        chip = jax.vmap(jax.vmap(lambda k: sample_chip(k, setup.hardware, geometry)))(keys)
    else:
        nominal = nominal_chip(setup.hardware, geometry)
        chip = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (depth, chips, *jnp.shape(leaf))), nominal)
    low, high = setup.codesign.temperature_c
    draw = jax.random.uniform(rng.step_key(key, "temperature", step), (chips,), minval=0.0, maxval=1.0)
    temperature_k = celsius_to_kelvin(low + (high - low) * draw)
    supply_v = jnp.full_like(temperature_k, setup.hardware.supply_v)
    return chip, Environment(temperature_k=temperature_k, supply_v=supply_v)


def attended(from_cls: Float[Array, "L B H N"], count: Float[Array, "L"]) -> Bool[Array, "L B N"]:
    """For each layer the ``count`` tokens the dense network's CLS attends to most, averaged over layers and heads."""
    salience = jnp.mean(from_cls, axis=(0, 2))
    everyone = jnp.ones(salience.shape, bool)
    return jax.vmap(lambda wanted: top_fraction(salience, everyone, wanted))(jnp.round(count))


def accuracy(logits: Float[Array, "B classes"], label) -> Float[Array, ""]:
    """Share of right answers."""
    return jnp.mean((jnp.argmax(logits, axis=-1) == label).astype(jnp.float32))
