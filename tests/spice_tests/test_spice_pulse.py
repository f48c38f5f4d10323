"""The circuit with pulse-width inputs, of sky130, against I t / C and the charge that the ledger bills."""

import numpy as np
import pytest
from spice_marks import needs_sky130

from atis_jax.cells.pulse import BRANCH_LINE_F, LINE_F, Timing, pulse_charge_c
from atis_jax.spice.models import find_process
from atis_jax.spice.pulse import gates_v, play
from atis_jax.spice.simulator import SpiceError

CURRENT_A = np.array([60e-9, 25e-9, 40e-9])
CODES = np.array([[7, -3, 1], [-2, 5, -7]])


@needs_sky130
@pytest.mark.parametrize("slots", [pytest.param(False, marks=pytest.mark.slow), True])
def test_three_branches_and_two_tokens(slots):
    timing, capacitance_f = Timing(bits=4, slots=slots), 40e-15
    done = play(find_process("sky130"), CURRENT_A, CODES, timing, capacitance_f, 27.0)
    wanted_v = CODES @ CURRENT_A * timing.step_s / (capacitance_f + LINE_F + 3 * BRANCH_LINE_F)
    assert done.score_v == pytest.approx(wanted_v, rel=0.03, abs=1e-3)
    assert done.keep.tolist() == [True, False]
    pulses = sum(len(timing.windows(abs(code))) for code in CODES.ravel().tolist()) / 2
    charged_c = float(pulse_charge_c(float(np.sum(CURRENT_A)), pulses, timing.token_s))
    assert np.mean(np.sum(done.charge_c, axis=1)) == pytest.approx(charged_c, rel=0.1)


@needs_sky130
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda process: gates_v(process, np.array([1e-3]), 27.0), "scale the weights"),
        (lambda process: play(process, CURRENT_A, CODES[:, :2], Timing(bits=4), 1e-13, 27.0), "give one a current"),
        (lambda process: play(process, CURRENT_A, 2 * CODES, Timing(bits=4), 1e-13, 27.0), "full time is 7 steps"),
    ],
)
def test_what_cannot_be_built_is_refused(wrong, words):
    with pytest.raises(SpiceError, match=words):
        wrong(find_process("sky130"))
