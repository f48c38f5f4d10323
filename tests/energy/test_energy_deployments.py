"""Deployments: what each contender is charged, which constant a comparison hangs on, where it turns, and maps of it."""

import dataclasses

import jax
import numpy as np
import pytest

from atis_jax.energy.baselines import dense_ledger
from atis_jax.energy.breakeven import axes, break_even_map
from atis_jax.energy.certainty import certainty, drawn_ledgers
from atis_jax.energy.deployments import (
    CONTENDERS,
    PAPER_POINT,
    DeploymentSpec,
    PointSpec,
    circuits_ratio,
    contender,
    deployment_ledgers,
    deployment_network,
    deployment_scorer,
    deployment_tokens,
    differing_lines,
    kept_fractions,
    recipe_of,
    spending_ratio,
)
from atis_jax.energy.presets import Term, constants_of, energy_preset, made_of, provenance
from atis_jax.energy.sensitivity import break_even, range_of, swings
from atis_jax.energy.shapes import NetworkShape
from atis_jax.validation import SettingError

OWN = NetworkShape(
    tokens=64, width=64, depth=3, heads=2, mlp_width=128, classes=10, stem_macs=64 * 16 * 64, pixel_values=16
)
CODESIGNED = PointSpec(inputs=16, bits=4, projection="selection", core="settling")
POINTS = {"paper": PAPER_POINT, "codesigned": CODESIGNED}
CAMERA = DeploymentSpec(network="deit_ti", preset="horowitz_45nm", weights="dram", tokens="sram_1m")
SENSOR = DeploymentSpec(network="own", source="pixels", preset="horowitz_45nm", kept=0.4)


@pytest.fixture(scope="module")
def camera():
    return deployment_ledgers(CAMERA, POINTS)


@pytest.fixture(scope="module")
def sensor():
    return deployment_ledgers(SENSOR, POINTS, OWN)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "pixels", "network": "bert_base"}, "source = 'pixels' with network 'bert_base'"),
        ({"mode": "decode", "network": "bert_base"}, "mode = 'decode' with network 'bert_base', an encoder"),
        ({"mode": "decode", "network": "vit_b"}, "use gpt2"),
        ({"kept": 0.0}, "deployment.kept"),
        ({"woken": 0.5}, "woken = 0.5 with deployment.source = 'tokens'"),
        ({"preset": "horowitz"}, "deployment.preset"),
    ],
)
def test_a_deployment_that_cannot_be_is_refused(changes, words):
    with pytest.raises(SettingError, match=words):
        DeploymentSpec(**{"preset": "horowitz_45nm", **changes})


def test_own_network_needs_its_shape():
    with pytest.raises(SettingError, match="'own' without the shape"):
        deployment_ledgers(SENSOR, POINTS)


@pytest.mark.slow
def test_dense_is_the_dense_ledger_without_a_scorer(camera):
    network = deployment_network(CAMERA)
    expected = dense_ledger(energy_preset("horowitz_45nm"), network, CAMERA.memory())
    for line, joules in expected.as_dict().items():
        assert float(camera["dense"].as_dict()[line]) == pytest.approx(float(joules), rel=1e-6), line
    assert float(camera["dense"].scoring_j) == 0.0


def test_contenders_that_prune_share_everything_but_the_scoring(camera):
    """On tokens the scorer decides nothing but its own lines: all prune the same."""
    rest = {who: float(one.total_j - one.scoring_j) for who, one in camera.items() if who != "dense"}
    assert set(camera) == set(CONTENDERS) - {"coarse"}, "no camera converts tokens"
    assert max(rest.values()) == pytest.approx(min(rest.values()), rel=1e-5)
    assert all(float(camera[who].total_j) < float(camera["dense"].total_j) for who in rest)
    assert float(camera["folded"].scoring_j) < float(camera["digital"].scoring_j)


def test_before_the_converters_only_kept_patches_are_converted(sensor):
    """64 patches of 16 pixels at 25.6 pJ a conversion: all of them for a digital score, 0.4 for an analog one, which
    holds all of them on 1 pF at its 1 V; and for a coarse score all at 3 bits, 1.649^-5 of that (FORMS, ISAAC)."""
    all_j = 64 * 16 * 25.6e-12
    for who in ("dense", "digital", "folded", "codesigned_digital"):
        assert float(sensor[who].sensor_adc_j) == pytest.approx(all_j, rel=1e-3), who
    for who in ("paper", "codesigned"):
        assert float(sensor[who].sensor_adc_j) == pytest.approx(0.4 * all_j, rel=1e-3), who
        assert float(sensor[who].dac_j) == pytest.approx(64 * 16 * 1e-12, rel=1e-6), "pixels are voltages already"
    few = (0.226 / 1.67) ** (5 / 4)
    assert float(sensor["coarse"].sensor_adc_j) == pytest.approx((few + 0.4) * all_j, rel=1e-3)
    assert float(sensor["coarse"].sensor_read_j) == pytest.approx(1.4 * float(sensor["dense"].sensor_read_j), rel=1e-6)
    assert float(sensor["coarse"].score_j) < float(sensor["codesigned_digital"].score_j), "in int4"


def test_a_network_that_sleeps_is_charged_for_reading_and_scoring_alone(sensor):
    """Of a hundred frames ninety-nine wake nothing: their pixels are read, held and scored, or converted and scored."""
    spec = dataclasses.replace(SENSOR, woken=0.01)
    mean = deployment_ledgers(spec, POINTS, OWN)
    for who, awake in sensor.items():
        lines, always = mean[who].as_dict(), awake.as_dict()
        rate = 1.0 if who == "dense" else 0.01
        for line in ("attention", "mlp", "embedding", "sensor_link", "normalisation"):
            assert float(lines[line]) == pytest.approx(rate * float(always[line]), rel=1e-5), (who, line)
        for line in ("dac", "ota", "tia", "score", "comparator"):
            assert float(lines[line]) == pytest.approx(float(always[line]), rel=1e-5), (who, line)
    all_j, few = 64 * 16 * 25.6e-12, (0.226 / 1.67) ** (5 / 4)
    converted = {"codesigned": 0.01 * 0.4, "codesigned_digital": 1.0, "coarse": few + 0.01 * 0.4}
    for who, share in converted.items():
        assert float(mean[who].sensor_adc_j) == pytest.approx(share * all_j, rel=1e-3), who
    assert float(mean["coarse"].sensor_read_j) == pytest.approx(1.004 * float(mean["dense"].sensor_read_j), rel=1e-5)


def test_what_both_read_is_no_part_of_a_circuit(camera):
    """Both read the same eighteen numbers of a token; the twin its own weights too, and they stay."""
    ours, theirs = camera["codesigned"], camera["codesigned_digital"]
    read_j = float(ours.scorer_memory_j)
    mine, other = (float(one.scoring_j) - read_j for one in (ours, theirs))
    assert circuits_ratio(ours, theirs) == pytest.approx(mine / other, rel=1e-3)
    assert spending_ratio(ours, theirs, "codesigned_digital") == pytest.approx(mine / other, rel=1e-3)
    assert mine / other > float(ours.scoring_j) / float(theirs.scoring_j) > 1.0


@pytest.mark.slow
def test_draws_of_all_constants_are_those_of_each_ledger_alone():
    """Two draws again by the presets themselves; and how often a verdict holds, counted by hand."""
    network = deployment_network(SENSOR, OWN)
    drawn = drawn_ledgers(SENSOR, network, POINTS, jax.random.key(0), 3)
    ends = np.array([range_of(one)[:2] for one in drawn.constants])
    shares = np.asarray(jax.random.uniform(jax.random.key(0), (3, len(ends))))
    values = ends[:, 0] * (ends[:, 1] / ends[:, 0]) ** shares
    totals = {who: [] for who in ("codesigned", "coarse")}
    for value in values:
        recipe = recipe_of(SENSOR, CODESIGNED)
        used = set(constants_of(recipe))
        at = {one: float(v) for one, v in zip(drawn.constants, value, strict=True) if one in used}
        for who, found in totals.items():
            found.append(contender(who, SENSOR, network, POINTS, made_of(recipe, "horowitz_45nm", at)))
    for who, found in totals.items():
        expected = np.array([[float(v) for v in one.as_dict().values()] for one in found])
        np.testing.assert_allclose(drawn.lines_j[who], expected, rtol=1e-4, atol=1e-18)
    ours, theirs = (np.array([float(one.total_j) for one in totals[who]]) for who in ("codesigned", "coarse"))
    usual = deployment_ledgers(SENSOR, POINTS, OWN)
    sure = certainty(drawn, "codesigned", "coarse", differing_lines(usual["codesigned"], usual["coarse"], "coarse"))
    assert (sure.draws, sure.wins) == (3, int(np.sum(ours < theirs)))
    assert sure.saved == pytest.approx(tuple(np.quantile(1 - ours / theirs, (0.05, 0.5, 0.95))), abs=1e-5)


def test_what_is_kept_falls_evenly_in_logarithm_unless_it_is_pixels():
    falling = kept_fractions(dataclasses.replace(CAMERA, kept=0.25), 4)
    assert falling == pytest.approx([0.25**0.25, 0.5, 0.25**0.75, 0.25])
    assert kept_fractions(dataclasses.replace(CAMERA, falling=False), 3) == [0.3] * 3
    assert kept_fractions(SENSOR, 3) == [0.4] * 3


def test_a_decoder_scores_one_token_and_attends_to_what_its_cache_kept():
    spec = DeploymentSpec(network="gpt2", mode="decode", length=1024, preset="jouppi_7nm_fp16", kept=0.5, falling=False)
    tokens = deployment_tokens(spec, deployment_network(spec), pruned=True)
    assert np.all(np.asarray(tokens.scored) == 1) and np.all(np.asarray(tokens.kept) == 1)
    assert np.asarray(tokens.attended) == pytest.approx(512.0)


def ratio_of_scoring(preset):
    """Of the co-designed circuit with the preset's op-amp and comparator: its verdict turns on a price."""
    priced = dataclasses.replace(CODESIGNED, circuit="priced")
    network, points = deployment_network(CAMERA), {"paper": PAPER_POINT, "codesigned": priced}
    ours, theirs = (contender(who, CAMERA, network, points, preset) for who in ("codesigned", "codesigned_digital"))
    return float(ours.scoring_j) / float(theirs.scoring_j)


@pytest.fixture(scope="module")
def camera_swings():
    recipe = recipe_of(CAMERA, CODESIGNED)
    return recipe, swings(recipe, "horowitz_45nm", ratio_of_scoring)


def test_swings_are_ranked_deciders_first_then_by_size(camera_swings):
    _, found = camera_swings
    decides = [swing.decides for swing in found]
    assert decides == sorted(decides, reverse=True) and decides[0], "the converter's price decides here"
    for group in (True, False):
        sizes = [swing.decades for swing in found if swing.decides is group]
        assert sizes == sorted(sizes, reverse=True)
    assert all(swing.over[0] < swing.constant.value < swing.over[1] for swing in found if swing.assumed)
    assumed = next(swing for swing in found if swing.assumed)
    assert assumed.over == (assumed.constant.value / 2, assumed.constant.value * 2)


def test_at_the_break_even_value_both_take_the_same(camera_swings):
    recipe, found = camera_swings
    first = found[0].constant
    value = break_even(recipe, "horowitz_45nm", first, ratio_of_scoring)
    assert value is not None
    assert ratio_of_scoring(made_of(recipe, "horowitz_45nm", {first: value})) == pytest.approx(1.0, rel=1e-3)
    assert (found[0].over[0] < value < found[0].over[1]) is found[0].decides


def test_no_break_even_where_the_winner_is_the_same_at_both_ends():
    recipe = provenance("horowitz_45nm")
    constant = recipe["dram_j_per_byte"][0].constant
    assert break_even(recipe, "horowitz_45nm", constant, lambda preset: 0.5) is None


def test_a_break_even_inside_a_range_wider_than_the_search_is_found():
    recipe = provenance("horowitz_45nm")
    given = recipe["program_j"][0].constant
    wide = dataclasses.replace(given, low=given.value / 1e5, high=given.value * 1e5)
    recipe["program_j"] = (Term(wide),)
    for turn in (wide.value / 3e4, wide.value * 3e4):
        found = break_even(recipe, "wide", wide, lambda preset, turn=turn: preset.program_j / turn)
        assert found == pytest.approx(turn, rel=1e-6)


def test_a_map_passes_through_the_design_and_moves_what_it_says():
    """The place of the map nearest to the design is the design; dearer converters never make analog cheaper."""
    points = {"paper": PAPER_POINT, "codesigned": CODESIGNED}
    found = break_even_map(CAMERA, points, "dac_energy", "inputs", 3, against=("dense", "folded", "codesigned_digital"))
    own = found.x.at(found.place)
    assert own == pytest.approx(2.91e-13 / 8, rel=1e-3) and found.y.at(found.place) == 16
    ratio = found.ratio["codesigned_digital"]
    assert ratio.shape == (len(found.y.values), len(found.x.values))
    assert ratio.shape[0] > 2 and np.all(np.isnan(ratio[-1])), "1,024 of 384 dimensions cannot be selected"
    assert np.all(np.diff(ratio[:-1], axis=1) > 0)
    assert not np.allclose(found.ratio["folded"][0], ratio[0]), "the paper's score is another"
    moved = dataclasses.replace(CODESIGNED, inputs=round(found.y.values[1]), dac_j_per_bit=found.x.values[0])
    points = {"paper": PAPER_POINT, "codesigned": moved}
    network = deployment_network(CAMERA)
    ours, theirs = (contender(who, CAMERA, network, points) for who in ("codesigned", "codesigned_digital"))
    assert ratio[1, 0] == pytest.approx(circuits_ratio(ours, theirs), rel=1e-4)


def test_every_axis_says_where_a_design_stands():
    points = {"paper": PAPER_POINT, "codesigned": CODESIGNED}
    place = break_even_map(CAMERA, points, "bits", "pruned", 2, against=("dense",)).place
    for name, axis in axes(3).items():
        own = axis.at(place)
        assert own is not None and own > 0, name
        assert list(axis.values) == sorted(axis.values)
    mixed = dataclasses.replace(place, spec=dataclasses.replace(CAMERA, preset="paper_4_2"))
    assert axes(3)["node"].at(mixed) is None, "the paper's prices name no node"


def test_an_axis_that_changes_nothing_is_refused():
    settled = dataclasses.replace(CODESIGNED, core="settling")
    points = {"paper": PAPER_POINT, "codesigned": settled}
    with pytest.raises(SettingError, match="axis 'token_time' changes nothing"):
        break_even_map(CAMERA, points, "token_time", "inputs", 3, against=("codesigned_digital",))
    for dac, axis in (("none", "bits"), ("capacitive", "dac_energy")):
        points = {"paper": PAPER_POINT, "codesigned": dataclasses.replace(CODESIGNED, dac=dac)}
        with pytest.raises(SettingError, match=f"axis '{axis}' changes nothing"):
            break_even_map(CAMERA, points, axis, "inputs", 3, against=("codesigned_digital",))


@pytest.mark.slow
def test_places_where_no_design_can_be_are_holes_in_the_map():
    """More numbers than a token has; more inputs than a patch has pixels. The design itself has to be one."""
    wide = {"paper": PAPER_POINT, "codesigned": dataclasses.replace(CODESIGNED, inputs=100)}
    found = break_even_map(CAMERA, wide, "width", "bits", 2, against=("codesigned_digital",))
    holes = np.isnan(found.ratio["codesigned_digital"])
    np.testing.assert_array_equal(holes[0], np.asarray(found.x.values) < 100)
    assert np.all(holes == holes[0])
    sensor = break_even_map(SENSOR, POINTS, "inputs", "pruned", 4, OWN, against=("codesigned_digital",))
    np.testing.assert_array_equal(
        np.isnan(sensor.ratio["codesigned_digital"])[0], np.asarray(sensor.x.values) > OWN.pixel_values
    )


@pytest.mark.slow
def test_only_a_vits_stem_goes_with_the_length():
    """Patches are embedded one by one; a pooler reads one token, and has d x d numbers."""
    points = {"paper": PAPER_POINT, "codesigned": CODESIGNED}
    bert = dataclasses.replace(CAMERA, network="bert_base")
    for spec, longer, wider in ((CAMERA, 2.0, 2.0), (bert, 1.0, 4.0)):
        place = break_even_map(spec, points, "length", "width", 2, against=("dense",)).place
        stem, every = place.network.stem_macs, axes(2)
        assert every["length"].move(place, 2.0 * place.network.tokens).network.stem_macs == pytest.approx(longer * stem)
        assert every["width"].move(place, 2.0 * place.network.width).network.stem_macs == pytest.approx(wider * stem)


def test_the_node_of_the_papers_prices_cannot_be_moved():
    points = {"paper": PAPER_POINT, "codesigned": CODESIGNED}
    paper = dataclasses.replace(CAMERA, preset="paper_4_2")
    with pytest.raises(SettingError, match="axis 'node' with preset 'paper_4_2'"):
        break_even_map(paper, points, "node", "inputs", 2, against=("dense",))


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (dict(inputs=1000, projection="selection"), "point.inputs = 1000 with point.projection = 'selection'"),
        (dict(dac="sar_8b", bits=9), "point.bits = 9 with point.dac = 'sar_8b'"),
        (dict(dac="capacitive", dac_j_per_bit=1e-12), "point.dac_j_per_bit = 1e-12 with point.dac = 'capacitive'"),
    ],
)
def test_a_design_point_that_cannot_be_is_refused(point, message):
    with pytest.raises(SettingError, match=message):
        deployment_scorer(CAMERA, PointSpec(**point), deployment_network(CAMERA))


def test_the_digital_twin_takes_the_cheaper_form():
    """Four sparse sums of a narrow token cost less than one vector of multiplications; of a wide array folding wins."""
    few, many = (dataclasses.replace(CODESIGNED, projection="sparse_sign", inputs=n) for n in (2, 64))
    network = deployment_network(CAMERA)
    for point, cheaper in ((few, "digital"), (many, "folded")):
        points = {"paper": point, "codesigned": point}
        found = {name: float(contender(name, CAMERA, network, points).scoring_j) for name in ("digital", "folded")}
        twin = float(contender("codesigned_digital", CAMERA, network, points).scoring_j)
        assert twin == min(found.values()) == found[cheaper]
