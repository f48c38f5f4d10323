"""Effective bits of the chain on a tiny design; bits as cells; the knee on grids made by hand."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import MODEL, SPEC, arm

from atis_jax.circuits.hardware import with_fields
from atis_jax.circuits.imperfections import IMPERFECTIONS
from atis_jax.scoring.atis.calibration import CalibrationSpec, with_trim_dac
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.statistics import EffectiveBits
from atis_jax.training.cells import on_cell
from atis_jax.training.score_bits import ScoreBits, finest, score_bits
from experiments.montecarlo import precision_summary
from experiments.montecarlo.precision_sparsity import PrecisionSettings
from experiments.montecarlo.precision_summary import Grid

KEY = jax.random.key(3)
INPUTS = 0.4 * jax.random.normal(jax.random.key(1), (MODEL.depth, 512, SPEC.inputs))


def cell(dac_bits: float, programming_bits: float, factor: float):
    one = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), arm(chips=1, temperature_c=(27.0,)).cells)
    return dataclasses.replace(
        one,
        factors=jnp.full(len(IMPERFECTIONS), factor),
        fields={"dac.used_bits": jnp.float32(dac_bits), "floating_gate.used_bits": jnp.float32(programming_bits)},
    )


@pytest.fixture(scope="module")
def measured():
    one = arm(chips=1)
    hardware = with_fields(one.evaluator.hardware, {"dac.bits": 10, "floating_gate.bits": 16})
    state = one.state
    return jax.jit(lambda cell: score_bits(SPEC, hardware, state.design, state.scorer_state, cell, INPUTS, KEY))


@pytest.mark.slow
def test_each_bit_of_the_converters_is_a_bit_of_the_score(measured):
    """On a chip without errors, with fine currents: rounding of the inputs is all there is."""
    found = [float(np.mean(measured(cell(bits, 16, 0.0)).design.fitted)) for bits in (3, 5, 7)]
    np.testing.assert_allclose(np.diff(found), 2.0, atol=0.35)


def test_currents_limit_what_fine_converters_can_do(measured):
    coarse, fine = (float(np.mean(measured(cell(10, bits, 0.0)).design.fitted)) for bits in (3, 10))
    assert coarse < fine - 2


def test_a_chip_has_fewer_bits_than_its_design_and_offsets_count_only_raw(measured):
    chip, perfect = measured(cell(8, 12, 1.0)).design, measured(cell(8, 12, 0.0)).design
    assert np.all(np.asarray(chip.fitted) < np.asarray(perfect.fitted))
    assert np.mean(chip.raw) < np.mean(chip.fitted) - 0.5
    assert chip.fitted.shape == (MODEL.depth, SPEC.groups)


def test_the_curvature_of_the_ota_is_an_error_against_the_linear_product_alone(measured):
    found = measured(cell(10, 16, 0.0))
    assert np.all(np.asarray(found.design.fitted) > 8.0)
    assert np.all(np.asarray(found.linear.fitted) < np.asarray(found.design.fitted) - 1.0)


@pytest.mark.slow
def test_a_cell_of_given_bits_is_the_hardware_of_those_bits(measured):
    """What the cell's fields say is what a hardware built with these bits does, on the same chip."""
    one = arm(chips=1)
    built = with_fields(one.evaluator.hardware, {"dac.bits": 10, "floating_gate.bits": 5})
    plain = dataclasses.replace(cell(10, 5, 1.0), fields={})
    state = one.state
    run = jax.jit(lambda cell: score_bits(SPEC, built, state.design, state.scorer_state, cell, INPUTS, KEY))
    direct = run(plain).design
    swept = measured(cell(10, 5, 1.0)).design
    np.testing.assert_allclose(swept.fitted, direct.fitted, atol=1e-3)
    np.testing.assert_allclose(swept.raw, direct.raw, atol=1e-3)


@pytest.mark.slow
def test_fields_of_cells_reach_the_chip():
    """A supply, a float of the hardware itself, and the resolution of the converters."""
    one = arm(chips=1)
    cells = dataclasses.replace(cell(3, 5, 1.0), fields={"supply_v": jnp.float32(1.7), "dac.used_bits": 3.0})
    hardware, _, chip, environment = on_cell(cells, SPEC, one.evaluator.hardware, one.state.design, KEY)
    assert float(environment.supply_v) == pytest.approx(1.7)
    assert float(hardware.dac.used_bits) == 3.0
    assert chip.offset_v.shape == (MODEL.depth, 1, SPEC.inputs)


def grid(change: np.ndarray, kept: np.ndarray, fitted: np.ndarray, chips_apart: float = 0.0) -> Grid:
    """(A, D, P) given; two chips about the mean, on a million inputs, and the chip without errors with it."""
    apart = np.asarray([chips_apart, -chips_apart])
    bits = np.stack([fitted, fitted], axis=-1)
    return Grid(
        change=change[..., None] + apart,
        kept=np.stack([kept, kept], axis=-1),
        change_alone=change,
        kept_alone=kept,
        discordant=np.abs(change),
        fitted=bits,
        raw=bits - 1.0,
        fitted_alone=fitted + 1.0,
        linear=bits - 2.0,
        examples=1_000_000,
        dac_bits=(2, 4, 6),
        programming_bits=(4, 8),
    )


def summarise(grid: Grid) -> dict:
    designs = [{"run": str(number), "inputs": 8, "pruned": 0.7} for number in range(len(grid.change))]
    limits = dict(limit=0.01, kept_limit=0.02, confidence=0.95)
    return precision_summary.summarise(designs, grid, [0.9] * len(designs), **limits)[0]["precision"]


BITS = np.asarray([[[1.0, 2.0], [3.0, 4.5], [4.0, 7.0]]])
KEPT = np.full((1, 3, 2), 0.3)


def test_the_knee_of_a_grid_made_by_hand():
    found = summarise(grid(np.asarray([[[-0.2, -0.1], [-0.03, -0.005], [-0.02, 0.0]]]), KEPT, BITS))
    design = found["designs"][0]
    assert design["needs"] == {"dac_bits": 4, "programming_bits": 8}
    assert design["knee"]["design"] == {"bits": 4.5, "at_most": False}
    assert design["knee"]["linear"] == {"bits": 2.5, "at_most": False}
    claim = found["claim"]["design"]
    assert claim["within"] == {"points": 2, "hold": 1, "open": 0}
    assert claim["below"] == {"points": 3, "hold": 0, "open": 0}
    assert claim["above"] == {"points": 1, "hold": 1, "open": 0}
    assert found["claim"]["linear"]["below"]["points"] == 5


def test_a_good_point_below_a_failing_one_is_luck():
    """Points in the order of their bits: good, bad, good, good, ...: the knee is above the bad one."""
    found = summarise(grid(np.asarray([[[0.0, -0.1], [0.0, 0.0], [0.0, 0.0]]]), KEPT, BITS))
    assert found["designs"][0]["knee"]["design"]["bits"] == 3.0


def test_a_point_that_keeps_more_tokens_does_not_hold():
    kept = np.asarray([[[0.5, 0.33], [0.3, 0.3], [0.3, 0.3]]])
    found = summarise(grid(np.zeros((1, 3, 2)), kept, BITS))
    assert found["designs"][0]["knee"]["design"]["bits"] == 3.0
    assert found["designs"][0]["needs"] == {"dac_bits": 4, "programming_bits": 4}


def test_a_point_within_its_error_of_the_limit_is_open_and_fails_nothing():
    """1.1 points lost on average by two chips that lie 0.4 apart: standard error 0.28 points."""
    change = np.asarray([[[-0.011, 0.0], [0.0, 0.0], [0.0, 0.0]]])
    unsure, sure = summarise(grid(change, KEPT, BITS, 0.004)), summarise(grid(change, KEPT, BITS, 0.0001))
    assert unsure["claim"]["design"]["below"] == {"points": 3, "hold": 2, "open": 1}
    assert unsure["designs"][0]["knee"]["design"] == {"bits": 1.0, "at_most": True}
    assert sure["claim"]["design"]["below"] == {"points": 3, "hold": 2, "open": 0}
    assert sure["designs"][0]["knee"]["design"] == {"bits": 2.0, "at_most": False}


def test_inputs_that_chips_share_are_part_of_the_error():
    """sqrt(0.02 / 1,000,000): chips that agree do not make the sampling error of the inputs vanish."""
    one = grid(np.zeros((1, 3, 2)), KEPT, BITS)
    one = dataclasses.replace(one, discordant=np.full((1, 3, 2), 0.02))
    np.testing.assert_allclose(one.error, np.sqrt(0.02 / 1e6))


def test_designs_are_told_by_their_median_and_those_without_a_knee_apart():
    change = np.zeros((3, 3, 2))
    change[1, 0] = -0.1
    change[2] = -0.5
    found = summarise(grid(change, np.repeat(KEPT, 3, 0), np.repeat(BITS, 3, 0)))
    assert found["designs"][2]["needs"] == {"dac_bits": None, "programming_bits": None}
    assert found["knee"]["design"] == {
        "median": 3.0,  # of 1, 3 and the design without a knee, which is beyond all
        "low": 1.0,
        "high": 3.0,
        "designs": 3,
        "without": 1,
        "at_most": 1,
    }


def test_rows_and_bits_become_a_grid_in_the_order_of_the_cells():
    """Change of cell n is n / 1000, so every place of the grid tells where it came from; layer 1 prunes nothing."""
    rows = [{"gained": n, "lost": 1, "examples": 1000, "kept_1": 1.0, "kept_2": n / 100} for n in range(2 * 3 * 2 * 3)]
    numbers = np.arange(36, dtype=float).reshape(2, 18)
    bits = []
    for one in numbers:
        layers = np.stack([np.full(18, 99.0), one], axis=1)[..., None]
        enob = EffectiveBits(fitted=layers, raw=layers + 0.5)
        bits.append(ScoreBits(design=enob, linear=EffectiveBits(fitted=layers - 1.0, raw=layers)))
    found = Grid.of((2, 4, 6), (4, 8), 2, rows, bits, [range(1, 2)] * 2)
    # Design 1, DAC 4 bits, 8 bits of current: cells 18 + (1 * 2 + 1) * 3 = 27 (no errors), 28 and 29.
    assert found.change_alone[1, 1, 1] == pytest.approx(0.026)
    np.testing.assert_allclose(found.change[1, 1, 1], [0.027, 0.028])
    assert found.discordant[1, 1, 1] == pytest.approx(0.0295)
    np.testing.assert_allclose(found.kept[1, 1, 1], [0.28, 0.29])
    assert found.fitted_alone[1, 1, 1] == 27.0
    np.testing.assert_allclose(found.raw[1, 1, 1], [28.5, 29.5])
    np.testing.assert_allclose(found.linear[1, 1, 1], [27.0, 28.0])


def test_an_offset_trim_has_its_converter():
    hardware = arm(chips=1).evaluator.hardware
    run = SimpleNamespace(
        folder="run",
        settings=SimpleNamespace(scorer=ScorerSpec()),
        trained=SimpleNamespace(evaluator=SimpleNamespace(hardware=hardware)),
    )
    method = CalibrationSpec(methods=("threshold", "offset"))
    found = PrecisionSettings(calibration=method).finest(run)
    assert found.comparator == with_trim_dac(found, method).comparator != hardware.comparator
    assert PrecisionSettings(calibration=method, calibrated=False).finest(run).comparator == hardware.comparator
    assert finest(found).comparator.reference_bits is None  # which passes any threshold, trim DAC or not
