"""The table of runs: what shares a row, what is averaged, and what is left blank."""

from __future__ import annotations

import json

import numpy as np
import pytest

from atis_jax.validation import UserError
from experiments.table import COLUMNS, rows


def write_run(folder, *, seed=0, kept=0.5, compare=("dense", "random"), mean=0.6, random=0.5, worst=0.55):
    folder.mkdir()
    config = {"seed": seed, "compare": list(compare), "start_from": None, "checkpoint_every": 7, "kept": kept}
    accuracy = {"dense": 0.7, "ideal": 0.61, "hardware_mean": mean, "hardware_std": 0.01, "hardware_worst": worst}
    if "random" in compare:
        accuracy["random"] = random
    tokens = {"pruned_fraction": 1 - kept, "pruned_fraction_final_layer": 0.75}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "summary.json").write_text(json.dumps({"accuracy": accuracy | {"chips": 32}, "tokens": tokens}))
    return folder


def cells(row):
    return dict(zip(COLUMNS, row, strict=True))


def test_seeds_share_a_row_with_their_spread_and_the_least_pruned_comes_first(tmp_path):
    runs = [
        write_run(tmp_path / "a", kept=0.3),
        write_run(tmp_path / "b", kept=0.5, seed=0, mean=0.60, random=0.50, worst=0.58),
        write_run(tmp_path / "c", kept=0.5, seed=1, mean=0.64, random=0.56, worst=0.57, compare=("random",)),
    ]
    first, second = map(cells, rows(runs))
    assert (first["pruned, mean of layers"], first["seeds"]) == ("0.500", "2")
    assert (second["pruned, mean of layers"], second["seeds"]) == ("0.700", "1")
    assert first["analog: mean over chips"] == f"62.00 +- {100 * np.std([0.60, 0.64], ddof=1):.2f}"
    assert first["analog - random"] == f"+9.00 +- {100 * np.std([0.10, 0.08], ddof=1):.2f}"
    assert first["worst chip"] == "57.00" and first["chips"] == "64"


def test_dense_is_shown_only_where_it_was_trained_as_long_and_missing_controls_are_blank(tmp_path):
    with_dense = write_run(tmp_path / "a", compare=("dense", "random"))
    without = write_run(tmp_path / "b", kept=0.3, compare=())
    first, second = map(cells, rows([with_dense, without]))
    assert (first["dense"], second["dense"]) == ("70.00", "")
    assert second["random"] == second["analog - random"] == second["digital"] == ""


def test_a_folder_without_a_finished_codesign_run_is_named(tmp_path):
    with pytest.raises(UserError, match="nothing.*no finished run"):
        rows([tmp_path / "nothing"])
    folder = write_run(tmp_path / "dense")
    (folder / "summary.json").write_text(json.dumps({"accuracy": {"dense": 0.7}}))
    with pytest.raises(UserError, match="measured no chips"):
        rows([folder])
