"""Bills by hand: sentences of different length, and the integers of every circuit: conversions, cells, comparisons."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scoring_reference import INPUTS, gaussian_projection, quick_jit, random_design, spec_for
from scoring_reference import WIDTH as TOKEN_WIDTH

from atis_jax.cells.fabric import ENDS_F
from atis_jax.cells.pulse import LATCH_F, PRECHARGE_F
from atis_jax.circuits import get_preset
from atis_jax.energy.presets import ENTRIES, energy_preset
from atis_jax.energy.shapes import NetworkShape
from atis_jax.energy.spec import EnergySpec
from atis_jax.scoring.atis.fabric_spec import FabricScorerSpec
from atis_jax.scoring.atis.pulse_spec import PulseScorerSpec
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.registry import make_method
from atis_jax.scoring.rivals.tome import TomeSpec
from atis_jax.scoring.types import initial_state

WIDTH, MLP, ENDS = 8, 16, 2
MEAN = NetworkShape(
    tokens=5, width=WIDTH, depth=2, heads=2, mlp_width=MLP, classes=2, stem_macs=0, protected=ENDS
)  # the mean of the two
COSTS = Bill(EnergySpec(preset="horowitz_45nm"), MEAN, (True, True))
WORDS = np.array([3, 7])
KEPT = np.array([[2, 1], [6, 2]])
HARDWARE = get_preset("nominal")


def macs(tokens) -> float:
    """Of a layer's attention and MLP, for all of so many tokens."""
    return 4 * WIDTH**2 * tokens + 2 * tokens**2 * WIDTH + 2 * WIDTH * MLP * tokens


def test_each_sentence_pays_for_its_own_words_and_the_mean_sentence_for_less_than_the_mean():
    mac_j = energy_preset("horowitz_45nm").network_mac_j
    found = COSTS.of_each(lambda costs, kept: costs.unscored(kept), WORDS, KEPT)
    by_hand = mac_j * (macs(KEPT + ENDS)).sum(axis=1)
    np.testing.assert_allclose(found.attention_j + found.mlp_j, by_hand, rtol=1e-6)

    dense = COSTS.of_each(lambda costs, _: costs.dense(), WORDS, KEPT)
    whole = 2 * mac_j * macs(WORDS + ENDS)
    np.testing.assert_allclose(dense.attention_j + dense.mlp_j, whole, rtol=1e-6)
    # (3 - 5)^2 = (7 - 5)^2 = 4: 2 layers x 2 x 4 d multiply-accumulates more than the mean sentence's.
    one = COSTS.dense()
    assert np.mean(dense.total_j) - one.total_j == pytest.approx(2 * mac_j * 2 * 4 * WIDTH, rel=1e-4)


def test_exponentials_are_charged_where_a_run_asks_for_them_and_change_no_other_line():
    """Two heads' softmax, 16 GELUs and a root a token; of the 5 words 2.5 and 1 go through the layers, and 2 ends."""
    asked = dataclasses.replace(COSTS, energy=dataclasses.replace(COSTS.energy, exponentials=True))
    kept, method = jnp.asarray([0.5, 0.2]), make_method(TomeSpec(merged=2), HARDWARE)
    silent, charged = (method.bill(costs, kept, None, None).as_dict() for costs in (COSTS, asked))
    attend, feed = np.array([7.0, 4.5]), np.array([4.5, 3.0])  # tokens leave behind the attention
    of_network, of_method = np.sum(2 * attend**2 + MLP * feed + attend), np.sum(2 * attend)
    exponential_j = energy_preset("horowitz_45nm").exponential_j
    assert float(charged["exponentials"]) == pytest.approx(of_network * exponential_j, rel=1e-6)
    assert float(charged["scorer_exponentials"]) == pytest.approx(of_method * exponential_j, rel=1e-6)
    assert {line for line in silent if float(silent[line]) != float(charged[line])} == {
        "exponentials",
        "scorer_exponentials",
    }
    assert float(silent["exponentials"]) == float(silent["scorer_exponentials"]) == 0.0


ARRAY = NetworkShape(tokens=16, width=TOKEN_WIDTH, depth=2, heads=3, mlp_width=8, classes=2, stem_macs=0)
KEPT_OF_ARRAY, SEEN = (0.5, 0.25), 16 + 8
"""Tokens that reach the two scorers: the second sees what the first keeps."""
GROUPS = 3
CIRCUITS = {
    "consensus": spec_for("consensus"),
    "grouped": spec_for("grouped"),
    "multiplexed": spec_for("multiplexed"),
    "differential": spec_for("grouped", differential=True),
    "one read": spec_for("grouped", reads="first_layer"),
    "pulse_width": PulseScorerSpec(inputs=INPUTS, groups=GROUPS, arrangement="grouped"),
    "routing_fabric": FabricScorerSpec(inputs=INPUTS, groups=GROUPS, arrangement="grouped"),
    "digital": spec_for("grouped", kind="digital"),
}
LATCHED = ("pulse_width", "routing_fabric")


@functools.cache
def lines_of(name: str):
    """A circuit's bill, compiled: from some prices, all else free, to the ledger's lines."""
    spec = CIRCUITS[name]
    each = [random_design(seed, spec.groups, gaussian_projection(8)) for seed in (0, 1)]
    design = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    queries = jnp.zeros((2, spec.groups, TOKEN_WIDTH))
    state = jax.vmap(lambda query: initial_state(spec.groups, TOKEN_WIDTH, query))(queries)
    method = make_method(spec, HARDWARE)

    @quick_jit
    def bill(preset):
        class Priced(EnergySpec):
            def prices(self):
                return preset

        energy = Priced(preset="horowitz_45nm", core="bias", circuit="priced", token_time_s=1e-4, uses=1.0)
        return method.bill(Bill(energy, ARRAY, (True, True)), jnp.asarray(KEPT_OF_ARRAY), design, state).as_dict()

    def of(**prices: float) -> dict[str, float]:
        free: dict[str, Any] = dict.fromkeys(ENTRIES, 0.0) | prices
        lines = bill(dataclasses.replace(energy_preset("horowitz_45nm"), **free))
        return {line: float(value) for line, value in lines.items()}

    return of


def read_by(name: str) -> tuple[int, int, int]:
    """Tokens read, layers with an array, and rows of an array."""
    spec = CIRCUITS[name]
    return (16, 1, spec.groups) if name == "one read" else (SEEN, 2, spec.groups * (1 + spec.differential))


@pytest.mark.parametrize("name", [name for name in CIRCUITS if name not in (*LATCHED, "digital")])
def test_conversions_reads_cells_and_comparisons_of_an_array_are_its_shapes_integers(name):
    """A conversion for each input and token; a read for each OTA, of an array in turns its lines once."""
    of, (read, arrays, rows) = lines_of(name), read_by(name)
    bits = HARDWARE.dac.resolution
    assert of(dac_j_per_bit=1.0)["dac"] == pytest.approx(read * INPUTS * bits, rel=1e-6)
    moved = 1 if name == "multiplexed" else rows
    assert of(ota_dynamic_j=1.0)["ota"] - of()["ota"] == pytest.approx(read * INPUTS * moved, rel=1e-6)
    assert of(program_j=1.0)["programming"] == pytest.approx(arrays * rows * INPUTS, rel=1e-6)
    thresholds = 2 if name == "one read" else 1
    compared = read * CIRCUITS[name].groups * thresholds
    assert of(comparator_j=1.0)["comparator"] == pytest.approx(compared, rel=1e-6)
    switched = read * rows * INPUTS if name == "multiplexed" else 0
    assert of(switch_j=1.0)["switching"] == pytest.approx(switched, rel=1e-6)
    assert of(dac_j_per_bit=1.0)["reference"] == 2 * CIRCUITS[name].groups * 8, "thresholds of 8 bits, both layers"


@pytest.mark.parametrize("name", LATCHED)
def test_conversions_cells_and_comparisons_of_a_latched_circuit_are_its_shapes_integers(name):
    """Logic in transistors, one joule each: an input has 6 flip-flops and, as a pulse, 5 slots of 12.

    A pulse's branches have 26 each, the thresholds' too; with it go a counter of 62 toggles and 35.5 cycles of a clock.
    """
    of, cells = lines_of(name), GROUPS * (INPUTS + 1)
    logic = {
        "pulse_width": INPUTS * (6 * 24 + 5 * 12) + cells * 26 + 2 * 31 * 24 + 35.5 * 40 + 200,
        "routing_fabric": INPUTS * 6 * 24 + 200,
    }
    assert of(score_add_j=32.0 * 28.0)["dac"] == pytest.approx(SEEN * logic[name], rel=1e-6)
    assert of(program_j=1.0)["programming"] == pytest.approx(2 * cells, rel=1e-6)
    latch_j = {"pulse_width": PRECHARGE_F + LATCH_F, "routing_fabric": ENDS_F}[name] * HARDWARE.supply_v**2
    assert of()["comparator"] == pytest.approx(SEEN * GROUPS * latch_j, rel=1e-6)


def test_products_and_comparisons_of_the_folded_digital_score_are_its_shapes_integers():
    """Folded where that is less: here 24 numbers a prototype, not 12 and the projection's 288."""
    of = lines_of("digital")
    assert of(score_mac_j=1.0)["score"] == pytest.approx(SEEN * GROUPS * TOKEN_WIDTH, rel=1e-6)
    assert of(score_mac_j=1.0)["projection"] == 0.0
    assert of(compare_j=1.0)["comparator"] == pytest.approx(SEEN * GROUPS, rel=1e-6)
