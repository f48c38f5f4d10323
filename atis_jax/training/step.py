"""The pure training steps: dense, and co-design with a method in front of the layers.

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
from jaxtyping import Array, Float

from atis_jax import rng
from atis_jax.circuits.chip import Chip, Environment
from atis_jax.models.backbone import Model
from atis_jax.models.forward import dense_forward, dense_layers, masked_forward
from atis_jax.models.kernels import SECTIONS, SoftmaxSpec, make_kernel
from atis_jax.models.kernels.circuit import Circuit
from atis_jax.models.passes import Pass, Relaxation, ScorerInputs
from atis_jax.pruning.masks import kept_fraction
from atis_jax.pruning.stream import Attended
from atis_jax.scoring.method import Method, Trail
from atis_jax.training import losses
from atis_jax.training.evaluate import attention_chip
from atis_jax.training.schedule import schedule
from atis_jax.training.spec import CodesignSpec, LossSpec, PruningSpec, StageSpec
from atis_jax.training.state import TrainState, advance
from atis_jax.training.task import Task
from atis_jax.typing import Key, PyTree
from atis_jax.units import celsius_to_kelvin
from atis_jax.validation import SettingError, choose

Batch = dict[str, Any]
Metrics = dict[str, Any]
Step = Callable[[TrainState, Batch, PyTree], tuple[TrainState, Metrics]]

EnergyRatio = Callable[[Float[Array, "L"], Any, Any], Float[Array, ""]]
"""(kept fraction per layer, design, scorer memory) -> energy of the pruned network over the dense one."""

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
        method: decides which tokens stay.
        task: what the network is asked.
        stage, pruning, loss, codesign: the run's settings.
        energy_ratio: the ledger, as a function of what is trained.
        kernel: how attention is computed: section ``kernel``. A circuit is fitted before (``models.kernels.fit``).
    """

    model: Model
    method: Method
    task: Task
    stage: StageSpec
    pruning: PruningSpec
    loss: LossSpec
    codesign: CodesignSpec
    energy_ratio: EnergyRatio
    kernel: Any = SoftmaxSpec()


def dense_step(model: Model, task: Task, stage: StageSpec, transform: optax.GradientTransformation) -> Step:
    """A step of the network alone."""

    def objective(values: dict[str, Any], state: TrainState, batch: Batch):
        logits, _ = dense_forward(
            model, values["network"], batch, dropout_key=dropout_key(model, state), frozen=stage.frozen_blocks
        )
        loss = jnp.mean(task.losses(logits, batch, stage.label_smoothing))
        return loss, ({"loss_ce": loss, "accuracy": jnp.mean(task.right(logits, batch))},)

    def step(state: TrainState, batch: Batch, teacher: PyTree) -> tuple[TrainState, Metrics]:
        del teacher
        values = {"network": state.params, "design": state.design}
        gradient, (metrics,) = gradient_of(lambda values: objective(values, state, batch), values)
        return apply(state, transform, values, gradient, state.scorer_state), metrics

    return step


def codesign_step(setup: Codesign, transform: optax.GradientTransformation) -> Step:
    """A step that moves the network and the method's design together, on chips drawn for it."""
    model, method, task = setup.model, setup.method, setup.task
    depth = model.depth
    target = jnp.asarray(setup.pruning.kept_per_layer(depth))
    scored = setup.pruning.scored(depth)
    has_scorer = jnp.asarray([float(layer in scored) for layer in range(depth)])
    tracked = method.tracked and choose(_TRACKED, setup.codesign.threshold, "codesign.threshold")
    secant = choose(_SECANT, setup.codesign.gate_gradient, "codesign.gate_gradient")
    teaches = method.teaches(setup.loss)
    kernel = make_kernel(kernel_of(setup), secant)

    def objective(values: dict[str, Any], state: TrainState, batch: Batch, teacher: PyTree):
        now = schedule(state.step, setup.stage.steps, setup.pruning, target)
        chip, environment = draw_hardware(setup, state.key, state.step)
        attention = draw_attention(setup, state.key, state.step)
        noise = rng.step_key(state.key, method.noise_stream, state.step)
        out = masked_forward(
            model,
            values["network"],
            method,
            batch,
            ScorerInputs(
                method.scheduled(values["design"], now.target), chip, environment, state.scorer_state, attention
            ),
            noise if setup.codesign.read_noise or method.chance else None,
            scored=scored,
            relaxation=Relaxation(now.smoothing, now.hardness, tracked, setup.codesign.detach_network),
            kernel=kernel,
            dropout_key=dropout_key(model, state),
            frozen=setup.stage.frozen_blocks,
            tokens=method.compares_tokens,
        )
        teacher_logits, attention, teacher_tokens = out.logits, Attended(), None
        # A weight may be traced, and is then no number yet.
        distills = not (isinstance(setup.loss.distill, int | float) and setup.loss.distill == 0)
        if teaches or distills or method.compares_tokens:  # else nothing reads what it says
            last, attention = dense_layers(Pass(model, needs=tuple(sorted(teaches))), teacher, batch)
            teacher_logits, teacher_tokens = model.read_out(teacher, last), last.x
        expected = losses.expected_kept(out.probability, out.alive, out.counted)
        ratio = setup.energy_ratio(losses.beyond_scored(expected, scored.stop), values["design"], state.scorer_state)
        trail = Trail(
            alive=out.alive,
            before=out.before,
            voltage=out.voltage,
            probability=out.probability,
            counted=out.counted,
            target=now.target,
            final=target,
            scored=has_scorer,
            kept=expected,
            energy_ratio=ratio,
            teacher=attention,
            tokens=out.tokens,
            teacher_tokens=teacher_tokens,
            tracked=tracked,
        )
        terms = task_terms(setup, out.logits, batch, teacher_logits) | method.loss(trail, setup.loss)
        kept_per_layer = jax.vmap(kept_fraction, (0, None))(out.alive, out.counted)
        aux: Metrics = terms | {
            "accuracy": jnp.mean(task.right(out.logits, batch)),
            "kept_per_layer": kept_per_layer,
            "kept_fraction": jnp.mean(kept_per_layer),
            "energy_ratio": ratio,
            "gate_temperature": now.smoothing,
        }
        aux |= method.metrics(values["design"])
        # The same for every head group: a token is pruned when no group keeps it.
        too_few = ((now.target - kept_per_layer) * has_scorer)[:, None]
        return sum(terms.values()), (aux, out.state, too_few)

    def step(state: TrainState, batch: Batch, teacher: PyTree) -> tuple[TrainState, Metrics]:
        values = {"network": state.params, "design": state.design}
        gradient, (metrics, scorer_state, too_few) = gradient_of(
            lambda values: objective(values, state, batch, teacher), values
        )
        gradient["design"] = method.tied(gradient["design"])
        if tracked:
            design = gradient["design"]
            threshold = jnp.broadcast_to(too_few, design.threshold.shape)
            gradient["design"] = dataclasses.replace(design, threshold=threshold)
        return apply(state, transform, values, gradient, jax.lax.stop_gradient(scorer_state)), metrics

    return step


def kernel_of(setup: Codesign) -> Any:
    """Section of the kernel that trains: the method's own in the place of the softmax.

    Raises:
        SettingError: method and run each have one.
    """
    own = setup.method.trains_with
    if own is None:
        return setup.kernel
    if not isinstance(setup.kernel, SoftmaxSpec):
        raise SettingError(
            f"config.kernel.kind = {setup.kernel.kind!r} with a method that trains with {own!r}; take 'softmax', or "
            "another method"
        )
    return choose(SECTIONS, own, "method.trains_with")(kind=own)


def task_terms(setup: Codesign, logits: Array, batch: Batch, teacher: Array) -> dict[str, Float[Array, ""]]:
    """Cross-entropy and weighted distillation, over all examples or over those of the step's worst chips.

    The worst are chosen by the sum of the two, so that the sum of the terms is the CVaR of the sum.
    """
    smoothing, temperature = setup.stage.label_smoothing, setup.loss.distill_temperature
    entropy = setup.task.losses(logits, batch, smoothing)
    distilled = setup.loss.distill * setup.task.distances(logits, teacher, batch, temperature)
    chips = setup.codesign.chips_per_step if setup.method.fabricated or has_circuit(setup) else 1
    worst = losses.worst_count(setup.codesign.cvar_fraction, chips)
    if not choose(_OF_WORST, setup.codesign.objective, "codesign.objective") or worst == chips:
        return {"loss_ce": jnp.mean(entropy), "loss_distill": jnp.mean(distilled)}

    def per_chip(of_example: Float[Array, "B"]) -> Float[Array, "chips"]:
        return jnp.mean(of_example.reshape(chips, -1), axis=1)  # dealt in order, as the scorer deals them

    entropy, distilled = per_chip(entropy), per_chip(distilled)
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


def dropout_key(model: Model, state: TrainState) -> Key | None:
    """This step's dropout, or None for a network without any."""
    return rng.step_key(state.key, "dropout", state.step) if model.dropout > 0 else None


def draw_hardware(setup: Codesign, key: Key, step) -> tuple[Chip | None, Environment | None]:
    """This step's chips (leaves (L, chips, ...): one array per layer) and temperatures, each from its own stream."""
    method = setup.method
    if not (method.fabricated or has_circuit(setup)):
        return None, None
    depth, chips = setup.model.depth, setup.codesign.chips_per_step
    if not method.fabricated:
        chip = None
    elif setup.codesign.fresh_chip:
        keys = jax.random.split(rng.step_key(key, "chip", step), (depth, chips))
        lots = jax.random.split(rng.step_key(key, "lot", step), chips)
        chip = jax.vmap(jax.vmap(method.sample_chip), (0, None))(keys, lots)
    else:
        nominal = method.perfect_chip()
        chip = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (depth, chips, *jnp.shape(leaf))), nominal)
    low, high = setup.codesign.temperature_c
    draw = jax.random.uniform(rng.step_key(key, "temperature", step), (chips,), minval=0.0, maxval=1.0)
    temperature_k = celsius_to_kelvin(low + (high - low) * draw)
    supply_v = jnp.full_like(temperature_k, method.hardware.supply_v)
    return chip, Environment(temperature_k=temperature_k, supply_v=supply_v)


def has_circuit(setup: Codesign) -> bool:
    """Whether attention is computed by a circuit, of which no two chips are alike."""
    return isinstance(make_kernel(setup.kernel), Circuit)


def draw_attention(setup: Codesign, key: Key, step) -> Any:
    """This step's chips of a circuit that computes attention, leaves (L, chips, ...); None: the nominal one."""
    kernel, model = make_kernel(setup.kernel), setup.model
    if not isinstance(kernel, Circuit) or not setup.codesign.fresh_chip:
        return None
    keys = jax.random.split(rng.step_key(key, "attention_chip", step), setup.codesign.chips_per_step)
    return jax.vmap(lambda one: attention_chip(one, kernel, model), out_axes=1)(keys)
