"""A finished co-design run, to be used from Python: ``atis_jax.load(folder)``.

Shape suffixes: L layers, B examples, N tokens, G head groups.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax import rng
from atis_jax.config import as_stored_now, differing_fields, from_config_dict, section_of_kind
from atis_jax.data import registry as data
from atis_jax.data.dataset import Split
from atis_jax.data.pipeline import eval_batches
from atis_jax.energy.ledger import Ledger
from atis_jax.energy.spec import EnergySpec
from atis_jax.fitting.spec import HardwareSpec
from atis_jax.models import kernels
from atis_jax.models import registry as models
from atis_jax.models.backbone import Model
from atis_jax.models.forward import Pruned
from atis_jax.models.kernels import make_kernel
from atis_jax.models.kernels.circuit import Circuit, fitted
from atis_jax.models.kernels.fit import with_kernel
from atis_jax.models.passes import ScorerInputs
from atis_jax.numerics import layer_of
from atis_jax.pruning.masks import kept_tokens
from atis_jax.scoring import registry as scoring
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Method
from atis_jax.strict_json import read_json
from atis_jax.training import evaluate
from atis_jax.training.checkpoints import Checkpoints
from atis_jax.training.evaluate import Evaluator
from atis_jax.training.spec import PruningSpec
from atis_jax.training.state import TrainState
from atis_jax.training.survey import survey
from atis_jax.training.task import make_task
from atis_jax.typing import Key
from atis_jax.units import celsius_to_kelvin
from atis_jax.validation import UnknownKind, UserError

STAGE = "codesign"
"""The stage whose checkpoint is read: the network trained together with the configured scorer."""
PARTS = ("params", "design", "scorer_state")
"""What is read of a stage; its optimiser's memory is not."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What ``Run.evaluate`` finds.

    Attributes:
        accuracy: share of right answers, 0 to 1.
        kept_per_layer: (L,) mean kept fraction after each layer, of the tokens that may be pruned.
        examples: how many were seen.
    """

    accuracy: float
    kept_per_layer: np.ndarray
    examples: int


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished co-design run.

    Attributes:
        folder: where it was read from.
        config: what its config.json holds.
        evaluator: network, its parameters, method and task.
        design: of the method, leaves (L, ...).
        memory: of the method, leaves (L, ...).
        costs: prices and shapes; ``costs.dense()`` is the ledger without pruning.
        wanted: (L,) kept fractions that it was trained for.
        data: section ``data`` of its config.
        test: examples of the split that it is evaluated on; ``test.at(slice(8))`` are columns for ``score``.
    """

    folder: Path
    config: Mapping[str, Any]
    evaluator: Evaluator
    design: Any
    memory: Any
    costs: Bill
    wanted: tuple[float, ...]
    data: Any
    test: Split

    @property
    def model(self) -> Model:
        """The network."""
        return self.evaluator.model

    @property
    def method(self) -> Method:
        """Which tokens it keeps."""
        return self.evaluator.method

    def score(
        self, columns: Mapping[str, np.ndarray], *, chip: int | None = None, temperature_c: float = 27.0
    ) -> Pruned:
        """Scores and decisions of the method for some examples, one pass of the network.

        Args:
            columns: examples (B, ...) as the data set stores them, such as ``run.test.at(slice(8))``.
            chip: number of a sampled chip, which reads with its noise; the same number is the same chip. None: the
                chip without errors, read without noise. A method that is no circuit has no chips, and the number
                chooses its chance, if it has any.
            temperature_c: of the chip, degrees Celsius.

        Returns:
            ``logits`` (B, classes), ``alive`` (L, B, N, G) decisions, ``voltage`` (L, B, N, G) scores, volts for the
            circuit, ``probability`` (L, B, N, G), and ``counted`` (B, N): tokens that may be pruned.
        """
        batch = data.make_dataset(self.data).feed(dict(columns))
        inputs, noise = self._inputs(chip, temperature_c)
        examples = len(next(iter(batch.values())))
        keys = evaluate.example_keys(noise, jnp.arange(examples))
        return self.evaluator.masked()(batch, inputs, keys)

    def evaluate(self, split: Split | None = None, *, chip: int | None = None, temperature_c: float = 27.0) -> Result:
        """Accuracy and kept fractions over some examples.

        Args:
            split: examples with their labels; None: those of ``Run.test``.
            chip: see ``score``.
            temperature_c: see ``score``.
        """
        inputs, noise = self._inputs(chip, temperature_c)
        batches = eval_batches(self.data, self.test if split is None else split)
        found = evaluate.count(self.evaluator.masked(), self.evaluator.task, batches, inputs, noise)
        return Result(found.accuracy, found.kept_fraction, int(found.examples))

    def energy(self, kept_per_layer: Sequence[float] | Float[Array, "L"] | None = None) -> Ledger:
        """What an example costs, J: ``as_dict()`` has the lines, ``total_j`` the sum, ``scoring_j`` the method's.

        Args:
            kept_per_layer: (L,) kept fraction after each layer, as ``evaluate`` finds; None: those trained for.
        """
        kept = jnp.asarray(self.wanted if kept_per_layer is None else kept_per_layer, jnp.float32)
        return self.method.bill(self.costs, kept, self.design, self.memory)

    def energy_of(self, scores: Pruned) -> Ledger:
        """What each example of ``score`` costs, at its own length and its own kept tokens: leaves (B,), J.

        The mean of text differs from ``energy`` at the mean fractions: attention is quadratic in the length.
        """
        kept = jax.vmap(kept_tokens, (0, None))(scores.alive, scores.counted).T
        counted = jnp.broadcast_to(jnp.sum(scores.counted, axis=-1), kept.shape[:1])
        return self.costs.of_each(
            lambda costs, share: self.method.bill(costs, share, self.design, self.memory), counted, kept
        )

    def _inputs(self, chip: int | None, temperature_c: float) -> tuple[ScorerInputs, Key | None]:
        """What the scorers need on a chip, and the key of its noise."""
        key = rng.key_of(jax.random.key(0 if chip is None else chip), "evaluation")
        depth, method = self.model.depth, self.method
        attention = None
        if chip is None:
            built = jax.tree.map(lambda leaf: jnp.stack([leaf] * depth), method.perfect_chip())
        else:
            chips = evaluate.chips_for(jax.random.fold_in(key, 1), method, depth, 1)
            built = layer_of(chips, 0)
            attention = layer_of(evaluate.attention_chips_for(key, self.evaluator.kernel, self.model, 1), 0)
        kelvin = jnp.asarray([celsius_to_kelvin(temperature_c)], jnp.float32)
        environment = layer_of(evaluate.environments_for(method.hardware, kelvin), 0)
        noise = None if chip is None and not method.chance else jax.random.fold_in(key, 2)
        return ScorerInputs(self.design, built, environment, self.memory, attention), noise


def load(folder: str | Path) -> Run:
    """Read a finished co-design run; nothing in ``folder`` is written, and no code that it names is imported.

    Args:
        folder: of the run, such as runs/quickstart.

    Raises:
        UserError: the folder holds no run, another experiment's, an unfinished one, or a damaged checkpoint; or its
            scorer is code of one's own that is not registered. The message says which and what to do.
        DatasetError: the run's data set is not on this machine.
    """
    folder = Path(folder)
    stored = read_config(folder)
    try:
        spec = {
            name: section_of_kind(kinds, stored[name], f"config.{name}")
            for name, kinds in (("data", data.KINDS), ("model", models.KINDS), ("scorer", scoring.KINDS))
        }
        kernel = make_kernel(section_of_kind(kernels.KINDS, stored.get("kernel", {}), "config.kernel"))
        hardware = from_config_dict(HardwareSpec, stored["hardware"], "config.hardware").build()
        energy = from_config_dict(EnergySpec, as_stored_now(EnergySpec, stored["energy"]), "config.energy")
        pruning = from_config_dict(PruningSpec, stored["pruning"], "config.pruning")
        steps = stored["tune"]["steps"]
    except (ValueError, KeyError, TypeError) as error:
        raise no_run(folder, error) from error
    test = data.load_split(spec["data"], spec["data"].evaluation)
    model, dataset = models.make_model(spec["model"], test.facts), data.make_dataset(spec["data"])
    target = jnp.asarray(pruning.kept_of_incoming(model.depth))
    built_on = scoring.METHODS[spec["scorer"].kind].built_on(spec["scorer"], hardware)
    method = scoring.make_method(spec["scorer"], built_on, target)
    wanted, scored = pruning.kept_per_layer(model.depth), pruning.scored(model.depth)
    store = Checkpoints(folder / "checkpoints" / STAGE, None, read_only=True)
    done = check_finished(folder, store, steps)
    _check_same(folder, store.config_of(done), stored)

    def start(key: Key, batch: Mapping[str, Array]) -> dict[str, Any]:
        params = with_kernel(model, model.init(key), kernel, batch, key)
        design, memory = method.begin(key, survey(model, params, method, batch), jnp.asarray(wanted))
        return dict(zip(PARTS, (params, design, memory), strict=True))

    # Traced, not run: only shapes and types are wanted.
    found = restore(store, jax.eval_shape(start, jax.random.key(0), dataset.feed(test.at(slice(2)))))
    shape = model.shape(energy.camera)
    if isinstance(kernel, Circuit):
        shape = dataclasses.replace(shape, attention=kernel.circuit(fitted(found["params"])))
    return Run(
        folder=folder,
        config=stored,
        evaluator=Evaluator(model, found["params"], method, scored, make_task(dataset.task), kernel),
        design=found["design"],
        memory=found["scorer_state"],
        costs=Bill(energy, shape, tuple(layer in scored for layer in range(model.depth))),
        wanted=wanted,
        data=spec["data"],
        test=test,
    )


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a co-design run.

    Raises:
        UserError: there is none.
    """
    try:
        stored = read_json(folder / "config.json")
        if not isinstance(stored, dict) or stored.get("experiment") != "codesign":
            named = stored.get("experiment") if isinstance(stored, dict) else None
            raise ValueError(f"its experiment is {named!r}, not 'codesign'")
    except (OSError, ValueError) as error:
        raise no_run(folder, error) from error
    return stored


def no_run(folder: Path, error: Exception) -> UserError:
    """What to say of a folder that cannot be read as a co-design run."""
    if isinstance(error, UnknownKind):
        return UserError(f"{str(folder)!r} cannot be read here: {error}")
    return UserError(
        f"{str(folder)!r} holds no co-design run ({error}); give the folder of a finished one, such as runs/quickstart "
        "(python launch.py --config=configs/quickstart.py makes it)"
    )


def check_finished(folder: Path, store: Checkpoints, steps: int) -> int:
    """The step of the last checkpoint, which is that of the end.

    Raises:
        UserError: it is not.
    """
    done = store.latest_step()
    if done is None or done != steps:
        raise UserError(
            f"{str(folder)!r} is no finished co-design run: it has "
            + ("no checkpoint" if done is None else f"done {done} of the {steps} steps")
            + f" of stage {STAGE!r}; launch its config again to finish it"
        )
    return done


def restore(store: Checkpoints, abstract: TrainState | Mapping[str, Any]) -> dict[str, Any]:
    """``PARTS`` of the newest checkpoint.

    Raises:
        CheckpointError: it is damaged, or of another structure than ``abstract``.
    """
    wanted = abstract if isinstance(abstract, Mapping) else vars(abstract)
    return {part: jax.tree.map(jnp.asarray, store.restore(wanted[part], part=part)[0]) for part in PARTS}


def _check_same(folder: Path, trained: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Raise UserError where config.json is not the one that the checkpoint was trained with."""
    lines = differing_fields(trained, _common(stored, trained))
    if lines:
        raise UserError(
            f"{str(folder)!r}: its config.json has changed since it was trained:\n  "
            + "\n  ".join(lines[:8])
            + "\nPut these fields back"
        )


def _common(values: Mapping[str, Any], with_names_of: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``values`` that another mapping has too, sections included."""
    return {
        name: _common(value, with_names_of[name])
        if isinstance(value, Mapping) and isinstance(with_names_of[name], Mapping)
        else value
        for name, value in values.items()
        if name in with_names_of
    }
