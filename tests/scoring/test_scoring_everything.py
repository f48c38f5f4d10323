"""No method at all: the dense network, at its price."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import pytest
from rival_cases import DEPTH, method_of, tiny_bill

from atis_jax.scoring.method import Place
from atis_jax.scoring.rivals.everything import EverythingSpec
from atis_jax.training.spec import PruningSpec
from atis_jax.validation import SettingError

METHOD = method_of(EverythingSpec())


def test_it_costs_the_dense_network_whatever_was_asked_for():
    costs = tiny_bill()
    found = METHOD.bill(costs, jnp.full(DEPTH, 0.3), jnp.ones(DEPTH), ())
    assert float(found.total_j) == float(costs.dense().total_j) and float(found.scoring_j) == 0.0


def test_it_refuses_to_prune():
    place = Place(None, PruningSpec(kept=(0.5,)), None, None, None)
    with pytest.raises(SettingError, match=r"config.pruning.kept = \(0.5,\) wants fewer; set pruning.kept = \(1.0,\)"):
        METHOD.check(place)
    METHOD.check(dataclasses.replace(place, pruning=PruningSpec(kept=(1.0,))))
