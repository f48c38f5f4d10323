"""The design bundle of a finished run, with its accuracy before and after quantisation."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.config import as_dict, config_hash
from atis_jax.data.dataset import Split
from atis_jax.data.pipeline import eval_batches
from atis_jax.export.bundle import Bundle
from atis_jax.training import evaluate
from experiments.chips import Trained, perfect_inputs
from experiments.settings import CodesignSettings

PACKAGES = ("atis-jax", "jax", "numpy")
BUNDLE_ACCURACY = ("dense", "hardware_mean", "hardware_std", "hardware_worst", "chips")
"""Accuracies of a run's summary that its bundle tells."""


def bundle_from(
    settings: CodesignSettings, trained: Trained, run: str | Path, accuracy: Mapping[str, Any] | None = None
) -> Bundle:
    """The bundle of a trained design.

    Args:
        settings: of the run.
        trained: its network and design.
        run: where it is, as provenance names it.
        accuracy: as measured; none is told if None.
    """
    evaluator, state = trained.evaluator, trained.state
    host = jax.device_get((state.design, state.scorer_state.query))
    design = jax.tree.map(np.asarray, host[0])
    name = Path(run).name
    return Bundle(
        name=name,
        spec=evaluator.spec,
        hardware=plain_hardware(evaluator.hardware),
        design=design,
        query=np.asarray(host[1]),
        scored=tuple(evaluator.scored),
        tokens=evaluator.model.tokens,
        provenance={
            "run": name,
            "config_sha256": config_hash(settings),
            "config": as_dict(settings),
            "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
            "dataset": {"name": settings.data.name, "split": settings.data.evaluation},
        },
        accuracy=dict(accuracy or {}),
    )


def measured_bundle(
    settings: CodesignSettings, trained: Trained, run: str | Path, test: Split, found: Mapping[str, Any]
) -> Bundle:
    """The bundle with its accuracies: before and after quantisation, and those of the run's own summary.

    Args:
        settings: of the run.
        trained: its network and design.
        run: where it is.
        test: the test examples.
        found: the 'accuracy' of the run's summary; ``ideal``, on the perfect chip, is measured where it is missing.
    """
    batches = list(eval_batches(settings.data, test))
    target = jnp.asarray(settings.pruning.kept_of_incoming(settings.model.depth))
    free = dataclasses.replace(trained, evaluator=trained.evaluator.on(unquantised(trained.evaluator.hardware), target))
    after = found.get("ideal")
    accuracy = {
        "before_quantisation": perfect_accuracy(free, batches),
        "after_quantisation": perfect_accuracy(trained, batches) if after is None else after,
        "examples": len(test),
        **{name: found[name] for name in BUNDLE_ACCURACY if found.get(name) is not None},
    }
    return bundle_from(settings, trained, run, accuracy)


def plain_hardware(hardware: Hardware) -> Hardware:
    """The same hardware with Python numbers for arrays of one, as a file holds them."""
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, int | float) else float(leaf), hardware)


def unquantised(hardware: Hardware) -> Hardware:
    """The hardware without the grids of currents and reference: converters and everything else as they are."""
    return with_fields(
        hardware,
        {
            "floating_gate.bits": None,
            "floating_gate.used_bits": None,
            "floating_gate.min_current_a": 0.0,
            "comparator.reference_bits": None,
            "comparator.trim_bits": None,
        },
    )


def perfect_accuracy(trained: Trained, batches: list) -> float:
    """Share of right answers on the chip without errors."""
    perfect = perfect_inputs(trained, trained.evaluator.model.depth)
    evaluator = trained.evaluator
    return evaluate.count(evaluator.masked(), evaluator.task, batches, perfect, None).accuracy
