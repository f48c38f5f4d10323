"""The sequences of the drift experiment and the arms that run on them.

A *scenario* is what happens (temperature and images against time), a *mode* how the comparator is run; an arm is one
of each on one kind of bias.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from atis_jax import rng
from atis_jax.circuits.chip import Chip, nominal_environment
from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.models.forward import dense_forward
from atis_jax.models.passes import ScorerInputs
from atis_jax.models.sequence import InTime, sequence_forward
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.types import ScorerState
from atis_jax.training.evaluate import chips_for
from atis_jax.units import celsius_to_kelvin
from atis_jax.validation import choose
from experiments.build import fed
from experiments.drift.settings import DriftSettings
from experiments.trained_run import TrainedRun

STEADY, RAMP = "steady", "ramp"


class Mode(NamedTuple):
    """How the comparator is run.

    Attributes:
        adaptive: whether its threshold adapts.
        hysteresis: whether it keeps its state from token to token.
        ema: whether the prototype is the moving average of the queries; else as trained.
    """

    adaptive: bool = False
    hysteresis: bool = False
    ema: bool = False


MODE_OF = {
    "fixed": Mode(),
    "adaptive": Mode(adaptive=True),
    "hysteresis": Mode(hysteresis=True),
    "adaptive + hysteresis": Mode(adaptive=True, hysteresis=True),
    "adaptive + ema": Mode(adaptive=True, ema=True),
}
MODES = tuple(MODE_OF)


@dataclasses.dataclass(frozen=True)
class Sequence:
    """The examples in time order, and how temperature and examples change.

    Attributes:
        labels: (n,) true classes.
        images: scenario to (n, S, S, C), in [0, 1].
        temperature_c: scenario to (n,), Celsius.
        change: first image at which something differs.
        arrived: first image at which the change is complete and had time to settle.
    """

    labels: Int[np.ndarray, "n"]
    images: dict[str, np.ndarray]
    temperature_c: dict[str, np.ndarray]
    change: int
    arrived: int

    @property
    def before(self) -> slice:
        """Images that stand for the time ahead of the change: the last two thirds of it."""
        return slice(self.change // 3, self.change)

    @property
    def after(self) -> slice:
        """Images that stand for the end."""
        return slice(self.arrived, len(self.labels))


class QueryFollowing(Analog):
    """The analog scorer whose memory follows the query in every arm; only a prototype of kind "ema" looks at it."""

    needs = frozenset({"query"})


@dataclasses.dataclass(frozen=True)
class Arm:
    """One scenario run in one mode: what came out, leading axis the chips."""

    scenario: str
    bias: str
    mode: str
    correct: np.ndarray
    out: InTime

    @property
    def name(self) -> str:
        """Scenario, bias where the temperature makes it matter, and mode."""
        where = f"{self.scenario} ({self.bias})" if self.scenario == RAMP else self.scenario
        return f"{where}: {self.mode}"


def make_sequence(settings: DriftSettings, run: TrainedRun, root: jax.Array) -> Sequence:
    """Test images in a random order (stored sets are often in order of class), each used once."""
    count = settings.images or len(run.test)
    keys = jax.random.split(rng.key_of(root, "data"))
    order = np.asarray(jax.random.permutation(keys[0], len(run.test)))[:count]
    clean = np.asarray(fed(run.settings, run.test, order)["image"])
    change, arrived = round(settings.change_from * count), round(settings.change_until * count)
    later = (np.arange(count) >= change)[:, None, None, None]
    noise = np.asarray(jax.random.normal(keys[1], clean.shape))
    mean = np.asarray(run.train.facts.mean, np.float32)
    shifted = {
        "contrast": mean + settings.contrast * (clean - mean),
        "brightness": clean + settings.brightness,
        "noise": clean + settings.noise * noise,
    }
    images = {STEADY: clean, RAMP: clean}
    images |= {name: np.where(later, np.clip(shifted[name], 0.0, 1.0), clean) for name in settings.shifts}
    rest = np.full(count, settings.rest_temperature_c, np.float32)
    temperature = dict.fromkeys(images, rest)
    temperature[RAMP] = np.interp(np.arange(count), (change, arrived), settings.temperature_c).astype(np.float32)
    return Sequence(run.test.labels[order], images, temperature, change, arrived)


def sample_chips(settings: DriftSettings, run: TrainedRun, root: jax.Array) -> Chip:
    """The chips of every arm: leaves (chips, L, ...)."""
    method, key = run.trained.evaluator.method, rng.key_of(root, "chip")
    chips = chips_for(key, method, run.settings.model.depth, settings.chips)
    assert chips is not None  # ``run`` refuses a scorer that is no circuit
    return chips


def run_arms(settings: DriftSettings, run: TrainedRun, sequence: Sequence, root: jax.Array) -> Iterator[Arm]:
    """Every arm. Scenarios that differ in data alone run side by side in one compiled scan for each structure."""
    chips, noise = sample_chips(settings, run, root), rng.key_of(root, "read_noise")
    own = run.trained.evaluator.hardware.thermal.bias
    for bias in dict.fromkeys((own, "fixed_charge")):
        for mode in MODES:
            scenarios = [name for name in sequence.images if bias == own or name == RAMP]
            if choose(MODE_OF, mode, "mode").ema:
                scenarios = [name for name in scenarios if name != RAMP]
            if not scenarios:
                continue
            out = jax.device_get(_side_by_side(settings, run, sequence, scenarios, bias, mode, chips, noise))
            for number, scenario in enumerate(scenarios):
                one = jax.tree.map(lambda leaf, number=number: leaf[number], out)
                yield Arm(scenario, bias, mode, one.predicted == sequence.labels, one)


def structure(settings: DriftSettings, run: TrainedRun, mode: str, bias: str) -> tuple[ScorerSpec, Hardware]:
    """Scorer and hardware of an arm: the trained ones with feedback, dead band and bias as the arm has them."""
    evaluator, way = run.trained.evaluator, choose(MODE_OF, mode, "mode")
    spec = dataclasses.replace(
        evaluator.spec,
        adaptive_rate_v=settings.adaptive_rate_v if way.adaptive else 0.0,
        activity_rate=settings.activity_rate,
        hysteresis=way.hysteresis,
        ema_rate=settings.ema_rate,
        prototype="ema" if way.ema else evaluator.spec.prototype,
    )
    fields = {"comparator.hysteresis_fraction": settings.hysteresis_fraction, "thermal.bias": bias}
    return spec, with_fields(evaluator.hardware, fields)


def targets(run: TrainedRun) -> Float[Array, "L"]:
    """Share of the tokens reaching each layer that the design was to keep."""
    return jnp.asarray(run.settings.pruning.kept_of_incoming(run.settings.model.depth), jnp.float32)


def rested(run: TrainedRun) -> ScorerState:
    """The trained memory with the activity filter at its target: a loop that has been at rest."""
    state = run.trained.state.scorer_state
    return dataclasses.replace(state, activity=jnp.broadcast_to(targets(run)[:, None], state.activity.shape))


def _side_by_side(settings, run, sequence, scenarios, bias, mode, chips, noise) -> InTime:
    """Leaves (scenarios, chips, n, ...)."""
    evaluator = run.trained.evaluator
    spec, hardware = structure(settings, run, mode, bias)
    method, environment = QueryFollowing(spec, hardware, targets(run)), nominal_environment(hardware)
    design, memory = run.trained.state.design, rested(run)

    @jax.jit
    def sequences(params, chips, keys, images, temperature_k):
        def one(chip, key, images, temperature_k):
            inputs = ScorerInputs(design, chip, environment, memory)
            return sequence_forward(
                evaluator.model,
                params,
                method,
                {"image": images},
                temperature_k,
                inputs,
                key,
                scored=evaluator.scored,
                kernel=evaluator.kernel,
            )

        return jax.vmap(jax.vmap(one, (0, 0, None, None)), (None, None, 0, 0))(chips, keys, images, temperature_k)

    return sequences(
        evaluator.params,
        chips,
        # The same noise in every arm on purpose: arms then differ by what they are, not by chance.
        jax.random.split(jax.random.clone(noise), settings.chips),
        jnp.stack([sequence.images[name] for name in scenarios]),
        jnp.stack([celsius_to_kelvin(sequence.temperature_c[name]) for name in scenarios]),
    )


def unpruned_correct(run: TrainedRun, sequence: Sequence) -> dict[str, np.ndarray]:
    """(n,) right answers of the same network with every token kept, by scenario: what the images alone cost."""
    evaluator = run.trained.evaluator

    @jax.jit
    def predicted(params, images):
        return jnp.argmax(dense_forward(evaluator.model, params, {"image": images})[0], axis=-1)

    size = run.settings.data.eval_batch_size
    found = {}
    for name, images in sequence.images.items():
        parts = [predicted(evaluator.params, images[i : i + size]) for i in range(0, len(images), size)]
        found[name] = np.concatenate([np.asarray(part) for part in parts]) == sequence.labels
    return found
