"""What becomes of a scorer's structure in a circuit that is programmed once."""

import dataclasses

import jax
import numpy as np
import pytest
from export_cases import bundle

from atis_jax.circuits.chip import nominal_chip, nominal_environment
from atis_jax.circuits.presets import get_preset
from atis_jax.export.errors import ExportError
from atis_jax.export.structure import as_built, built_otherwise, check_an_array_each, check_exportable, side_by_side
from atis_jax.scoring.atis.analog import read_scores, realise_design
from atis_jax.scoring.atis.design import layer_design
from atis_jax.scoring.atis.spec import ScorerSpec

CHANGED = {
    "differential": (dict(differential=True), "half w alone"),
    "multiplexed": (dict(arrangement="multiplexed", groups=3), "array of its own"),
    "ema": (dict(prototype="ema"), "where training left them"),
    "adaptive": (dict(adaptive_rate_v=1e-3), "where they start"),
}


def scores_v(made, spec):
    hardware = made.hardware
    chip, environment = nominal_chip(hardware, spec.geometry), nominal_environment(hardware)
    inputs = np.random.default_rng(5).uniform(-1, 1, (20, spec.inputs)).astype(np.float32)

    @jax.jit
    def scores(design, query, chip, inputs):
        return read_scores(realise_design(design, spec, hardware, query, chip, environment), spec, inputs, None)

    return np.asarray(scores(layer_design(made.design, 0), made.query[0], chip, inputs))


def test_a_comparator_that_remembers_has_no_circuit():
    check_exportable(ScorerSpec())
    with pytest.raises(ExportError, match=r"scorer.hysteresis = True.*= False, or .*target = 'bundle'"):
        check_exportable(ScorerSpec(hysteresis=True))
    with pytest.raises(ExportError, match="reads = 'first_layer': rasp and an231e04 .* lack those of the later layers"):
        check_an_array_each(ScorerSpec(reads="first_layer"))


@pytest.mark.parametrize("case", CHANGED)
def test_what_is_built_otherwise_is_said(case):
    structure, words = CHANGED[case]
    spec = ScorerSpec(**structure)
    (sentence,) = built_otherwise(spec, single_ended=True)
    assert words in sentence
    assert built_otherwise(as_built(spec, single_ended=True), single_ended=True) == []


def test_what_stays_is_not_spoken_of():
    spec = ScorerSpec(arrangement="grouped", groups=4, projection="selection", trainable_bits=True)
    assert built_otherwise(spec) == [] and as_built(spec) == spec
    halves = ScorerSpec(differential=True)
    assert built_otherwise(halves) == [] and as_built(halves) == halves


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["ideal", "nominal"])
def test_side_by_side_scores_are_those_of_an_array_in_turns(preset):
    made = bundle(8, layers=1, hardware=get_preset(preset), arrangement="multiplexed", groups=3)
    np.testing.assert_allclose(scores_v(made, side_by_side(made.spec)), scores_v(made, made.spec), atol=1e-7)


@pytest.mark.slow
def test_half_of_a_differential_scorer_scores_alike_on_the_perfect_chip():
    made = bundle(8, layers=1, differential=True)
    alone = dataclasses.replace(made.spec, differential=False)
    np.testing.assert_allclose(scores_v(made, alone), scores_v(made, made.spec), atol=1e-6)
