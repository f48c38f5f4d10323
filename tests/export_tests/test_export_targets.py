"""Each FPAA target of designs of every structure: the circuit that is read back keeps the share it was set up for."""

import csv
import io
import json

import numpy as np
import pytest
from export_cases import bundle, with_weights

from atis_jax.export.retarget import changes_csv, reprogramming
from atis_jax.export.spice import scorer_text
from atis_jax.export.store import bundle_files
from experiments.export.an231 import an231_target
from experiments.export.rasp import rasp_target
from experiments.export.read_back import decisions

STRUCTURES = {
    "plain": {},
    "differential": {"differential": True},
    "grouped": {"arrangement": "grouped", "groups": 2},
    "multiplexed": {"arrangement": "multiplexed", "groups": 2},
    "ema": {"prototype": "ema"},
    "trained converters": {"trainable_bits": True, "trainable_full_scale": True},
    "gates": {"input_gates": True},
}
TOKENS, KEPT = 400, 0.3


@pytest.mark.slow
@pytest.mark.parametrize("target", [rasp_target, an231_target], ids=["rasp", "an231e04"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_circuit_read_back_keeps_the_share_asked_for(structure, target):
    made = bundle(8, layers=2, seed=3, **STRUCTURES[structure])
    inputs = np.random.default_rng(1).uniform(-1, 1, (2, TOKENS, 8)).astype(np.float32)
    found = target(made, (inputs, np.full((2, made.spec.groups), KEPT)))
    keep = decisions(found.design, made, found.hardware, inputs, found.spec)
    assert keep.shape == (2, TOKENS, made.spec.groups)
    # Rounding the threshold may move a few tokens that lie at it.
    np.testing.assert_allclose(keep.mean(axis=1), KEPT, atol=4 / TOKENS)
    assert not found.spec.differential and found.spec.arrangement in ("consensus", "grouped")
    assert 0 < found.rounding <= 1 + 1e-6
    said = found.told["built_otherwise"]
    assert len(said) == (structure in ("differential", "multiplexed", "ema"))
    page = next(text for name, text in found.files.items() if name.endswith(("README.md", "guide.md"))).decode()
    assert all(sentence in page for sentence in said)


@pytest.mark.slow
def test_one_numbering_in_every_file():
    """Layers from 1, scores and inputs from 0: the only weight of score 1 is at input 5, wherever one looks."""
    weights = np.zeros((1, 2, 8))
    weights[0, 0, 2], weights[0, 1, 5] = 0.5, -0.7
    made = with_weights(bundle(8, layers=1, arrangement="grouped", groups=2), weights)
    bundled = {name: text.decode() for name, text in bundle_files(made).items() if not name.endswith(".npz")}
    (row,) = [
        row for row in csv.DictReader(io.StringIO(bundled["tables/currents.csv"])) if float(row["achieved_a"]) < 0
    ]
    assert (row["layer"], row["score"], row["input"]) == ("1", "1", "5")
    assert json.loads(bundled["design.json"])["layers"][0]["scores"][1]["score"] == 1
    inputs = np.random.default_rng(1).uniform(-1, 1, (1, TOKENS, 8)).astype(np.float32), np.full((1, 2), KEPT)
    rasp = {name: text.decode() for name, text in rasp_target(made, inputs).files.items()}
    assert "in[0]=vref in[1]=in_5 out[0]=sum_1_5" in rasp["layer1.blif"]
    an231 = {name: text.decode() for name, text in an231_target(made, inputs).files.items()}
    rows = list(csv.DictReader(io.StringIO(an231["layer1_capacitors.csv"])))
    assert [one["source"] for one in rows if one["score"] == "1" and one["source"].startswith("input")] == ["input 5"]
    rows = list(csv.DictReader(io.StringIO(an231["layer1_serial.csv"])))
    assert [one["input"] for one in rows if one["score"] == "1"] == ["5"]
    assert "| input 5 | inverting |" in an231["layer1_guide.md"].partition("## Score 1")[2]
    assert "XO1_5 n5 p5 " in scorer_text(made, 0)
    other = with_weights(made, 0.5 * weights)
    changed = [
        row for row in csv.DictReader(io.StringIO(changes_csv(reprogramming(made, other)))) if row["new_a"] < "0"
    ]
    assert [(row["layer"], row["score"], row["input"]) for row in changed] == [("1", "1", "5")]
