"""What a run's settings name: its network, its task, its method."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.data.dataset import Split
from atis_jax.data.registry import make_dataset
from atis_jax.models.backbone import Model
from atis_jax.models.kernels import Kernel, make_kernel
from atis_jax.models.registry import make_model
from atis_jax.scoring.method import Method
from atis_jax.scoring.registry import make_method
from atis_jax.training.task import Task, make_task
from experiments.settings import CodesignSettings


def build_model(settings: CodesignSettings, train: Split) -> Model:
    """The network for this data set."""
    return make_model(settings.model, train.facts)


def build_task(settings: CodesignSettings) -> Task:
    """What the network is asked of this data set."""
    return make_task(make_dataset(settings.data).task)


def build_method(settings: CodesignSettings, kind: str) -> Method:
    """The method of the section ``scorer``, or the control ``kind`` in its place."""
    target = jnp.asarray(settings.pruning.kept_of_incoming(settings.model.depth))
    return make_method(settings.scorer_of(kind), settings.scorer_hardware(), target)


def build_kernel(settings: CodesignSettings) -> Kernel:
    """How attention is computed behind the scorer."""
    return make_kernel(settings.kernel)


def fed(settings: CodesignSettings, split: Split, index: slice | np.ndarray) -> dict[str, Any]:
    """Examples of a split as the network is fed them, nothing varied."""
    return jax.tree.map(jnp.asarray, make_dataset(settings.data).feed(split.at(index)))
