"""The ledger against a count by loops over matrix shapes, finite differences, and the model itself."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from energy_cases import FRONT_END, MEMORY, NETWORK, PRICES, SCORER, TOKENS, cases, counted_by_loops, physical_front_end
from hypothesis import given, settings
from jax.extend.core import jaxprs_in_params
from jax.flatten_util import ravel_pytree
from jax.test_util import check_grads

from atis_jax.circuits import get_preset
from atis_jax.data.dataset import Facts
from atis_jax.energy.attention.charge_domain import ChargeDomainCircuit
from atis_jax.energy.attention.memristor import MemristorCircuit
from atis_jax.energy.attention.reram_pq import ReramPqCircuit
from atis_jax.energy.baselines import coarse_then_fine_ledger, dense_ledger, digital_ledger, folded_digital_ledger
from atis_jax.energy.front_end import DACS, FrontEnd
from atis_jax.energy.ledger import LINE_ENTRIES, LINES, SCORING_LINES, ledger
from atis_jax.energy.presets import ENTRIES, energy_preset
from atis_jax.energy.shapes import (
    FORMATS,
    PROJECTIONS,
    Memory,
    NetworkShape,
    TokenCounts,
    attention_macs,
    mlp_macs,
)
from atis_jax.models.kernels import Softmax
from atis_jax.models.registry import make_model
from atis_jax.models.vit import ModelSpec
from atis_jax.numerics import layer_of
from atis_jax.pruning.stream import Stream
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.registry import make_method
from atis_jax.scoring.rivals.ltp import LtpSpec
from atis_jax.scoring.rivals.tome import TomeSpec
from atis_jax.validation import SettingError


@pytest.mark.slow
@settings(max_examples=70, derandomize=True)
@given(cases())
def test_the_parts_add_up_to_a_count_by_loops(case):
    """In float64 the ledger's lines, its total and the independent count agree to rounding (some 100
    terms), whatever the structure."""
    with jax.enable_x64(True):
        result = ledger(*case)
        parts = np.array([float(getattr(result, field.name)) for field in dataclasses.fields(result)])
        total, scoring = float(result.total_j), float(result.scoring_j)
    assert np.all(parts >= 0)
    assert total == pytest.approx(parts.sum(), rel=1e-12, abs=1e-300)
    assert total == pytest.approx(counted_by_loops(*case), rel=1e-11, abs=1e-300)
    assert list(result.as_dict()) == list(LINES)
    assert scoring == pytest.approx(sum(parts[LINES.index(line)] for line in SCORING_LINES), rel=1e-12, abs=1e-300)


@pytest.mark.slow
@settings(max_examples=30, derandomize=True)
@given(cases())
def test_the_parts_of_the_rivals_add_up_too(case):
    """Dense, digital and folded: total equals the sum of the lines, scoring that of its own, none negative."""
    prices, network, scorer, tokens, _, memory = case
    with jax.enable_x64(True):
        rivals = (
            dense_ledger(prices, network, memory),
            digital_ledger(prices, network, scorer, tokens, memory),
            folded_digital_ledger(prices, network, scorer, tokens, memory),
        )
        for rival in rivals:
            lines = {name: float(value) for name, value in rival.as_dict().items()}
            assert min(lines.values()) >= 0
            assert float(rival.total_j) == pytest.approx(sum(lines.values()), rel=1e-12, abs=1e-300)
            scoring = sum(lines[name] for name in SCORING_LINES)
            assert float(rival.scoring_j) == pytest.approx(scoring, rel=1e-12, abs=1e-300)
        assert float(rivals[0].scoring_j) == 0.0


def test_float32_agrees_with_the_count_at_physical_magnitudes():
    """Nanoamperes, picojoules and microseconds: products near 1e-21 must not be lost in float32."""
    preset = energy_preset("horowitz_45nm")
    arguments = (preset, NETWORK, SCORER, TOKENS, physical_front_end(), MEMORY)
    result = jax.jit(ledger, static_argnums=(1, 5))(*arguments)
    assert result.ota_j.dtype == jnp.float32
    assert float(result.total_j) == pytest.approx(counted_by_loops(*arguments), rel=3e-6)


def test_one_read_is_charged_once_and_compared_for_every_layer():
    """64 tokens reach the first of two scored layers, which keeps 40; two prototypes, 16 inputs of 5 bits."""
    once = dataclasses.replace(SCORER, reads="first_layer")
    found = ledger(PRICES, NETWORK, once, TOKENS, FRONT_END, MEMORY)
    assert float(found.dac_j) == pytest.approx(64 * 16 * 5 * PRICES.dac_j_per_bit)
    assert float(found.projection_j) == pytest.approx(64 * 16 * 32 * PRICES.score_mac_j)
    assert float(found.comparator_j) == pytest.approx(64 * 2 * 2 * PRICES.comparator_j)
    assert float(found.reference_j) == pytest.approx(2 * 2 * 8 * PRICES.dac_j_per_bit)
    assert float(found.programming_j) == pytest.approx(2 * 16 * PRICES.program_j / 50)
    weights = 16 * 32 * PRICES.sram_32k_j_per_byte / 2
    # Two bits for layer 3 with each of the 40 tokens kept, written and read.
    stored = (40 + 40) * 2 / 8 * PRICES.sram_32k_j_per_byte
    tokens = 64 * 32 * PRICES.network_bytes * PRICES.sram_32k_j_per_byte
    assert float(found.scorer_memory_j) == pytest.approx(tokens + weights + stored)
    in_digital = digital_ledger(PRICES, NETWORK, once, TOKENS, MEMORY)
    assert float(in_digital.score_j) == pytest.approx(64 * 2 * 16 * PRICES.score_mac_j)
    assert float(in_digital.comparator_j) == pytest.approx(64 * 2 * 2 * PRICES.compare_j)
    prototypes = 2 * 16 * PRICES.sram_32k_j_per_byte / 2
    assert float(in_digital.scorer_memory_j) == pytest.approx(tokens + weights + prototypes + stored)


def knobs_of(dac: str, core: str, circuit: str = "priced"):
    """Every number that can be trained or swept, with array size, bits and full scale one a layer."""
    front_end = dataclasses.replace(
        FRONT_END,
        dac=dac,
        core=core,
        circuit=circuit,
        full_scale_v=jnp.array([0.2, 0.3, 0.4]),
        converters=4,
        reference_bits=0,
    )
    scorer = dataclasses.replace(SCORER, inputs=jnp.array([12.0, 16.0, 9.0]), dac_bits=jnp.array([5.0, 4.0, 3.0]))
    tokens = TokenCounts(*(jnp.asarray(count) for count in (TOKENS.scored, TOKENS.kept, TOKENS.kept + 3.0)))
    return jax.tree.map(jnp.asarray, (PRICES, scorer, tokens, front_end))


@pytest.mark.slow
@pytest.mark.parametrize("dac", DACS)
@pytest.mark.parametrize(("core", "circuit"), [("bias", "priced"), ("settling", "netlisted")])
def test_gradients_equal_finite_differences_for_every_knob(x64, dac, core, circuit):
    """Central differences: truncation of order step^2 and rounding of order 1e-16 total / step are both below 1e-6 of
    the slopes' scale.

    Knobs: all prices; array size, bits and full scale of each layer; token counts scored, kept and attended to;
    currents, supply, token time, load, kappa, temperature, uses.
    """

    @jax.jit
    def total(knobs):
        prices, scorer, tokens, front_end = knobs
        return ledger(prices, NETWORK, scorer, tokens, front_end, MEMORY).total_j

    knobs = knobs_of(dac, core, circuit)
    flat, rebuild = ravel_pytree(knobs)
    gradient = np.asarray(ravel_pytree(jax.grad(total)(knobs))[0])
    step = 1e-4
    both = jax.jit(lambda moved: jax.lax.map(lambda one: total(rebuild(one)), moved))
    around = flat + step * jnp.concatenate([jnp.eye(flat.size), -jnp.eye(flat.size)])
    up, down = np.split(np.asarray(both(around)), 2)
    np.testing.assert_allclose(gradient, (up - down) / (2 * step), rtol=1e-5, atol=1e-9 * np.abs(gradient).max())
    # Without a current there is nothing to settle, and the layer has no scorer: its current is a dead knob.
    live = dict(zip(ENTRIES, gradient[: len(ENTRIES)] != 0, strict=True))
    assert all(live[entry] for entry in ("network_mac_j", "score_mac_j", "program_j", "dram_j_per_byte"))
    assert live["tia_w"] == live["comparator_j"] == (circuit == "priced")
    assert live["dac_j_per_bit"] == (dac in ("per_bit", "sar_8b"))
    assert live["dac_unit_f"] == (dac == "capacitive") and live["fabric_unit_f"] == (dac == "fabric")
    assert live["line_f"] == (dac != "fabric")


@pytest.mark.slow
@pytest.mark.parametrize("rival", [digital_ledger, folded_digital_ledger])
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_the_digital_rivals_gradients_equal_finite_differences(x64, rival, projection):
    """Array size of each layer, counts and prices, of the digital score as computed and folded."""

    @jax.jit
    def total(knobs):
        prices, inputs, tokens = knobs
        scorer = dataclasses.replace(SCORER, inputs=inputs, projection=projection)
        return rival(prices, NETWORK, scorer, tokens, MEMORY).total_j

    prices, scorer, tokens, _ = knobs_of("per_bit", "bias")
    check_grads(total, ((prices, scorer.inputs, tokens),), order=1, modes=["rev"], rtol=1e-6)


@pytest.mark.slow
def test_each_line_draws_only_on_the_entries_it_names():
    """Over every projection, format, converter and memory, and all of them are drawn on somewhere."""
    touched = {line: set() for line in LINES}

    flat, rebuild = ravel_pytree(PRICES)  # in the order of ENTRIES

    def note(count):
        slopes = jax.jacrev(lambda prices: jnp.stack(list(count(rebuild(prices)).as_dict().values())))(flat)
        for line, row in zip(LINES, np.asarray(slopes), strict=True):
            touched[line] |= {name for name, slope in zip(ENTRIES, row, strict=True) if slope != 0}

    tokens = dataclasses.replace(TOKENS, attended=TOKENS.kept + 5.0)
    memories = [Memory(name, name, name) for name in ("sram_32k", "sram_1m", "dram")]
    variants = [(dict(projection=kind), {}, MEMORY) for kind in PROJECTIONS]
    # A number's format and the memory decide nothing of a converter, so that these go side by side.
    variants += [
        (dict(format=FORMATS[n % len(FORMATS)]), dict(dac=kind, converters=2), memories[n % len(memories)])
        for n, kind in enumerate(DACS)
    ]
    for of_scorer, of_front_end, memory in variants:
        scorer = dataclasses.replace(SCORER, **of_scorer)
        front_end = dataclasses.replace(FRONT_END, **of_front_end)
        note(lambda p: ledger(p, NETWORK, scorer, tokens, front_end, memory))  # noqa: B023
        note(lambda p: digital_ledger(p, NETWORK, scorer, tokens, memory))  # noqa: B023
    pixels = dataclasses.replace(SCORER, source="pixels", projection="selection")
    built = dataclasses.replace(FRONT_END, dac="none", core="settling", circuit="netlisted")
    note(lambda p: ledger(p, NETWORK, pixels, tokens, built))
    note(lambda p: coarse_then_fine_ledger(p, NETWORK, pixels, tokens))
    charge = ChargeDomainCircuit(0.5, bits=5)
    circuits = charge, ReramPqCircuit(0.5), charge, MemristorCircuit(output_bits=7)
    for circuit, memory in zip(circuits, (*memories, MEMORY), strict=True):
        network = dataclasses.replace(NETWORK, attention=circuit)
        note(lambda p: dense_ledger(p, network, memory, tokens))  # noqa: B023
    for spec in (TomeSpec(), LtpSpec()):
        rival, kept = make_method(spec, get_preset("nominal")), jnp.asarray([0.8, 0.5, 0.2])

        def bill(prices):
            energy = SimpleNamespace(prices=lambda: prices, memory=Memory, score_format="int8", tokens="sram_32k")
            return rival.bill(Bill(energy, NETWORK, SCORER.layers), kept, None, None)  # noqa: B023

        note(bill)
    assert touched == {line: set(entries) for line, entries in LINE_ENTRIES.items()}


@pytest.mark.slow
def test_vmap_over_examples_gives_each_its_own_energy():
    kept = jnp.asarray(np.stack([TOKENS.kept, TOKENS.kept / 2, TOKENS.kept * 0]))

    def total(kept_L):
        tokens = TokenCounts(jnp.asarray(TOKENS.scored), kept_L)
        return ledger(PRICES, NETWORK, SCORER, tokens, FRONT_END, MEMORY).total_j

    per_example = jax.vmap(total)(kept)
    for example in range(3):
        tokens = TokenCounts(TOKENS.scored, np.asarray(kept[example]))
        alone = counted_by_loops(PRICES, NETWORK, SCORER, tokens, FRONT_END, MEMORY)
        assert float(per_example[example]) == pytest.approx(alone, rel=2e-6)
    # Attention is convex in the count, so the energy of the mean count is below the mean energy.
    assert float(total(kept.mean(0))) < float(per_example.mean())


FUNCTIONS = ("exp", "tanh", "rsqrt")
"""Primitives of a softmax, of a GELU and of a norm."""


def functions(jaxpr):
    """Numbers that each of ``FUNCTIONS`` makes in a jaxpr."""
    total = dict.fromkeys(FUNCTIONS, 0)
    for equation in jaxpr.eqns:
        for inner in jaxprs_in_params(equation.params):
            total = {name: count + functions(inner)[name] for name, count in total.items()}
        if equation.primitive.name in FUNCTIONS:
            total[equation.primitive.name] += equation.outvars[0].aval.size
    return total


def dot_macs(jaxpr):
    """Multiply-accumulates of every dot_general in a jaxpr: size of the output times the contracted
    length."""
    total = 0
    for equation in jaxpr.eqns:
        for inner in jaxprs_in_params(equation.params):
            total += dot_macs(inner)
        if equation.primitive.name == "dot_general":
            contracted = equation.params["dimension_numbers"][0][0]
            shape = equation.invars[0].aval.shape
            total += int(np.prod([shape[axis] for axis in contracted])) * equation.outvars[0].aval.size
    return total


@pytest.mark.parametrize(("needs", "pulled_back"), [((), 0), (("query",), 24 * 24)])
def test_a_block_of_the_model_does_the_products_and_exponentials_that_are_charged(needs, pulled_back):
    """Traced from the model, not from formulas. Where a method asks for the first token's query (the moving-average
    prototype does), the block pulls it back to token space (d^2) on top; the docs list it as left out."""
    spec = ModelSpec(width=24, depth=1, heads=3, mlp_width=40, patch=4)
    model = make_model(spec, Facts(classes=10, rows=16, columns=16, channels=1, mean=(0.0,), std=(1.0,)))
    position = jnp.arange(17)[None]

    def block(params, x):
        one = layer_of(model.blocks(params), 0)
        stream, _ = model.attend(one, Stream(x, position, position < 1), Softmax(), needs)
        return model.feed(one, stream).x

    params = jax.eval_shape(model.init, jax.random.key(0))
    traced = jax.make_jaxpr(block)(params, jnp.zeros((1, 17, 24)))
    network = NetworkShape(tokens=16, width=24, depth=1, heads=3, mlp_width=40, classes=10, stem_macs=0)
    charged = attention_macs(network, 17.0) + mlp_macs(network, 17.0)
    assert dot_macs(traced.jaxpr) - pulled_back == charged
    of_mlps_norm = {"rsqrt": 17}  # which the ledger leaves out altogether
    found = sum(count - of_mlps_norm.get(name, 0) for name, count in functions(traced.jaxpr).items())
    assert found * PRICES.exponential_j == pytest.approx(float(dense_ledger(PRICES, network).exponentials_j), rel=1e-6)
    silent = dataclasses.replace(PRICES, charges_exponentials=False)
    assert float(dense_ledger(silent, network).exponentials_j) == 0.0


def test_multiplexing_costs_switching_not_more_conversions():
    grouped = dataclasses.replace(SCORER, arrangement="grouped")
    turns = ledger(PRICES, NETWORK, SCORER, TOKENS, FRONT_END)
    side_by_side = ledger(PRICES, NETWORK, grouped, TOKENS, FRONT_END)
    assert turns.dac_j == side_by_side.dac_j
    assert float(turns.switching_j) == pytest.approx(104 * 2 * 16 * PRICES.switch_j)
    assert float(side_by_side.switching_j) == 0.0


def test_the_core_when_settling_takes_what_it_takes_whatever_the_current():
    """PHYSICS: N V C (2 U_T / kappa) ln 2^(B+1) = 25 pJ at 1 pF, N = 64, 1 V, 6 bits, kappa 0.7."""
    network = dataclasses.replace(NETWORK, depth=1)
    scorer = dataclasses.replace(SCORER, inputs=64.0, dac_bits=6.0, prototypes=1, layers=(True,))
    quiet = dataclasses.replace(energy_preset("horowitz_45nm"), line_f=0.0)
    for current_a in (64e-9, 6.4e-6):
        front_end = FrontEnd(
            jnp.array([current_a]), 1.0, 1.0, load_f=1e-12, kappa=0.7, core="settling", circuit="priced"
        )
        one = TokenCounts(jnp.ones(1), jnp.ones(1))
        found = float(ledger(quiet, network, scorer, one, front_end).ota_j)
        assert found == pytest.approx(64 * 1e-12 * (2 * 0.025865 / 0.7) * 7 * np.log(2), rel=1e-3)
        assert found == pytest.approx(25e-12, rel=0.1)


def test_a_capacitive_converter_costs_what_its_capacitors_store():
    """PHYSICS: 6 bits of 1-5 fF units at 1 V are 11-53 fJ a conversion."""
    for unit_f, joules in ((1e-15, 11e-15), (5e-15, 53e-15)):
        preset = dataclasses.replace(energy_preset("horowitz_45nm"), dac_unit_f=unit_f)
        network = dataclasses.replace(NETWORK, depth=1)
        scorer = dataclasses.replace(SCORER, inputs=1.0, dac_bits=6.0, layers=(True,))
        front_end = physical_front_end(1, dac="capacitive")
        found = ledger(preset, network, scorer, TokenCounts(jnp.ones(1), jnp.ones(1)), front_end).dac_j
        assert float(found) == pytest.approx(joules, rel=0.03)


def test_scoring_pixels_before_the_converter_saves_it_for_what_is_pruned():
    pixels = dataclasses.replace(SCORER, source="pixels", projection="selection", layers=(True, False, False))
    tokens = TokenCounts(jnp.array([64.0, 16.0, 16.0]), jnp.array([16.0, 16.0, 16.0]))
    analog = ledger(PRICES, NETWORK, pixels, tokens, dataclasses.replace(FRONT_END, dac="none"))
    digital = digital_ledger(PRICES, NETWORK, pixels, tokens)
    dense = dense_ledger(PRICES, NETWORK)
    assert float(analog.sensor_adc_j) == pytest.approx(float(dense.sensor_adc_j) / 4, rel=1e-6)
    assert float(analog.sensor_link_j) == pytest.approx(float(dense.sensor_link_j) / 4, rel=1e-6)
    # Scored in digital beside the converters every pixel has been converted; link and embedding are saved by both.
    assert float(digital.sensor_adc_j) == float(dense.sensor_adc_j)
    assert float(digital.sensor_link_j) == float(analog.sensor_link_j)
    head = PRICES.network_mac_j * NETWORK.width * NETWORK.classes
    for result in (analog, digital):
        assert float(result.embedding_j) - head == pytest.approx((float(dense.embedding_j) - head) / 4, rel=1e-5)
    assert float(analog.dac_j) == pytest.approx(64 * 16 * PRICES.pixel_hold_f * 1.1**2), "held, not converted"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dataclasses.replace(NETWORK, tokens=0), "network.tokens = 0.*at least 1"),
        (lambda: dataclasses.replace(NETWORK, protected=-1), "network.protected = -1.*at least 0"),
        (lambda: charged(scorer=dict(dac_bits=0)), "scorer.dac_bits = 0.*at least 1"),
        (lambda: charged(scorer=dict(dac_bits=None)), "scorer.dac_bits = None"),
        (lambda: charged(scorer=dict(dac_bits=10.0), front_end=dict(dac="sar_8b")), "dac_bits.*sar_8b.*at most 8"),
        (lambda: charged(scorer=dict(inputs=0.0)), "scorer.inputs = 0.0.*above 0"),
        (lambda: charged(scorer=dict(projection="gausian")), "gausian.*did you mean 'gaussian'"),
        (lambda: charged(scorer=dict(format="int5")), "scorer.format = 'int5'.*int4"),
        (lambda: charged(scorer=dict(layers=[True] * 3)), "scorer.layers.*tuple"),
        (lambda: charged(scorer=dict(layers=(True,))), "scorer.layers has shape"),
        (lambda: charged(scorer=dict(inputs=np.ones(2))), r"scorer.inputs has shape \(2,\).*3 layers"),
        (lambda: charged(tokens=dict(scored=TOKENS.scored[:2])), r"tokens.scored has shape \(2,\).*3 layers"),
        (lambda: charged(tokens=dict(kept=-TOKENS.kept)), "tokens.kept = .*at least 0"),
        (lambda: charged(front_end=dict(bias_current_a=1e-9)), r"bias_current_a has shape \(\)"),
        (lambda: charged(front_end=dict(bias_current_a=-FRONT_END.bias_current_a)), "bias_current_a = .*at least 0"),
        (lambda: charged(front_end=dict(supply_v=0.0)), "front_end.supply_v = 0.0.*above 0"),
        (lambda: charged(front_end=dict(supply_v=float("nan"))), "front_end.supply_v = nan"),
        (lambda: charged(front_end=dict(dac="sar")), "front_end.dac = 'sar'.*sar_8b"),
        (lambda: charged(front_end=dict(converters=0)), "front_end.converters = 0.*at least 1"),
        (lambda: charged(preset=dict(tia_w=-1.0)), "energy preset 'custom': tia_w = -1.0.*at least 0 W"),
        (lambda: charged(preset=dict(dac_j_per_bit=float("inf"))), "dac_j_per_bit = inf.*J/bit"),
        (lambda: Memory(weights="sdram"), "memory.weights = 'sdram'.*sram_32k"),
        (lambda: Memory(batch=0), "memory.batch = 0.*at least 1"),
    ],
)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def charged(preset=None, scorer=None, tokens=None, front_end=None):
    """The ledger with some fields changed."""
    return ledger(
        dataclasses.replace(PRICES, **(preset or {})),
        NETWORK,
        dataclasses.replace(SCORER, **(scorer or {})),
        dataclasses.replace(TOKENS, **(tokens or {})),
        dataclasses.replace(FRONT_END, **(front_end or {})),
    )


@pytest.mark.slow
def test_an_input_less_saves_its_read_also_of_a_selection_of_everything(x64):
    """There the normalisation's statistics come with the token; that must not hide what one number more costs."""
    memory = Memory(tokens="sram_1m")

    def read_j(inputs):
        scorer = dataclasses.replace(SCORER, inputs=inputs, projection="selection")
        return digital_ledger(PRICES, NETWORK, scorer, TOKENS, memory).scorer_memory_j

    everything, most, few = (jax.value_and_grad(read_j)(jnp.array(n)) for n in (32.0, 30.0, 20.0))
    assert float(everything[1]) == pytest.approx(float(few[1])) == pytest.approx(float(most[1]))
    assert float(few[1]) == pytest.approx(float(read_j(jnp.array(20.5)) - read_j(jnp.array(19.5))), rel=1e-6)
    tokens, weights = TOKENS.scored[1:].sum(), 2 * SCORER.prototypes
    expected = 32 * (tokens * PRICES.sram_1m_j_per_byte + weights * PRICES.sram_32k_j_per_byte)
    assert float(everything[0]) == pytest.approx(expected)
