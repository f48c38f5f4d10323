"""A whole run in a routing fabric: trained, billed, reported; its row in the table of circuits."""

import json
from pathlib import Path

import pytest
import resume_config
from spice_marks import HAS_NGSPICE, HAS_SKY130

import launch
from atis_jax.numerics import layer_of
from experiments.circuit_table import rows_of
from experiments.trained_run import load_trained

CONFIG = f"--config={Path(resume_config.__file__)}"


@pytest.mark.slow
def test_it_trains_and_its_row_is_counted_by_hand(tmp_path, digits):
    """Registers of 8 x 6 flip-flops and the phases; 24 bits change; 18 lines of 20 nA; reset and latch of 40 fF."""
    place = tmp_path / "run"
    flags = ["--config.scorer.kind=routing_fabric", "--config.scorer.inputs=8", "--config.compare=()"]
    assert launch.cli(["launch.py", CONFIG, f"--workdir={place}", f"--config.data.data_dir={digits}", *flags]) == 0
    told, page = json.loads((place / "summary.json").read_text()), (place / "report.html").read_text()
    assert told["agreement"]["decisions_unequal_outside_margin"] == 0 and told["design"]["input_bits"] == 6
    assert "routing-fabric" in page and not any(word in page for word in ("OTA", "TIA", "routing_fabric pruning"))

    run = load_trained(place)
    (fabric, _, _), _ = rows_of([run], 2 if HAS_NGSPICE and HAS_SKY130 else 0)
    method, state = run.trained.evaluator.method, run.trained.state
    row = method.row(*layer_of((state.design, state.scorer_state), 0))
    logic_j = (8 * 6 * 24 + 200) * 0.1e-12 / (32 * 28)
    ends_j = 24 * 1.5e-15 * 0.9**2 + 40e-15 * 1.8**2
    currents_j = (18 * 20e-9 + 2 * float(row.drawn_a)) * float(row.token_s) * 1.8
    assert fabric.name == "routing fabric (6 bit)" and fabric.token_s == pytest.approx(float(row.token_s))
    assert fabric.costs["45 nm"].alone_j == pytest.approx(logic_j + ends_j + currents_j, rel=1e-3)
    assert all(one.equal == one.bits == 2 and abs(one.supply - 1) < 0.1 for one in fabric.played)
