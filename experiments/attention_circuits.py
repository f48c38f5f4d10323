"""Circuits for attention in the place of a trained network's own, nothing trained: accuracy on the same examples.

    python -m experiments.attention_circuits runs/sst2-dense
    python -m experiments.attention_circuits runs/sst2-dense --write docs/attention_circuits.json

Answers "4-bit attention scores maintain accuracy within 1 %" (ATIS paper, section 4.1) in both its readings: scores of
few bits that weigh the values themselves, and scores of few bits that only choose pairs, of which the exact scores then
weigh the values. Each circuit is fitted to training examples, and runs on sampled chips with noise. The difference is
that of the mean over chips to exact attention, on the same examples; +- is its standard error over examples.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax import rng
from atis_jax.config import as_stored_now, from_config_dict
from atis_jax.data.dataset import Split
from atis_jax.data.pipeline import eval_batches
from atis_jax.data.registry import load_split
from atis_jax.models.backbone import Model
from atis_jax.models.forward import dense_forward
from atis_jax.models.kernels import Kernel, make_kernel
from atis_jax.models.kernels.charge_domain import ChargeDomainSpec
from atis_jax.models.kernels.circuit import Circuit, fitted
from atis_jax.models.kernels.fit import FITTED_ON, with_kernel
from atis_jax.models.kernels.memristor import MemristorSpec
from atis_jax.models.kernels.reram_pq import ReramPqSpec
from atis_jax.models.passes import SOFTMAX
from atis_jax.strict_json import read_json
from atis_jax.training.evaluate import attention_chips_for, example_keys
from atis_jax.training.task import Task
from atis_jax.typing import PyTree
from atis_jax.validation import UserError
from experiments import arguments
from experiments.build import build_model, build_task, fed
from experiments.codesign import dense_from, fresh_dense
from experiments.files import write_text_atomically
from experiments.settings import CodesignSettings

BITS = (3, 4, 5, 6)
SHARES = {"a third": 0.33, "an eighth": 0.12}
"""The ends of what HARDSEA's abstract says two networks stand."""
CROSSBARS = "memristor crossbars, 16 levels"


def cases(bits: Sequence[int] = BITS) -> dict[str, Any]:
    """What is measured: a section ``kernel`` by what it is called."""
    weighing = {
        f"charge domain, scores of {b} bits weigh all pairs": ChargeDomainSpec(bits=b, kept_pairs=1.0, exact=False)
        for b in bits
    }
    choosing = {f"charge domain, {b} bits choose a quarter, computed again": ChargeDomainSpec(bits=b) for b in bits}
    ranking = {f"ReRAM ranking, {name} of each row": ReramPqSpec(kept_pairs=share) for name, share in SHARES.items()}
    return weighing | choosing | ranking | {CROSSBARS: MemristorSpec()}


@dataclasses.dataclass(frozen=True)
class Row:
    """One circuit on one network.

    Attributes:
        name: what it is called.
        pairs: share of the pairs that the ledger leaves to exact attention, mean of layers.
        accuracy: mean over chips.
        deviation: of the chips, from that mean.
        difference: to exact attention.
        error: standard error of the difference, over examples.
    """

    name: str
    pairs: float
    accuracy: float
    deviation: float
    difference: float
    error: float


@dataclasses.dataclass(frozen=True)
class Network:
    """A trained network with what it is measured on."""

    settings: CodesignSettings
    model: Model
    params: PyTree
    task: Task
    train: Split
    test: Split


def load(folder: Path) -> Network:
    """The dense network of a finished run.

    Raises:
        UserError: the folder holds none.
    """
    try:
        stored = read_json(folder / "config.json")
        settings = from_config_dict(CodesignSettings, as_stored_now(CodesignSettings, stored))
    except (OSError, ValueError) as error:
        raise UserError(f"{str(folder)!r} holds no run of a network ({error}); give the folder of one") from error
    if settings.start_from is not None:
        raise UserError(f"{str(folder)!r} started from {settings.start_from!r}, which has the network; give that")
    asking = dataclasses.replace(settings, experiment="codesign", start_from=str(folder))
    train, test = load_split(settings.data, "train"), load_split(settings.data, settings.data.evaluation)
    model = build_model(settings, train)
    params = dense_from(asking, fresh_dense(settings, model, jax.random.key(settings.seed))).params
    return Network(settings, model, params, build_task(settings), train, test)


def rows(network: Network, wanted: dict[str, Any], examples: int, chips: int) -> Iterator[Row]:
    """Exact attention first, then each circuit, as they are measured."""
    exact = right(network, SOFTMAX, network.params, examples, None)
    yield Row("exact attention", 1.0, float(exact.mean()), 0.0, 0.0, 0.0)
    key = rng.key_of(jax.random.key(network.settings.seed), "evaluation")
    surveyed = fed(network.settings, network.train, slice(FITTED_ON))
    for name, spec in wanted.items():
        kernel = make_kernel(spec)
        fit = jax.jit(lambda params, batch, key, kernel=kernel: with_kernel(network.model, params, kernel, batch, key))
        params = fit(network.params, surveyed, key)
        made = attention_chips_for(key, kernel, network.model, chips)
        answers = np.stack(
            [
                right(network, kernel, params, examples, jax.tree.map(lambda leaf, n=n: leaf[n], made), n)
                for n in range(chips)
            ]
        )
        less = answers.mean(axis=0) - exact
        yield Row(
            name,
            float(np.mean(kernel.circuit(fitted(params)).pairs)) if isinstance(kernel, Circuit) else 1.0,
            float(answers.mean()),
            float(answers.mean(axis=1).std()),
            float(less.mean()),
            float(less.std(ddof=1) / np.sqrt(len(less))),
        )


def right(network: Network, kernel: Kernel, params: PyTree, examples: int, chip: Any, number: int = 0) -> np.ndarray:
    """(n,) whether each of the first examples is right, on one chip, with noise of its own."""
    key = rng.key_of(jax.random.key(number), "read_noise")
    found: list[tuple[np.ndarray, Any, Any]] = []
    for batch in eval_batches(network.settings.data, network.test):
        keys = example_keys(key, batch["number"]) if isinstance(kernel, Circuit) else None
        here = np.asarray(batch["number"]) < examples
        if here.any():
            found.append((here, batch, _right(network.model, network.task, kernel, params, batch, chip, keys)))
    real = [(here & (np.asarray(batch["weight"]) > 0), batch, got) for here, batch, got in found]
    place = np.concatenate([np.asarray(batch["number"])[keep] for keep, batch, _ in real])
    return np.concatenate([np.asarray(got)[keep] for keep, _, got in real])[np.argsort(place)]


@partial(jax.jit, static_argnums=(0, 1, 2))
def _right(model, task, kernel, params, batch, chip, keys):
    logits, _ = dense_forward(model, params, batch, kernel=kernel, attention=chip, key=keys)
    return task.right(logits, batch).astype(jnp.float32)


def line(row: Row) -> str:
    """A row of the table."""
    return (
        f"{row.name:<58} {100 * row.pairs:6.1f} {100 * row.accuracy:9.2f} {100 * row.deviation:7.2f} "
        f"{100 * row.difference:+8.2f} +- {100 * row.error:.2f}"
    )


def write(path: Path, network: str, told: dict[str, int], row: Row) -> None:
    """Put a row in its place among those of the network; rows of other examples or chips go."""
    stored = read_json(path) if path.exists() else {}
    before = stored.get(network, {})
    same = told == {name: before.get(name) for name in told}
    named = {one["name"]: one for one in before.get("rows", [])} if same else {}
    stored[network] = told | {"rows": list((named | {row.name: dataclasses.asdict(row)}).values())}
    write_text_atomically(path, json.dumps(stored, indent=1) + "\n")


def main(given: Sequence[str] = ()) -> int:
    """Print the table; write it where asked."""
    parser = arguments.parser("experiments.attention_circuits", __doc__)
    parser.add_argument("folder", type=Path, help="a finished run that trained a network")
    parser.add_argument("--bits", type=int, nargs="+", default=BITS, help="of charge-domain scores")
    parser.add_argument("--examples", type=int, default=1000, help="of the evaluation split, from its start")
    parser.add_argument("--chips", type=int, default=4)
    parser.add_argument("--only", default="", help="circuits whose name has this in it")
    parser.add_argument("--write", type=Path, help="a JSON file that gets these rows under the folder's name")
    asked = parser.parse_args(given)
    network = load(asked.folder)
    wanted = {name: spec for name, spec in cases(asked.bits).items() if asked.only in name}
    print(f"{'%':<58} {'pairs':>6} {'accuracy':>9} {'chips':>7} {'to exact':>8}")
    told = {"examples": min(asked.examples, len(network.test)), "chips": asked.chips}
    for row in rows(network, wanted, asked.examples, asked.chips):
        print(line(row), flush=True)
        if asked.write is not None:  # at once: a circuit takes minutes
            write(asked.write, asked.folder.name, told, row)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"error: {error}")
