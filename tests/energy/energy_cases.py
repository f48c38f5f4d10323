"""Prices, shapes and an independent count that the energy tests share."""

import math

import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np

from atis_jax.energy.front_end import CIRCUITS, CORES, DACS, FrontEnd
from atis_jax.energy.presets import ENTRIES, EnergyPreset
from atis_jax.energy.shapes import (
    ARRANGEMENTS,
    FORMATS,
    MEMORIES,
    PROJECTIONS,
    READS,
    Memory,
    NetworkShape,
    ScorerShape,
    TokenCounts,
)

NETWORK = NetworkShape(
    tokens=64, width=32, depth=3, heads=4, mlp_width=48, classes=10, stem_macs=5000, pixel_values=12, sent_bytes=7
)
SCORER = ScorerShape(
    inputs=16.0,
    prototypes=2,
    dac_bits=5.0,
    projection="learned",
    arrangement="multiplexed",
    layers=(False, True, True),
)
MEMORY = Memory(weights="dram", tokens="sram_32k", cache="sram_1m", batch=2)
# Every operation has its own price, all of order one, so that a term charged to the wrong entry shows.
PRICES = EnergyPreset(
    **{entry: 0.3 + 0.137 * number for number, entry in enumerate(ENTRIES)}, charges_exponentials=True
)
TOKENS = TokenCounts(np.array([64.0, 64.0, 40.0]), np.array([64.0, 40.0, 17.5]))
FRONT_END = FrontEnd(
    np.array([0.0, 1.2, 0.8]), 1.1, 0.9, full_scale_v=0.2, load_f=0.4, kappa=0.6, uses=50.0, circuit="priced"
)


def of_layer(value, layer: int) -> float:
    """A layer's own number, or the one for all."""
    return float(np.asarray(value) if np.ndim(value) == 0 else np.asarray(value)[layer])


def built_circuit(front_end, row_a: float, mean_a: float, bits: float):
    """Seconds of a token and the amperes of a row's OTAs, of its op-amp and of a comparator, branch by branch.

    Of the schematics: an OTA has a pair under a mirror and, as netlisted, a diode that sets its bias; an op-amp a
    diode, a pair and an output stage of twice the row's current, 0.5 uA at least; a comparator a diode, two pairs,
    the bias of the second and their sum, 100 nA each, and 75 nA more in ngspice. An OTA's mirror follows at a
    rate in proportion to the current into it: half the bias at balance, where the rate is gm / C, and the smaller
    side's share at half the full scale.
    """
    comparator_a = sum([100e-9] * 5) + 75e-9
    if row_a == 0:
        return 0.0, 0.0, 0.0, comparator_a
    thermal_v = 1.380649e-23 * front_end.temperature_k / 1.602176634e-19
    side = 1 / (1 + math.exp(-front_end.kappa * (front_end.full_scale_v / 2) / thermal_v))
    gm = front_end.kappa * mean_a / (2 * thermal_v) * 2 * (1 - side)
    array_s = front_end.load_f / gm * math.log(2 ** (bits + 1))
    # From 17.9 mV below its trip point through it by 2 mV, at a pole of 0.71 us.
    decide_s = 0.71e-6 * math.log((17.9 + 2.0) / 2.0)
    branches = [row_a] + [row_a] * (front_end.circuit == "netlisted")
    stages = [max(0.5e-6, 2 * row_a)] * 3 if front_end.amplifier else [0.0]
    return array_s + decide_s, sum(branches), sum(stages), comparator_a


def counted_by_loops(preset, network, scorer, tokens, front_end, memory):
    """Joules by walking layers, tokens' vectors and matrices: no formula of the ledger's own."""
    d, m, total = network.width, network.mlp_width, 0.0
    price = {
        "none": 0.0,
        "sram_32k": preset.sram_32k_j_per_byte,
        "sram_1m": preset.sram_1m_j_per_byte,
        "dram": preset.dram_j_per_byte,
    }
    mac = {"int4": preset.score_mac_int4_j, "int8": preset.score_mac_j, "fp16": preset.score_mac_fp16_j}[scorer.format]
    element = {"int4": 0.5, "int8": 1.0, "fp16": 2.0}[scorer.format]
    pixels = scorer.source == "pixels"
    share = tokens.kept[0] / network.tokens if pixels else 1.0
    total += network.tokens * network.pixel_values * preset.pixel_j + network.sent_bytes * preset.uplink_j_per_byte
    total += share * network.tokens * network.pixel_values * (preset.adc_j + preset.link_j_per_byte)
    total += preset.network_mac_j * (share * network.stem_macs + d * network.classes * network.head_tokens)
    rows = scorer.prototypes * (2 if scorer.differential else 1)
    scorer_bytes, programmed = [], []
    once, compared = scorer.reads == "first_layer", scorer.prototypes
    for layer in range(network.depth):
        on, n_in = scorer.layers[layer], of_layer(scorer.inputs, layer)
        if on:
            total += scorer.prototypes * front_end.reference_bits * preset.dac_j_per_bit
            if front_end.reference_bits == 0:
                total += scorer.prototypes * preset.program_j / front_end.uses
        if once and on and any(scorer.layers[:layer]):  # its bits were taken before, and wait with the token
            first = scorer.layers.index(True)
            written_and_read = tokens.kept[first] + tokens.scored[layer]
            total += written_and_read * scorer.prototypes / 8 * price[memory.tokens]
            on = False
        elif once:
            compared = scorer.prototypes * sum(scorer.layers)
        bits = of_layer(scorer.dac_bits, layer)
        scale = of_layer(front_end.full_scale_v, layer)
        looked_at = tokens.scored[layer] if on and not pixels else tokens.kept[layer]
        total += (looked_at + network.protected) * d * (2 * preset.normalise_multiply_j + 3 * preset.normalise_add_j)
        if on:
            n = tokens.scored[layer]
            entries = n_in * d
            if scorer.projection in ("learned", "gaussian"):
                total += n * entries * mac
                scorer_bytes.append(entries * element)
            elif scorer.projection == "sparse_sign":
                total += n * entries / 3 * preset.score_add_j
                scorer_bytes.append(entries / 4)
            # mean and deviation of a token that is not read as a whole are written and read beside it
            reads = min(n_in + 2 + 2, d) if scorer.projection == "selection" else d
            if not pixels:
                total += n * reads * preset.network_bytes * price[memory.tokens]
            unit = {"capacitive": preset.dac_unit_f, "fabric": preset.fabric_unit_f}.get(front_end.dac, 0.0)
            one = {
                "per_bit": bits * preset.dac_j_per_bit,
                "sar_8b": 8 * preset.dac_j_per_bit,
                "none": 0.0,
            }.get(front_end.dac, 2**bits * unit * front_end.supply_v**2 / 6)
            if front_end.converters is not None and front_end.dac != "none":
                one += preset.hold_f * front_end.supply_v * scale
            if pixels:
                one += preset.pixel_hold_f * front_end.supply_v * front_end.supply_v
            total += n * n_in * one
            current = float(front_end.bias_current_a[layer])
            on_s, mean = front_end.token_time_s, current / (rows * n_in)
            needs_s, row_a, op_amp_a, comparator_a = built_circuit(front_end, current / rows, mean, bits)
            priced = front_end.circuit == "priced"
            if front_end.core == "settling" and not priced:
                on_s = needs_s * preset.built_time
            elif front_end.core == "settling":
                gm = front_end.kappa * mean / (2 * 1.380649e-23 * front_end.temperature_k / 1.602176634e-19)
                on_s = front_end.load_f / gm * math.log(2 ** (bits + 1)) if mean > 0 else 0.0
            total += n * (current if priced else rows * row_a) * front_end.supply_v * on_s
            for row in range(rows):
                line = 0.0 if front_end.dac == "fabric" else preset.line_f
                if scorer.arrangement != "multiplexed" or row % scorer.prototypes == 0:  # held for every prototype
                    total += n * n_in * (preset.ota_dynamic_j + line * front_end.supply_v * scale)
                total += (
                    n
                    * (
                        preset.tia_w * front_end.amplifier
                        if priced
                        else op_amp_a * preset.built_op_amp * front_end.supply_v
                    )
                    * on_s
                )
                if scorer.arrangement == "multiplexed" and scorer.prototypes > 1:
                    total += n * n_in * preset.switch_j
            compared_j = (
                preset.comparator_j if priced else comparator_a * preset.built_comparator * front_end.supply_v * on_s
            )
            total += n * compared * compared_j
            programmed.append(rows * n_in)
        n, key_width = tokens.kept[layer] + network.protected, d // network.heads
        keys = n if tokens.attended is None else tokens.attended[layer] + network.protected
        products = [(n, d, d)] * 4
        products += [(n, key_width, keys), (n, keys, key_width)] * network.heads
        products += [(n, d, m), (n, m, d)]
        total += preset.network_mac_j * sum(rows_ * inner * columns for rows_, inner, columns in products)
        if preset.charges_exponentials:
            roots = looked_at + network.protected
            total += preset.exponential_j * (sum([n * keys] * network.heads) + n * m + roots)
        # into QKV, out of it, into attention, out, into the output map, out, into the MLP, hidden twice, out
        vectors = d + 3 * d + 3 * d + d + d + d + d + m + m + d
        total += n * vectors * preset.network_bytes * price[memory.tokens]
        matrices = 4 * d * d + d * m + m * d
        total += matrices * preset.network_bytes * price[memory.weights] / memory.batch
        if tokens.attended is not None:
            earlier = tokens.attended[layer] - tokens.kept[layer]
            total += 2 * d * earlier * preset.network_bytes * price[memory.cache]
    total += d * network.classes * preset.network_bytes * price[memory.weights] / memory.batch
    if scorer_bytes and not pixels:
        size = max(scorer_bytes) if scorer.shared else sum(scorer_bytes)
        smallest = "sram_32k" if size <= 32768 else "sram_1m" if size <= 1048576 else "dram"
        total += size * (0.0 if memory.tokens == "none" else price[smallest]) / memory.batch
    if programmed:
        total += sum(programmed) * preset.program_j / front_end.uses
    return total


@st.composite
def cases(draw):
    """Arguments of ``ledger`` of every structure, with prices and counts drawn at random."""
    depth, heads = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    network = NetworkShape(
        tokens=100,
        width=heads * draw(st.integers(1, 16)),
        depth=depth,
        heads=heads,
        mlp_width=draw(st.integers(1, 64)),
        classes=draw(st.integers(1, 20)),
        stem_macs=draw(st.integers(0, 10_000)),
        protected=draw(st.integers(0, 2)),
        head_tokens=draw(st.integers(1, 5)),
        pixel_values=draw(st.integers(0, 30)),
        sent_bytes=draw(st.integers(0, 30)),
    )
    several = st.lists(st.integers(1, 64), min_size=depth, max_size=depth).map(lambda v: np.array(v, float))
    dac = draw(st.sampled_from(DACS))
    few = st.lists(st.integers(1, 8), min_size=depth, max_size=depth).map(lambda v: np.array(v, float))
    scorer = ScorerShape(
        inputs=draw(st.one_of(st.integers(1, 64).map(float), several)),
        prototypes=draw(st.integers(1, 4)),
        dac_bits=draw(st.one_of(st.integers(1, 8).map(float), few)),
        projection=draw(st.sampled_from(PROJECTIONS)),
        arrangement=draw(st.sampled_from(ARRANGEMENTS)),
        layers=tuple(draw(st.lists(st.booleans(), min_size=depth, max_size=depth))),
        differential=draw(st.booleans()),
        shared=draw(st.booleans()),
        source=draw(st.sampled_from(("tokens", "pixels"))),
        format=draw(st.sampled_from(FORMATS)),
        reads=draw(st.sampled_from(READS)),
    )
    counts = st.lists(st.floats(0.0, 100.0), min_size=depth, max_size=depth).map(np.array)
    positive = st.floats(0.01, 5.0)
    currents = st.lists(st.just(0.0) | st.floats(0.01, 9.0), min_size=depth, max_size=depth).map(np.array)
    prices = EnergyPreset(
        **{entry: draw(st.floats(0.0, 5.0)) for entry in ENTRIES},
        network_bytes=draw(st.sampled_from((1.0, 2.0))),
        charges_exponentials=draw(st.booleans()),
    )
    kept = draw(counts)
    attended = kept + draw(counts) if draw(st.booleans()) else None
    front_end = FrontEnd(
        bias_current_a=draw(currents),
        supply_v=draw(positive),
        token_time_s=draw(positive),
        # A larger swing turns an OTA's transconductance down to nothing, and its settling time up without bound.
        full_scale_v=draw(st.floats(0.01, 0.3)),
        load_f=draw(positive),
        kappa=draw(st.floats(0.1, 1.0)),
        uses=draw(positive),
        dac=dac,
        converters=draw(st.sampled_from((None, 1, 4))),
        core=draw(st.sampled_from(CORES)),
        residue=True,  # no token time is too short
        circuit=draw(st.sampled_from(CIRCUITS)),
        amplifier=draw(st.booleans()),
        reference_bits=draw(st.sampled_from((0, 8))),
    )
    memories = st.sampled_from(MEMORIES)
    memory = Memory(draw(memories), draw(memories), draw(memories), batch=draw(st.integers(1, 8)))
    return prices, network, scorer, TokenCounts(draw(counts), kept, attended), front_end, memory


def physical_front_end(depth: int = 3, **changes) -> FrontEnd:
    """Nanoamperes and microseconds."""
    return FrontEnd(jnp.full((depth,), 6.4e-6), 1.0, 1e-6, **{"circuit": "priced"} | changes)
