"""The table of ways to choose tokens: means over seeds, and differences on the same examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atis_jax.validation import UserError
from experiments import paired, rivals
from experiments.table import Run

EXAMPLES = 200


@pytest.fixture
def runs(monkeypatch):
    """ATIS and EViT on two seeds; who is right is drawn."""
    rng, measured, found = np.random.default_rng(0), {}, []
    for kind, chance, share in (("analog", 0.9, 0.5), ("evit", 0.8, 0.51)):
        for seed in (0, 1):
            right = {"hardware": (rng.random(EXAMPLES) < chance).astype(float)}
            if kind == "analog":
                right |= {"dense": np.ones(EXAMPLES), "random": np.zeros(EXAMPLES)}
            folder = Path(f"{kind}-{seed}")
            measured[folder] = paired.Measured(folder, right, {"test": EXAMPLES}, 0.6)
            config = {"scorer.kind": kind, "seed": seed, "compare": ("dense",)}
            found.append(Run(folder, config, {"operations": {"share": share}, "energy": {"total_j": 1e-6}}))
    monkeypatch.setattr(paired, "load", measured.__getitem__)
    return found, measured


def test_rows_are_means_over_seeds_and_differences_of_the_same_examples(runs):
    found, measured = runs
    rows = {row.name: row for row in rivals.rows_of(found)}
    assert list(rows) == ["no pruning, trained as long", "analog, mean of chips", "evit", "random"]
    evit, atis = (
        np.stack([measured[Path(f"{kind}-{n}")].right["hardware"] for n in (0, 1)]) for kind in ("evit", "analog")
    )
    each = (evit - atis).mean(0)
    mean, half = rows["evit"].less
    assert mean == pytest.approx(each.mean()) and half == pytest.approx(
        1.96 * each.std(ddof=1) / EXAMPLES**0.5, rel=1e-4
    )
    assert rows["evit"].accuracy == pytest.approx(evit.mean()) and rows["evit"].seeds == 2
    assert rows["analog, mean of chips"].less is None and rows["evit"].operations == pytest.approx(0.51)
    table = rivals.markdown(list(rows.values()))
    assert "| evit | behind attention | 51 % | 40 % |" in table and "| random |" in table


def test_what_cannot_be_compared_is_named(runs):
    found, _ = runs
    with pytest.raises(UserError, match="no run has scorer.kind = 'analog'"):
        rivals.rows_of(found[2:])
    with pytest.raises(UserError, match=r"evit has seeds \[0\], analog \[0, 1\]; run what is missing"):
        rivals.rows_of(found[:3])
