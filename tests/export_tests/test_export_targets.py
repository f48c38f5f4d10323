"""Each FPAA target of designs of every structure: the circuit that is read back keeps the share it was set up for."""

import numpy as np
import pytest
from export_cases import bundle

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
