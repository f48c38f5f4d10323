"""The routing fabric, of sky130, against I t / C of mirrored currents and the charge that the ledger bills."""

import numpy as np
import pytest
from spice_marks import needs_sky130

from atis_jax.cells.fabric import OUTPUT_V, REST_A, Timing, output_f, static_weight, supply_current_a, token_charge_c
from atis_jax.spice.fabric import charges_v, play
from atis_jax.spice.models import find_process
from atis_jax.spice.simulator import SpiceError

WEIGHTS = np.array([1.5, -0.6, -0.4])
CODES = np.array([[7, -3], [-2, 6]])
TIMING = Timing(4, 0.3e-6, 0.4e-6)


@needs_sky130
def test_two_inputs_and_a_threshold_by_two_tokens():
    done = play(find_process("sky130"), WEIGHTS, CODES, TIMING, 27.0)
    shares = np.hstack([CODES / 7, np.ones((2, 1))])
    wanted_v = 2 * TIMING.modulation * REST_A * shares @ WEIGHTS * TIMING.integrate_s / output_f(2)
    wanted_v *= np.exp(-np.mean(done.middle_v) / OUTPUT_V)
    assert done.score_v == pytest.approx(wanted_v, rel=0.04, abs=1e-3)
    assert done.keep.tolist() == [True, False]
    static_a = REST_A * float(np.sum(np.abs(static_weight(WEIGHTS))))
    charged_c = float(token_charge_c(supply_current_a(2, static_a), TIMING.token_s))
    assert np.mean(done.charge_c[:, 0] + done.charge_c[:, 2]) == pytest.approx(charged_c, rel=0.1)


@needs_sky130
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda process: charges_v(process, np.array([50.0]), 0.48), "scale the weights"),
        (lambda process: play(process, WEIGHTS, CODES[:, :1], TIMING, 27.0), "give one an input"),
        (lambda process: play(process, WEIGHTS, 2 * CODES, TIMING, 27.0), "full scale is 7 steps"),
    ],
)
def test_what_cannot_be_programmed_is_refused(wrong, words):
    with pytest.raises(SpiceError, match=words):
        wrong(find_process("sky130"))
