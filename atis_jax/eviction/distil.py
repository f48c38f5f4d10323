"""Co-design of a decoder's gates: what they keep is trained on what the network says with a full cache.

Each step draws training texts, a chip, a temperature and read noise. The words behind the prefix are read against the
kept entries alone, and the loss is their divergence from the full cache, KL(full || kept), nats a word. The budget is
held in every step: a layer's threshold is the quantile of its scores, so nothing is left to trade against it. A
decision is hard, its gradient a soft comparator's:

    g = 1[s > theta],  dg/ds = d/ds sigmoid((s - theta) / w),  w = ``width`` times the spread of the layer's scores

and a key that was left out has the secant's gradient (``models.kernels.gated_softmax``). Trained are the weights of
the array and, for each input, the offset and the full scale of its converter.

Shape suffixes: L layers, B texts, G scores of a word, N words of the prefix, M words behind it, D width.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from atis_jax.circuits.chip import Environment
from atis_jax.eviction.budget import Budget, thresholds
from atis_jax.eviction.evaluate import filled, read_on
from atis_jax.eviction.policies.atis import AnalogGate, Gate, fabricated
from atis_jax.eviction.policy import scores
from atis_jax.eviction.seen import Seen, see
from atis_jax.models.decoder import Decoder
from atis_jax.models.kernels import Softmax
from atis_jax.numerics import pytree, straight_through
from atis_jax.typing import Key, PyTree
from atis_jax.units import celsius_to_kelvin
from atis_jax.validation import check_settings, setting

SECANT = Softmax(secant=True)
"""Attention whose pruned keys have a bounded gradient."""


@dataclasses.dataclass(frozen=True)
class Distillation:
    """How gates are trained.

    Attributes:
        steps: of Adam; 0 leaves the gates as fitted.
        batch: texts a step.
        learning_rate: at first; falls to none along a cosine.
        width: of the soft comparator, over the spread of a layer's scores.
        temperature_c: drawn between these, C.
    """

    steps: int = setting(0, low=0, high=1_000_000, doc="steps of Adam; 0 leaves the gates as fitted")
    batch: int = setting(4, low=1, high=1024, doc="windows a step")
    learning_rate: float = setting(0.02, low=0.0, exclusive_low=True, high=1.0, doc="at first, falls along a cosine")
    width: float = setting(
        0.3, low=0.0, exclusive_low=True, high=10.0, doc="of the soft comparator, over the spread of a layer's scores"
    )
    temperature_c: tuple[float, float] = setting((0.0, 85.0), low=-55.0, high=150.0, doc="drawn between these, C")

    def __post_init__(self):
        check_settings(self, "distillation")


@pytree
class Trained:
    """What is trained of the gates, leaves (L, ...).

    Attributes:
        prototype: (L, G, N) raw weights.
        shift: (L, N) offsets of the converters, over each input's spread.
        log_scale: (L, N) log of what each input's full scale is divided by.
    """

    prototype: Float[Array, "L G N"]
    shift: Float[Array, "L N"]
    log_scale: Float[Array, "L N"]


def taken(gate: Gate) -> Trained:
    """Where training starts; copies, since steps give their buffers up."""
    return Trained(jnp.copy(gate.design.prototype), jnp.copy(gate.shift), jnp.zeros_like(gate.shift))


def put(gate: Gate, trained: Trained) -> Gate:
    """The gate with what was trained."""
    scale = jnp.exp(trained.log_scale)
    design = dataclasses.replace(
        gate.design, prototype=trained.prototype, projection=gate.design.projection * scale[..., None]
    )
    return dataclasses.replace(gate, design=design, shift=trained.shift * scale)


def divergence(
    model: Decoder, params: PyTree, full: Float[Array, "B M D"], kept: Float[Array, "B M D"]
) -> Float[Array, ""]:
    """KL(full || kept) of the next word, nats a word; text by text, since logits of a large vocabulary are large."""

    @jax.checkpoint
    def of_text(text):
        teacher, student = (jax.nn.log_softmax(model.predict(params, x)) for x in text)
        return jnp.mean(jnp.sum(jnp.exp(teacher) * (teacher - student), axis=-1))

    return jnp.mean(jax.lax.map(of_text, (full, kept)))


def soft_gates(score: Float[Array, "L B G N"], budget: Budget, width: float) -> Float[Array, "L B G N"]:
    """0 or 1 at the budget, with a soft comparator's gradient; protected words are 1."""
    rest = jax.lax.stop_gradient(score)
    theta = thresholds(rest, budget)[:, None, :, None]
    spread = jnp.std(rest, axis=(1, 3), keepdims=True)
    spread = jnp.where(spread > 0, spread, 1.0)
    over = score - theta
    gate = straight_through((over > 0).astype(score.dtype), jax.nn.sigmoid(over / (width * spread)))
    return jnp.where(budget.protected(score.shape[-1]), 1.0, gate)


def weighed(
    model: Decoder, params: PyTree, seen: Seen, gate: Float[Array, "L B #J N"], token: Int[Array, "B M"]
) -> Float[Array, "B M D"]:
    """Words behind a prefix whose entries weigh as much as their gates, as they leave the last block."""
    room = token.shape[1]

    def cache(turned, values, gate):
        every = jnp.broadcast_to(gate, (*turned.shape[:2], gate.shape[-1]))
        open_ = jnp.pad(every, ((0, 0), (0, 0), (0, room)), constant_values=1.0)
        return dataclasses.replace(filled(turned, values, room), gate=open_)

    return read_on(model, params, seen, token, cache, gate, SECANT)


@partial(jax.jit, static_argnames=("model", "policy", "budget", "settings"), donate_argnames=("trained", "memory"))
def _step(model, params, policy, budget, settings, gate, trained, memory, seen, full, behind, key):
    """One step: the trained part, the optimiser's memory, the loss."""
    chip_key, where_key, read_key = jax.random.split(key, 3)
    low, high = (celsius_to_kelvin(one) for one in settings.temperature_c)
    kelvin = jax.random.uniform(where_key, (), minval=low, maxval=high)
    environment = Environment(kelvin, jnp.float32(policy.hardware.supply_v))

    def loss(trained):
        die = fabricated(policy, put(gate, trained), chip_key, environment)
        opened = soft_gates(scores(policy, die, seen, "", read_key), budget, settings.width)
        return divergence(model, params, full, weighed(model, params, seen, opened, behind))

    value, gradient = jax.value_and_grad(loss)(trained)
    updates, memory = optimiser(settings).update(gradient, memory)
    return optax.apply_updates(trained, updates), memory, value


def optimiser(settings: Distillation) -> optax.GradientTransformation:
    """Adam along a cosine."""
    return optax.adam(optax.cosine_decay_schedule(settings.learning_rate, max(settings.steps, 1)))


def distilled(
    model: Decoder,
    params: PyTree,
    policy: AnalogGate,
    gate: Gate,
    token: Int[np.ndarray, "B W"],
    prefix: int,
    budget: Budget,
    settings: Distillation,
    key: Key,
) -> tuple[Trained, Float[np.ndarray, "S"]]:
    """What training on texts makes of the gates (``put``), and the loss of every step, nats a word.

    Args:
        model: the network, which is not trained.
        params: its parameters.
        policy: the circuit.
        gate: as fitted, leaves (L, ...), on the perfect chip.
        token: training texts.
        prefix: N, words that may be evicted.
        budget: what is to stay.
        settings: of the training.
        key: draws texts, chips, temperatures and noise.
    """
    trained = taken(gate)
    memory = optimiser(settings).init(trained)
    losses = []
    for step in range(settings.steps):
        text_key, step_key = jax.random.split(jax.random.fold_in(key, step))
        here = np.asarray(jax.random.choice(text_key, len(token), (settings.batch,), replace=False))
        text = jnp.asarray(token[here])
        seen, full = see(model, params, text, prefix, {})
        trained, memory, value = _step(
            model, params, policy, budget, settings, gate, trained, memory, seen, full, text[:, prefix:], step_key
        )
        losses.append(value)
        if step % 10 == 9:
            print(f"step {step + 1}: {float(jnp.mean(jnp.stack(losses[-10:]))):.4f} nats a word", flush=True)
    return trained, np.asarray(losses, np.float64)
