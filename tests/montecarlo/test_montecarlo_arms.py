"""Which runs can be measured together."""

from __future__ import annotations

import types

import pytest

from atis_jax.validation import SettingError
from experiments.montecarlo import arms


def test_two_runs_of_one_name_are_refused_before_any_is_read(tmp_path):
    given = [str(tmp_path / place / "run") for place in ("here", "there")]
    with pytest.raises(SettingError, match=r"two folders of one name \(run, run\).*rename one"):
        arms.load_runs(given)


def test_a_sweep_of_several_is_refused_where_one_run_is_wanted(monkeypatch):
    several = [types.SimpleNamespace(folder=f"runs/sweep/{name}") for name in "ab"]
    monkeypatch.setattr(arms, "load_runs", lambda folders: several)
    with pytest.raises(SettingError, match=r"config.checkpoint = 'runs/sweep' is a sweep of 2 runs; .*'runs/sweep/a'"):
        arms.load_run("runs/sweep")
