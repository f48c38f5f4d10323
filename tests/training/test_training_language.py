"""A network that says the next character, trained on a text file: what the run's summary and page say of it."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import pytest

from atis_jax.data.windows import WindowsSpec
from atis_jax.energy.spec import EnergySpec
from atis_jax.fitting.spec import HardwareSpec
from atis_jax.models import forward
from atis_jax.models.decoder import DecoderSpec
from atis_jax.training.spec import StageSpec
from atis_jax.validation import UserError
from experiments import codesign
from experiments.kv import reading
from experiments.kv.settings import KvSettings
from experiments.rundir import open_run
from experiments.settings import CodesignSettings


@pytest.mark.slow
def test_a_text_that_repeats_itself_is_learned_and_told_in_nats_and_bits(tmp_path):
    """Of "abcd" over and over all but a window's first character follows from the one before; guessing costs ln 4."""
    (tmp_path / "text.txt").write_text("abcd" * 100)
    data = WindowsSpec(
        name=str(tmp_path / "text.txt"), length=8, batch_size=8, eval_batch_size=4, evaluation="validation+test"
    )
    settings = CodesignSettings(
        experiment="dense",
        data=data,
        model=DecoderSpec(width=8, depth=1, heads=1, kv_heads=1, mlp_width=8),
        hardware=HardwareSpec(preset="sky130_fg"),
        energy=EnergySpec(preset="horowitz_45nm"),
        dense=StageSpec(steps=60, learning_rate=3e-2),
    )
    with open_run(tmp_path / "run", settings) as folder:
        summary = codesign.run_dense(settings, folder)
    told = summary["language"]
    assert told["tokens"] == 8 and told["characters_per_token"] == 1.0
    assert told["parts"].keys() == {"validation", "test"} and told["all"]["dense"]["windows"] == 4
    found = told["all"]["dense"]
    assert found["loss"] < 0.2 * math.log(4.0) and found["perplexity"] == pytest.approx(math.exp(found["loss"]))
    assert found["bits_per_character"] == pytest.approx(found["loss"] / math.log(2.0))
    assert summary["accuracy"]["dense"] > 0.9
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "nats a token" in page and "bits a character" in page

    own = dataclasses.replace(data, evaluation="validation")
    sizes = {"windows": 2, "fit_windows": 2, "batch": 2, "prefix": 6, "sinks": (1,), "recent": (1,), "shares": (0.5,)}
    policies = KvSettings(data=own, checkpoint=str(tmp_path / "run"), policies=("random", "h2o"), **sizes)
    with open_run(tmp_path / "kv", policies) as folder:
        read = reading.text_of(policies, folder, jax.random.key(0))
    logits = forward.dense_forward(read.model, read.params, {"token": read.test.columns["token"]})[0]
    here = told["parts"]["validation"]["dense"]["loss"]
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.asarray(read.test.labels)[..., None], -1)
    assert float(-picked.mean()) == pytest.approx(here, rel=1e-4)
    other = dataclasses.replace(policies, data=dataclasses.replace(own, length=7))
    with open_run(tmp_path / "no", other) as folder, pytest.raises(UserError, match=r"config.data.length = 7, and"):
        reading.text_of(other, folder, jax.random.key(0))
