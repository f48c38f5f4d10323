"""An export read back as a design: the currents, resistors and thresholds that it holds, at any edge of their range."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from export_cases import bundle, with_weights
from hypothesis import given, settings
from hypothesis import strategies as st

from atis_jax.circuits.hardware import with_fields
from atis_jax.circuits.presets import get_preset
from atis_jax.export.errors import ExportError
from atis_jax.export.imported import imported_design
from atis_jax.export.quantities import achieved
from atis_jax.export.structure import as_built
from atis_jax.scoring.atis.design import layer_design
from atis_jax.scoring.atis.program import program

FREE = with_fields(get_preset("nominal"), {"floating_gate.bits": None, "comparator.reference_bits": None})
weight = st.one_of(st.sampled_from([0.0, 1.0, -1.0]), st.floats(-1.0, 1.0))


def there_and_back(made, hardware):
    found = {layer: achieved(made, layer) for layer in made.scored}
    design = imported_design(made, found, hardware)
    query = jnp.zeros((made.spec.groups, design.projection.shape[-1]))
    programmed = [program(layer_design(design, layer), as_built(made.spec), hardware, query) for layer in made.scored]
    return found, programmed


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [1, 8, 64])
@given(values=st.lists(weight, min_size=64, max_size=64))
@settings(max_examples=15)
def test_numbers_are_those_read(inputs, values):
    """To float32: the range of a resistor is 7 decades, so that its raw number's last digit is 4e-6 of it."""
    weights = np.array(values[:inputs])
    if not np.any(np.abs(weights) > 0.01):
        weights[0] = 0.5
    found, programmed = there_and_back(with_weights(bundle(inputs, layers=1), weights[None, None]), FREE)
    np.testing.assert_allclose(programmed[0].signed_current_a, found[0].signed_current_a, rtol=1e-5, atol=1e-14)
    np.testing.assert_allclose(programmed[0].feedback_ohm, found[0].feedback_ohm, rtol=2e-5)
    np.testing.assert_allclose(programmed[0].threshold_v, found[0].threshold_v, atol=2e-6)


@pytest.mark.parametrize("structure", [{}, {"prototype": "ema"}, {"arrangement": "grouped", "groups": 2}])
def test_programming_again_changes_nothing(structure):
    """What is on the grid stays on it: a design made of achieved numbers achieves them."""
    made = bundle(**structure)
    found = {layer: achieved(made, layer) for layer in made.scored}
    design = imported_design(made, found, made.hardware)
    again = dataclasses.replace(made, spec=as_built(made.spec), design=jax.tree.map(np.asarray, design))
    for layer in made.scored:
        other = achieved(again, layer)
        np.testing.assert_allclose(other.signed_current_a, found[layer].signed_current_a, rtol=1e-6)
        np.testing.assert_allclose(other.threshold_v, found[layer].threshold_v, atol=1e-7)


def test_calibration_is_in_what_is_achieved():
    made = bundle(calibrated=True)
    plain = dataclasses.replace(made, calibration=None)
    found, before = achieved(made, 0), achieved(plain, 0)
    grid = np.log(1e3) / (2**8 - 2)
    moved = np.log(found.signed_current_a / before.signed_current_a)
    assert np.all(np.abs(moved - made.calibration.log_current[0]) <= grid * (1 + 1e-3))
    assert np.any(np.abs(moved) > 0.5 * grid)
    step = 1.0 / 255
    assert np.all(np.abs(found.threshold_v - before.threshold_v - made.calibration.threshold_v[0]) <= step * (1 + 1e-3))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("signed_current_a", np.full((1, 8), 2e-7), "largest bias current read back is 2e-07"),
        ("signed_current_a", np.zeros((1, 8)), "more than zero"),
        ("feedback_ohm", np.array([1e12]), "feedback, ohm"),
        ("threshold_v", np.array([0.7]), "threshold, V"),
    ],
)
def test_what_a_design_cannot_hold_is_refused(field, value, words):
    made = bundle(layers=1)
    with pytest.raises(ExportError, match=words):
        imported_design(made, {0: dataclasses.replace(achieved(made, 0), **{field: value})}, made.hardware)
