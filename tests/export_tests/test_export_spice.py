"""A layer's netlist: the numbers in it, the files beside it, and the bits it gives in ngspice."""

import dataclasses
import re

import jax.numpy as jnp
import numpy as np
import pytest
from export_cases import bundle, with_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from spice_marks import needs_ngspice, needs_sky130

from atis_jax.cells.supply import comparator_supply_a
from atis_jax.export.errors import ExportError
from atis_jax.export.quantities import achieved
from atis_jax.export.spice import (
    CELLS,
    README,
    SCORER,
    STATIC,
    TOKENS,
    TRANSIENT,
    BenchTokens,
    at_token_ends,
    read_scorer,
    scorer_text,
    simulated_scores,
    spice_files,
    static_deck,
    supply_power_w,
    transient_deck,
)
from atis_jax.spice.models import find_process
from atis_jax.spice.simulator import SpiceError, simulate
from experiments.export.spice import close_loop, grey_zone_v, loop_gates, netlisted_power_w, real_tokens, spice_twin
from experiments.spice.characterise import characterise
from experiments.spice.settings import ProcessSpec

weight = st.one_of(st.sampled_from([0.0, 1.0, -1.0]), st.floats(-1.0, 1.0))


def read_back(made, layer=0):
    return read_scorer(scorer_text(made, layer), made.spec.inputs, made.spec.groups, made.spec.differential)


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [1, 16, 64])
@given(values=st.lists(weight, min_size=64, max_size=64), seed=st.integers(0, 3))
@settings(max_examples=10)
def test_a_netlist_holds_what_is_achieved(inputs, values, seed):
    """Ten digits are written."""
    weights = np.array(values[:inputs])
    if not np.any(np.abs(weights) > 0.01):
        weights[-1] = -0.5
    made = with_weights(bundle(inputs, layers=1, seed=seed), weights[None, None])
    found, wanted = read_back(made), achieved(made, 0)
    np.testing.assert_allclose(found.signed_current_a, wanted.signed_current_a, rtol=1e-9)
    np.testing.assert_allclose(found.feedback_ohm, wanted.feedback_ohm, rtol=1e-9)
    np.testing.assert_allclose(found.threshold_v, wanted.threshold_v, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("structure", [{"arrangement": "grouped", "groups": 3}, {"differential": True}])
def test_grouped_and_differential_netlists_come_back(structure):
    made = bundle(**structure)
    found, wanted = read_back(made, 1), achieved(made, 1)
    np.testing.assert_allclose(found.signed_current_a, wanted.signed_current_a, rtol=1e-9)
    np.testing.assert_allclose(found.threshold_v, wanted.threshold_v, atol=1e-9)


def test_a_weight_of_zero_has_no_transistors():
    made = with_weights(bundle(3, layers=1), np.array([[[0.5, 0.0, -0.5]]]))
    text = scorer_text(made, 0)
    assert "XO0_1" not in text and "Ib0_1" not in text
    assert re.search(r"(?m)^XO0_0 p0 n0 s0 ", text) and re.search(r"(?m)^XO0_2 n2 p2 s0 ", text)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (r"(?m)^Ib0_1 .*\n", "", "XO0_1 has no bias source"),
        (r"(?m)^XO0_1 .*\n", "", "bias source Ib0_1 feeds no OTA"),
        (r"XO0_1 p1 n1", "XO0_1 p2 n2", "not connected to input pair 1"),
        (r"XO0_1 p1 n1", "XO0_1 p1 p1", "not connected to input pair 1"),
        (r"(?m)^Rf0 .*\n", "", "0 feedback resistors"),
        (r"(?m)^Vref0 .*\n", "", "0 references"),
        (r"(?m)^(Ib0_1 vdd \S+) .*", r"\1 much", "Ib0_1: 'much' is no number"),
        (r"(?m)^(Rf0 \S+ \S+) .*", r"\1 nan", "Rf0: 'nan' is no number"),
        (r"(?m)^Rf0 ", "Rf7 ", "Rf: '7' is no whole number of 0 to 1"),
        (r"XO0_1 p1 n1", "XO0_9 p1 n1", "XO0_9: '9' is no whole number of 0 to 2"),
    ],
)
def test_a_damaged_netlist_is_refused(old, new, words):
    text = scorer_text(with_weights(bundle(3, layers=1), np.array([[[0.5, 0.4, -0.5]]])), 0)
    assert re.search(old, text)
    with pytest.raises(ExportError, match=words):
        read_scorer(re.sub(old, new, text), 3, 1, False)


def test_halves_that_do_not_mirror_are_refused():
    text = scorer_text(bundle(2, layers=1, differential=True), 0)
    with pytest.raises(ExportError, match="do not mirror each other"):
        read_scorer(re.sub(r"(?m)^(Ib1_0 vdd \S+) \S+$", r"\1 1e-9", text), 2, 1, True)


def test_layers_and_scorers_without_such_a_circuit_are_refused():
    made = dataclasses.replace(bundle(), scored=(1,))
    with pytest.raises(ExportError, match=r"layer 1 has no scorer; scored are \[2\]"):
        scorer_text(made, 0)
    with pytest.raises(ExportError, match="hysteresis"):
        scorer_text(bundle(hysteresis=True), 0)
    with pytest.raises(ExportError, match="no OTA that is on"):
        scorer_text(with_weights(bundle(2, layers=1), np.zeros((1, 1, 2))), 0)


def tokens(made, count=4, seed=0):
    rng = np.random.default_rng(seed)
    shape = (count, made.spec.groups)
    return BenchTokens(rng.uniform(-0.1, 0.1, (count, made.spec.inputs)), np.zeros(shape), np.zeros(shape, bool))


def test_files_of_a_layer():
    made, played = bundle(3, layers=1), tokens(bundle(3, layers=1))
    files = spice_files(made, 0, find_process("generic"), played, 1e-4, 27.0)
    assert set(files) == {CELLS, SCORER, STATIC, TRANSIENT, TOKENS, README}
    assert "no real process" in files[README]
    rows = [line.split(",") for line in files[TOKENS].splitlines()]
    assert rows[0][:4] == ["token", "input0_v", "input1_v", "input2_v"] and len(rows) == 5
    np.testing.assert_allclose(np.array(rows[1:])[:, 1:4].astype(float), played.voltages_v, atol=1e-12)
    assert "tran 1.000000e-06 4.000000e-04" in files[TRANSIENT]


@pytest.mark.slow
@needs_ngspice
@pytest.mark.parametrize("structure", [{}, {"differential": True}])
def test_the_generic_card_runs_through_the_whole_loop(structure):
    """Little bundle, few tokens: bits as the model's, settled and in time; the twin is told single cells alone."""
    made = bundle(4, layers=1, **structure)
    found = characterise(ProcessSpec(name="generic", biases_a=(1e-9, 1e-8, 1e-7), temperatures_c=(27.0,)))
    assert found.process.generic
    twin = spice_twin(made, 0, found, 27.0)
    inputs = np.random.default_rng(2).uniform(-1, 1, (16, 4))
    played = real_tokens(made, 0, twin, inputs, 27.0)
    files = spice_files(made, 0, found.process, played, 1e-3, 27.0)
    loop = close_loop(made, 0, files, played, twin, 27.0)
    told = loop.summary(0)
    assert told["tokens"] == 16 and told["equal_fraction"] == 1.0
    # Where a threshold can be, 0.5 V: beyond, the op-amp meets its rails, which the twin is not fitted to.
    near = np.abs(played.scores_v) < 0.5
    assert near.sum() >= 8
    assert np.sqrt(np.mean((loop.scores_v - played.scores_v)[near] ** 2)) < 0.01 * told["score_std_v"]
    assert all(gate.passed for gate in loop_gates([told]))


@needs_sky130
def test_the_exported_files_run_by_themselves(tmp_path):
    """As the README beside them says: ngspice static.cir in their folder."""
    import subprocess

    from atis_jax.spice.simulator import find_ngspice

    made = bundle(3, layers=1)
    files = spice_files(made, 0, find_process("sky130"), tokens(made), 1e-4, 27.0)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    run = [find_ngspice(), "-n", "-b", STATIC]
    subprocess.run(run, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    rows = [line.split() for line in (tmp_path / "static.txt").read_text().splitlines()]
    mine = simulate(static_deck(made, files, 4)).results[0]
    assert rows[0][1:] == ["v(y0)", "v(keep0)"]
    np.testing.assert_allclose([float(row[1]) for row in rows[1:]], mine["v(y0)"], atol=1e-6)


@needs_sky130
def test_scores_are_those_of_a_scalar_product_within_the_tanh():
    """Small inputs: R_f sum I kappa V / 2U_T by hand; kappa of 0.64 to 0.72 and I within 5 % bound the factor."""
    made = with_weights(bundle(4, layers=1), np.array([[[0.5, -0.3, 0.2, 0.6]]]))
    volts = np.array([[2e-3, -1e-3, 2e-3, 1e-3], [-2e-3, 2e-3, -1e-3, -2e-3], [0, 0, 0, 0]])
    played = BenchTokens(volts, np.zeros((3, 1)), np.zeros((3, 1), bool))
    files = spice_files(made, 0, find_process("sky130"), played, 1e-4, 27.0)
    scores_v, keep = simulated_scores(made, simulate(static_deck(made, files, 3)).results[0])
    numbers = achieved(made, 0)
    ideal = numbers.feedback_ohm[0] * (volts[:2] @ numbers.signed_current_a[0]) * 0.68 / (2 * 0.02586)
    assert (scores_v[:2, 0] - scores_v[2, 0]) / ideal == pytest.approx(1.0, abs=0.12)
    assert np.array_equal(keep[:, 0], scores_v[:, 0] > numbers.threshold_v[0])


@needs_sky130
def test_one_array_with_a_comparator_for_every_layer_draws_what_is_billed():
    """Bits against each layer's own threshold; supply power, three comparators in it, within 10 % of the ledger's."""
    made = with_weights(bundle(4, layers=3, reads="first_layer"), np.array([[[0.5, -0.3, 0.2, 0.6]]] * 3))
    text, wanted_v = scorer_text(made, 0), [achieved(made, layer).threshold_v[0] for layer in range(3)]
    back = read_scorer(text, 4, 1, False, comparators=3)
    np.testing.assert_allclose(back.threshold_v, wanted_v, atol=1e-9)
    with pytest.raises(ExportError, match="layer 2 has no array of its own.*netlist of layer 1"):
        scorer_text(made, 1)
    played = BenchTokens(
        np.linspace(-0.1, 0.1, 9)[:, None] * np.sign(made.design.prototype[0]), *[np.zeros((9, 3))] * 2
    )
    files = spice_files(made, 0, find_process("sky130"), played, 1e-4, 27.0)
    result = simulate(static_deck(made, files, 9)).results[0]
    scores_v, keep = simulated_scores(made, result)
    near = np.abs(scores_v - wanted_v) < 10e-3  # of the comparator's own offset
    assert np.array_equal(keep[~near], (scores_v > wanted_v)[~near]) and 0 < keep.sum(axis=0).min() < keep[:, 0].size
    charged_w = netlisted_power_w(made, achieved(made, 0))
    assert supply_power_w(result) / charged_w == pytest.approx(1.0, abs=0.1)
    assert charged_w - netlisted_power_w(dataclasses.replace(made, scored=(0,)), achieved(made, 0)) == pytest.approx(
        2 * 1.8 * comparator_supply_a()
    )


@needs_sky130
def test_a_differential_score_loses_what_its_halves_share():
    """Zero input: the OTAs' systematic offset of about a millivolt is in each half and not in the difference."""
    made = bundle(4, layers=1, differential=True)
    played = BenchTokens(np.zeros((2, 4)), np.zeros((2, 1)), np.zeros((2, 1), bool))
    files = spice_files(made, 0, find_process("sky130"), played, 1e-4, 27.0)
    result = simulate(static_deck(made, files, 2)).results[0]
    scores_v, _ = simulated_scores(made, result)
    halves_v = 0.9 - np.array([result["v(y0)"][0], result["v(y1)"][0]])
    assert abs(scores_v[0, 0]) < 0.2 * np.abs(halves_v).max()


@needs_ngspice
def test_a_bench_that_cannot_be_simulated_says_so():
    made = bundle(3, layers=1)
    files = spice_files(made, 0, find_process("generic"), tokens(made), 1e-4, 27.0)
    broken = {**files, SCORER: files[SCORER].replace("Rf0", "Rf0 nothing")}
    with pytest.raises(SpiceError, match="layer 1 of random"):
        simulate(static_deck(made, broken, 4))


def test_bits_are_taken_at_the_end_of_each_token():
    time_s = np.linspace(0, 3e-4, 301)
    result = {"sweep": time_s, "v(keep0)": np.floor(time_s / 1e-4 - 1e-9)}
    found = at_token_ends(result, 3, 1e-4)
    assert np.array_equal(found["v(keep0)"], [0, 1, 2])
    assert np.all(found["sweep"] <= (np.arange(3) + 1) * 1e-4)


def test_transient_deck_stops_after_its_tokens():
    made = bundle(3, layers=1)
    files = spice_files(made, 0, find_process("generic"), tokens(made), 1e-4, 27.0)
    (analysis,) = transient_deck(made, files, files[TRANSIENT], 2, 1e-4).analyses
    assert analysis.command == "tran 1.000000e-06 2.000000e-04" and "v(keep0)" in analysis.vectors


@pytest.mark.slow
def test_the_grey_zone_is_the_gate_through_the_resistor():
    """3 x 0.5 % x R_f x sum I: 1.5 Mohm and 100 nA are 2.25 mV."""
    made = bundle(2, layers=1)
    numbers = dataclasses.replace(
        achieved(made, 0), feedback_ohm=np.array([1.5e6]), signed_current_a=np.array([[4e-8, -6e-8]])
    )

    class Told:
        tia_residual_v, comparator_step_v, threshold_v = 1e-4, 2e-4, np.zeros(1)

    assert grey_zone_v(numbers, Told()) == pytest.approx([2.25e-3 + 3e-4])
    assert jnp.asarray(grey_zone_v(numbers, Told())).shape == (1,)
