"""The table of policies: a whole run on an untrained network and a text file; what its settings refuse."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from atis_jax.data.windows import WindowsSpec
from atis_jax.eviction.distil import Distillation
from atis_jax.eviction.policies.atis import AnalogGate
from atis_jax.models.decoder import DecoderSpec
from atis_jax.statistics.shares import SharedDraws, recovered
from atis_jax.validation import SettingError
from experiments.kv import experiment
from experiments.kv.settings import KvSettings
from experiments.kv_gate import experiment as kv_gate
from experiments.kv_gate.settings import KvGateSettings
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


@pytest.fixture
def text(tmp_path):
    """Windows of forty characters drawn from seven."""
    file = tmp_path / "some.txt"
    file.write_text("".join(np.random.default_rng(0).choice(list("abcde \n"), 6000)))
    return WindowsSpec(name=str(file), length=40, evaluation="validation")


@pytest.mark.slow
def test_a_run_writes_its_table_and_page(tmp_path, text):
    settings = KvSettings(data=text, **TINY)
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


@pytest.mark.slow
def test_a_gate_on_chips_has_its_thresholds_and_rivals_its_budget(tmp_path, text):
    letters = Tokenizer(models.WordLevel({letter: number for number, letter in enumerate("abcde \n")}))
    letters.pre_tokenizer = pre_tokenizers.Split(Regex("[a-e \\n]"), "isolated")
    letters.save(str(tmp_path / "tokenizer.json"))
    text = dataclasses.replace(text, tokenizer=str(tmp_path / "tokenizer.json"))
    (tmp_path / "other.txt").write_text("ab c" * 150)
    changed = dict(rivals=("random", "h2o"), shares=(0.5,), sinks=(1,), recent=(2,), chips=(2,), chips_reading=(1,))
    same = {name: TINY[name] for name in ("model", "windows", "fit_windows", "prefix", "batch")}
    gate = AnalogGate(inputs=4)
    settings = KvGateSettings(
        data=text, gate=gate, threshold_windows=4, local=3, distillation=Distillation(steps=1, batch=2),
        distillation_windows=2, second_text=str(tmp_path / "other.txt"), **same, **changed,
    )  # fmt: skip
    with open_run(tmp_path / "run", settings) as folder:
        summary = kv_gate.run(settings, folder)
    (half,) = summary["kv_gate"]["budgets"]
    rows = half["rows"]
    assert {"gate", "twin", "chips", "as_fabricated", "by_rank", "reading_chips", "unseen_gate", "h2o"} <= set(rows)
    assert all(abs(row["kept"] - 0.5) < 0.2 for row in rows.values() if "kept" in row)
    assert rows["gate"]["kept"] == half["matched_share"]
    np.testing.assert_allclose(half["gained"]["value"], rows["fitted"]["loss"] - rows["gate"]["loss"], atol=1e-12)
    assert (rows["random"]["recovered"]["value"], rows["h2o"]["recovered"]["value"]) == (0.0, 1.0)
    with np.load(tmp_path / "run/artifacts.npz") as arrays:
        assert arrays["chips_0"].shape == (2, 4) and arrays["reading_chips_0"].shape == (1, 4)
        np.testing.assert_allclose(arrays["chips_0"].mean(), rows["chips"]["loss"])
        assert arrays["remembered_0"].shape == (2, 24) and arrays["pieces_0"].shape == (24,)
    second = summary["kv_gate"]["second"]
    assert second["loss_full"] != summary["kv_gate"]["loss_full"]
    assert second["budget"]["rows"].keys() == {name for name in rows if not name.startswith(("reading", "unseen"))}
    assert "to which nothing was fitted" in (tmp_path / "run/report.html").read_text()
    assert "What is remembered" in (tmp_path / "run/report.html").read_text()


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


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (dict(chips=(1, 1)), r"config.chips = \(1, 1\) has 2 values"),
        (dict(chips_reading=(9,), chips=(8,)), r"chips_reading\[0\] = 9 is above config.chips\[0\] = 8"),
        (dict(second_text="other.txt"), "config.second_text = 'other.txt' with config.data.tokenizer = 'characters'"),
        (dict(threshold_windows=48), "config.threshold_windows = 48 is above the config.fit_windows = 40"),
        (dict(distillation=Distillation(steps=1), distillation_windows=3), "config.distillation.batch = 4 is above"),
        (dict(worst="tova"), "config.worst = 'tova' is not in config.rivals"),
    ],
)
def test_settings_of_a_gate_that_cannot_be_are_refused(wrong, words):
    with pytest.raises(SettingError, match=words):
        KvGateSettings(data=WindowsSpec(length=256), **wrong)
