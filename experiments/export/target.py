"""What the FPAA targets share: the target itself, the tokens that it is set up with, thresholds that keep a share."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax import rng
from atis_jax.circuits.chip import nominal_chip, nominal_environment
from atis_jax.circuits.frontend import Realised
from atis_jax.circuits.hardware import Hardware
from atis_jax.export.bundle import Bundle
from atis_jax.scoring.atis.analog import realise_design
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.spec import ScorerSpec
from experiments.export.read_back import layer_tokens
from experiments.trained_run import TrainedRun

TRAIN_EXAMPLES, TRAIN_TOKENS = 256, 1024
"""Training examples and tokens a layer from which slopes and thresholds of a target are set."""


@dataclasses.dataclass(frozen=True)
class Target:
    """One target made and read back.

    Attributes:
        files: by name, for its folder.
        design: read back, leaves (L, ...).
        hardware: what a chip of it is.
        spec: the structure that it builds.
        told: what the summary says of it.
        rounding: largest error of a number read back over what rounding allows it.
    """

    files: dict[str, bytes]
    design: Design
    hardware: Hardware
    spec: ScorerSpec
    told: dict[str, Any]
    rounding: float


def training_inputs(run: TrainedRun, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Array inputs (L, t, N) of training tokens, and the shares (L, G) of them that the perfect chip keeps."""
    found = layer_tokens(run, run.train, TRAIN_EXAMPLES, TRAIN_TOKENS, rng.key_of(jax.random.key(seed), "data"))
    return np.asarray(found.inputs), np.asarray(found.kept_fraction)


def on_perfect_chip(bundle: Bundle, layer: int, design: Design, hardware: Hardware, spec: ScorerSpec) -> Realised:
    """One layer's array on a chip without errors at the nominal temperature; ``design``: the layer's own leaves."""
    chip, environment = nominal_chip(hardware, spec.geometry), nominal_environment(hardware)
    return realise_design(design, spec, hardware, jnp.asarray(bundle.query[layer]), chip, environment)


def keeping(scores_v: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Thresholds (G,) above which the shares ``kept`` of the scores lie: half-way between neighbours."""
    ordered = -np.sort(-scores_v, axis=0)
    found = []
    for score, share in enumerate(kept.tolist()):
        count = int(round(share * len(ordered)))
        inside = min(max(count, 1), len(ordered) - 1)
        found.append(0.5 * (ordered[inside - 1, score] + ordered[inside, score]))
    return np.array(found)
