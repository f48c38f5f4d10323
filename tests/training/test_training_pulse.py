"""A whole run with pulse widths: trained, drawn, billed, reported and read back; its row in the table of circuits."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import resume_config
from spice_marks import HAS_NGSPICE, HAS_SKY130

import atis_jax
import launch
from atis_jax.circuits.pulse import PulseChip
from experiments.circuit_table import rows_of
from experiments.trained_run import load_trained

CONFIG = f"--config={Path(resume_config.__file__)}"


@pytest.fixture(scope="module")
def pulse_run(tmp_path_factory, digits) -> Path:
    place = tmp_path_factory.mktemp("pulse") / "run"
    flags = ["--config.scorer.kind=pulse_width", "--config.scorer.inputs=8"]
    assert launch.cli(["launch.py", CONFIG, f"--workdir={place}", f"--config.data.data_dir={digits}", *flags]) == 0
    return place


@pytest.mark.slow
def test_it_trains_and_its_page_speaks_of_pulses(pulse_run):
    told, page = json.loads((pulse_run / "summary.json").read_text()), (pulse_run / "report.html").read_text()
    assert told["accuracy"]["chips"] == 2 and told["agreement"]["decisions_unequal_outside_margin"] == 0
    assert told["design"]["pulse_bits"] == 6 and told["design"]["token_s"] == pytest.approx(0.355e-6)
    assert "bundle" not in told and not (pulse_run / "export").exists()
    assert "pulse-width" in page and not any(word in page for word in ("OTA", "TIA", "pulse_width pruning"))
    run = atis_jax.load(pulse_run)
    assert isinstance(run.method.perfect_chip(), PulseChip) and 0 <= run.evaluate(chip=3).accuracy <= 1


@pytest.mark.slow
def test_its_rows_in_the_table_are_counted_by_hand(pulse_run):
    """A latch with its precharge 0.160 pJ; digital 8 or 16 products of 0.3 pJ and a comparison of 0.1 pJ."""
    run = load_trained(pulse_run)
    (pulse, twin, folded), notes = rows_of([run], 2 if HAS_NGSPICE and HAS_SKY130 else 0)
    assert pulse.name == "pulse widths (slots, 6 bit)" and "priced at the design of run" in notes[0]
    method, state = run.trained.evaluator.method, run.trained.state
    design, memory = (
        type(part)(**{name: None if leaf is None else leaf[0] for name, leaf in vars(part).items()})
        for part in (state.design, state.scorer_state)
    )
    current_a = np.sum(np.abs(method.row(design, memory).current_a))
    logic_j = (8 * (6 * 24 + 5 * 12) + 9 * 26 + 2 * 31 * 24 + 35.5 * 40 + 200) * 0.1e-12 / (32 * 28)
    pulses = 8 * 2 * sum(len(run.settings.scorer.timing.windows(steps)) for steps in range(32)) / 63 + 1
    analog_j = (2 * pulses * 4.4e-15 + 49.5e-15) * 1.8**2 + current_a * 0.355e-6 * 1.8
    assert pulse.costs["45 nm"].alone_j == pytest.approx(logic_j + analog_j, rel=1e-3)
    assert pulse.costs["45 nm"].projected_j == pytest.approx(logic_j + analog_j + 8 * 16 * 0.3e-12, rel=1e-3)
    assert twin.costs["45 nm"].alone_j == pytest.approx(2.5e-12, rel=1e-5) and twin.mean is None
    assert folded.costs["45 nm"].projected_j == pytest.approx(4.9e-12, rel=1e-5)
    assert all(one.equal == one.bits == 2 and abs(one.supply - 1) < 0.1 for one in pulse.played)
    assert jnp.isfinite(pulse.area_um2) and pulse.token_s == pytest.approx(0.355e-6)
