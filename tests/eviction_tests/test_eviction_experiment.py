"""The table of policies: a whole run on an untrained network and a text file; what its settings refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from atis_jax.data.windows import WindowsSpec
from atis_jax.models.decoder import DecoderSpec
from atis_jax.statistics.shares import SharedDraws, recovered
from atis_jax.validation import SettingError
from experiments.kv import experiment
from experiments.kv.settings import KvSettings
from experiments.rundir import open_run

TINY = dict(
    model=DecoderSpec(width=16, depth=2, heads=4, kv_heads=2, mlp_width=16),
    policies=("random", "h2o", "linear"),
    gated=("linear",),
    shares=(0.25, 0.5),
    sinks=(1, 1),
    recent=(2, 2),
    windows=4,
    fit_windows=4,
    prefix=24,
    batch=2,
)


@pytest.mark.slow
def test_a_run_writes_its_table_and_page(tmp_path):
    text = tmp_path / "some.txt"
    text.write_text("".join(np.random.default_rng(0).choice(list("abcde \n"), 6000)))
    settings = KvSettings(data=WindowsSpec(name=str(text), length=40, evaluation="validation"), **TINY)
    with open_run(tmp_path / "run", settings) as folder:
        summary = experiment.run(settings, folder)
    assert json.loads((tmp_path / "run/summary.json").read_text())["kv"] == summary["kv"]
    quarter, half = summary["kv"]["budgets"]
    assert (quarter["kept_words"], half["kept_words"]) == (6, 12)
    assert quarter["policies"]["random"]["recovered"]["value"] == 0.0
    assert half["policies"]["h2o"]["recovered"]["value"] == 1.0
    assert abs(half["thresholds"]["linear"]["kept"] - 0.5) < 0.2
    assert abs(half["refused"]["linear"]["kept"] - 0.5) < 0.2
    with np.load(tmp_path / "run/artifacts.npz") as arrays:
        for number, budget in enumerate(summary["kv"]["budgets"]):
            own = arrays[f"loss_linear_{number}"]
            np.testing.assert_allclose(own.mean(), budget["policies"]["linear"]["loss"])
    assert "already while the prefix is read" in (tmp_path / "run/report.html").read_text()


def test_a_share_recovered_is_of_means_and_its_interval_covers_it():
    rng = np.random.default_rng(1)
    base, noise = rng.normal(3, 0.4, 60), rng.normal(0, 0.01, (2, 60))
    worst, reference, loss = base + 0.1, base + noise[0], base + 0.04 + noise[1]
    found = recovered(loss, worst, reference, SharedDraws(60, resamples=2000))
    np.testing.assert_allclose(found.value, (worst - loss).mean() / (worst - reference).mean())
    assert found.interval.low < 0.6 < found.interval.high
    assert found.interval.high - found.interval.low < 0.1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (dict(reference="oracle"), "config.reference = 'oracle' is not in config.policies"),
        (dict(sinks=(1,)), "give one a share"),
        (dict(windows=5), "no multiple of config.batch"),
        (dict(gated=("h2o",)), "only static policies have thresholds"),
        (dict(recent=(8, 2)), "are protected already"),
        (dict(prefix=256), "must be below config.data.length"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, words):
    with pytest.raises(SettingError, match=words):
        KvSettings(data=WindowsSpec(length=40), **{**TINY, **wrong})
