"""What the figures show, read back from the drawn objects; nothing is rendered to pixels here."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from fake_run import edit_arrays, edit_json, write_fake_run
from matplotlib.patches import Rectangle

from atis_jax.energy.ledger import LINES, SCORING_LINES
from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.run_files import RunFiles, read_run
from atis_jax.report.style import ANALOG, DENSE, RANDOM, VERMILLION, drawing
from experiments.codesign_report import patches
from experiments.codesign_report.agreement import agreement
from experiments.codesign_report.chips import chip_accuracy
from experiments.codesign_report.contents import CODESIGN
from experiments.codesign_report.energy import NETWORK_PARTS, SCORER_PARTS, energy
from experiments.codesign_report.patches import kept_patches
from experiments.codesign_report.pruning import kept_per_layer, score_distributions
from experiments.codesign_report.sentences import PALE, kept_words
from experiments.codesign_report.tokens import kept_tokens
from experiments.codesign_report.training import training_curves
from experiments.codesign_report.transfer import dac_transfer, integral_nonlinearity, ota_transfer

OF_TEXT = "kept_tokens", "kept_words", "language"
"""Figures of runs on words, which the stored run is not."""


@pytest.fixture
def run(tmp_path):
    return write_fake_run(tmp_path / "run", layers=2, images=2, grid=4, steps=60, chips=5)


def build(builder, run):
    with drawing():
        section = builder(read_run(run, CODESIGN.arrays))
    (picture,) = section.pictures
    return picture, dict(section.absent)


def plain(text):
    return text.replace("\u00a0", " ")


def test_not_a_number_is_a_gap_a_mark_and_a_sentence(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    lines[5]["loss"] = float("nan")
    lines[6]["loss"] = None
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    picture, _ = build(training_curves, run)
    assert "'loss' was not a number at 2 steps (first at step 6): a gap in its line." in plain(picture.caption)
    lines_drawn = picture.figure.axes[0].get_lines()
    total = next(line for line in lines_drawn if line.get_label() == "total")
    gaps = np.isnan(total.get_ydata())
    assert total.get_xdata()[gaps].tolist() == [6, 7] and not gaps.all()
    mark = next(line for line in lines_drawn if line.get_label() == "not a number")
    assert mark.get_xdata().tolist() == [6, 7]


def test_many_lines_are_thinned(run):
    rng = np.random.default_rng(0)
    loss = rng.normal(1.0, 0.1, 30_000)
    (run / "metrics.jsonl").write_text(
        "".join(f'{{"step":{i},"phase":"dense","loss":{v:.4f},"accuracy":0.5}}\n' for i, v in enumerate(loss))
    )
    picture, absent = build(training_curves, run)
    line = next(line for line in picture.figure.axes[0].get_lines() if line.get_label() == "total")
    assert 200 <= len(line.get_xdata()) <= 500
    # The line is a mean of 600 draws of sigma 0.1: 6 sigma is 0.0245 (fewer at the ends: half, 0.035).
    assert np.abs(line.get_ydata() - 1.0).max() < 0.035
    assert absent == {
        "Training curve of the kept fraction": "metrics.jsonl has no 'kept_fraction'",
        "Training curve of the energy ratio": "metrics.jsonl has no 'energy_ratio'",
    }


def test_empty_metrics(run):
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(Absent, match="metrics.jsonl is empty"):
        build(training_curves, run)
    (run / "metrics.jsonl").write_text('{"step": 1, "learning_rate": 0.1}\n')
    with pytest.raises(Absent, match="has none of 'loss', 'accuracy'"):
        build(training_curves, run)


def test_controls_begin_where_the_codesign_does(run):
    """Steps 1 to 24 dense, 25 to 42 co-design in two phases, then the controls of nine steps each, drawn over it."""
    picture, _ = build(training_curves, run)
    accuracy = picture.figure.axes[1]
    drawn = {line.get_label(): line for line in accuracy.get_lines()}
    for label, steps, color in (("control: dense, longer", 9, DENSE), ("control: random", 9, RANDOM)):
        assert drawn[label].get_xdata().tolist() == list(range(25, 25 + steps)) and drawn[label].get_color() == color
    assert drawn["dense"].get_color() == DENSE and drawn["co-design"].get_color() == ANALOG
    assert accuracy.get_xlim() == (1, 43), "nothing after the co-design's own end"
    assert 50 < max(drawn["dense"].get_ydata()) <= 100, "percent, as everywhere"
    (legend,) = picture.figure.legends
    shades = [patch.get_facecolor() for patch in legend.get_patches()]
    assert [text.get_text() for text in legend.get_texts()] == ["phase: dense", "phase: soft", "phase: hard"]
    assert len(set(shades)) == len(shades)
    assert [row[0] for row in picture.table[1:]] == [
        *("dense", "soft", "hard"),
        *("control: dense, longer", "control: random"),
    ]
    assert [row[1] for row in picture.table[1:]] == ["24", "12", "6", "9", "9"]
    assert picture.table[1][4] == ""  # nothing is pruned in the dense phase, so there is no kept fraction
    assert "Controls (dense, longer and random) were trained from the same network" in picture.caption


@pytest.mark.parametrize(("layers", "first"), [(3, "layer 1"), (12, "layer 1"), (24, "layers 1 (dark)\nto 24 (pale)")])
def test_every_layer_is_named(tmp_path, layers, first):
    run = write_fake_run(tmp_path / "run", layers=layers, images=1, grid=2, steps=20, chips=1)
    picture, _ = build(training_curves, run)
    names = [text.get_text() for text in picture.figure.axes[2].get_legend().get_texts()]
    expected = [f"layer {layer + 1}" for layer in range(layers)] if layers <= 12 else [first]
    assert names == [*expected, "all layers"]


def test_phases_of_a_file_without_stages_follow_one_another(run):
    lines = [{"step": step, "phase": "random" if step > 5 else "dense", "loss": 1.0} for step in range(1, 11)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    picture, _ = build(training_curves, run)
    assert picture.figure.axes[0].get_xlim() == (1, 11) and len(picture.figure.legends[0].get_texts()) == 2


def test_tile_leaves_kept_pixels_alone_and_washes_out_the_others():
    image = np.random.default_rng(0).random((8, 8, 3)) * 0.5  # darker than the wash everywhere
    kept = np.zeros((4, 4), bool)
    kept[1, 2] = kept[3, 0] = True
    tile = patches.tile(image, kept, (4, 4))
    side = tile.shape[0] // 4
    whole = patches.tile(image, None, (4, 4))
    for row in range(4):
        for column in range(4):
            where = np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]
            if kept[row, column]:
                np.testing.assert_array_equal(tile[where], whole[where])
            else:
                assert (np.abs(tile[where] - whole[where]).sum(-1) > 0.1).all()
                # Both wash and hatch: hatch lines cover two in twelve pixels of it.
                hatched = np.isclose(tile[where], patches._HATCH).all(-1)
                assert 0.1 < hatched.mean() < 0.25
    np.testing.assert_array_equal(whole[::side, ::side], image[::2, ::2])


@pytest.mark.parametrize("grid", [(2, 3), (3, 1)])
def test_a_tile_of_rows_and_columns_puts_each_patch_in_its_place(grid):
    rows, columns = grid
    image = np.zeros((2 * rows, 2 * columns, 1))
    kept = np.ones(grid, bool)
    kept[rows - 1, 0] = False
    tile = patches.tile(image, kept, grid)
    side = tile.shape[0] // rows
    assert tile.shape == (side * rows, side * columns, 3)
    dropped = tile.any(-1).reshape(rows, side, columns, side).any((1, 3))
    np.testing.assert_array_equal(dropped, ~kept)


def test_patches_of_images_that_are_no_squares(run):
    edit_arrays(run / "artifacts.npz", grid=np.array([2, 8]), images=np.zeros((2, 4, 16, 3)))
    picture, _ = build(kept_patches, run)
    assert picture.figure.axes[1].get_images()[0].get_array().shape[:2] == (56, 224)
    edit_arrays(run / "artifacts.npz", grid=np.array([3, 8]))
    with pytest.raises(ReportError, match="16 patches an image, but 'grid' says 3 x 8"):
        build(kept_patches, run)


def test_kept_tokens_are_a_row_a_layer_and_padding_is_blank(run):
    kept, real = np.ones((2, 2, 16), bool), np.ones((2, 16), bool)
    kept[:, 1, 4:], real[0, 8:] = False, False
    edit_arrays(run / "artifacts.npz", images=None, kept=kept, real=real)
    edit_json(run / "summary.json", dataset={"unit": "sentence"})
    picture, _ = build(kept_tokens, run)
    state = picture.figure.axes[0].collections[0].get_array()
    np.testing.assert_array_equal(state, [[2] * 8 + [0] * 8, [2] * 4 + [1] * 4 + [0] * 8])
    assert "works on 33 % of the tokens" in plain(picture.caption), "4 of 8 and 4 of 16"


def test_words_that_a_layer_drops_are_struck_out_and_pieces_stand_together(run):
    words = np.array([["[CLS]", "a", "jog", "##ger", "runs", "[SEP]", "", ""]] * 2)
    real, protected = words != "", (words == "[CLS]") | (words == "[SEP]")
    kept = np.repeat(real[:, None], 2, axis=1)
    kept[0, 0, 1] = kept[0, 1, 1:3] = False
    edit_arrays(
        run / "artifacts.npz", images=None, score_v=None, words=words, real=real, protected=protected, kept=kept
    )
    edit_json(run / "summary.json", dataset={"unit": "sentence"})
    picture, _ = build(kept_words, run)
    (axes,) = picture.figure.axes
    shown = [text.get_text() for text in axes.texts]
    assert [text for text in shown if text.startswith("layer")] == [
        f"layer {n}" for n in ("1: 3/4", "2: 2/4", "1: 4/4", "2: 4/4")
    ]
    assert "[CLS]" not in shown and shown.count("ger") == 4
    struck, colors = [line.get_xdata() for line in axes.get_lines()], [line.get_color() for line in axes.get_lines()]
    assert colors == [VERMILLION, PALE, VERMILLION], "a, then a again and jog, which is dropped now"
    places = {text.get_text(): text.get_position()[0] for text in axes.texts}
    assert struck[2][0] == places["jog"] and struck[2][1] == pytest.approx(places["ger"]), "no space in between"
    assert "works on 75 % of the words" in plain(picture.caption)
    names = [
        name for entry in CODESIGN.sections if entry.meant(read_run(run, CODESIGN.arrays)) for name in entry.figures
    ]
    assert "kept_words" in names and "kept_tokens" not in names


@pytest.mark.parametrize(("unit", "name"), [(None, "kept_patches"), ("image", "kept_patches"), ("text", "kept_tokens")])
def test_only_images_have_patches(unit, name):
    run = RunFiles(Path("x"), summary={"dataset": {"unit": unit}})
    names = [name for entry in CODESIGN.sections if entry.meant(run) for name in entry.figures]
    assert {"kept_patches", "kept_tokens"} & set(names) == {name}


@pytest.mark.parametrize(("layers", "images", "tiles"), [(1, 9, 16), (7, 1, 8)])
def test_patch_grid(tmp_path, layers, images, tiles):
    run = write_fake_run(tmp_path / "run", layers=layers, images=images, grid=3, steps=2)
    picture, absent = build(kept_patches, run)
    assert sum(axes.axison for axes in picture.figure.axes) == tiles  # at most eight images
    assert absent == {}
    assert ("The first 8 of 9 stored images are shown." in picture.caption) == (images == 9)


def test_patches_say_when_masks_do_not_cascade_and_when_shapes_make_no_picture(run):
    kept = np.zeros((2, 2, 16), bool)
    kept[:, 1, :3] = True
    edit_arrays(run / "artifacts.npz", kept=kept, labels=None)
    picture, absent = build(kept_patches, run)
    assert "Careful: 6 patches reappear" in plain(picture.caption)
    assert absent == {"True labels beside the images": "artifacts.npz has no array 'labels'"}
    edit_arrays(run / "artifacts.npz", kept=np.ones((2, 2, 15), bool), score_v=None)
    with pytest.raises(ReportError, match="15 patches an image, which is not a square"):
        build(kept_patches, run)
    edit_arrays(run / "artifacts.npz", images=np.zeros((2, 16, 16, 2)))
    with pytest.raises(ReportError, match="2 channels"):
        build(kept_patches, run)


def test_strange_class_names_stay_text(run):
    edit_json(run / "summary.json", class_names=["$\\frac{", "<b>\n"] * 5)
    picture, _ = build(kept_patches, run)
    labels = " ".join(axes.get_ylabel() for axes in picture.figure.axes)
    assert "$\\frac{" in labels or "<b>" in labels
    with drawing():
        picture.figure.draw_without_rendering()  # a formula parser would stop here


def test_kept_per_layer_says_the_farthest_layer(run):
    mean, target = np.array([0.8, 0.3]), np.array([0.78, 0.4])
    edit_arrays(run / "artifacts.npz", kept_per_layer_mean=mean, kept_target=target, kept_per_layer_std=None)
    picture, absent = build(kept_per_layer, run)
    assert "Averaged over layers 55.0 % of the patches are kept, in the last layer 30.0 %" in plain(picture.caption)
    assert "farthest from its target is layer 2, by 10 points" in plain(picture.caption)
    assert absent == {"Spread of the kept fraction over chips": "artifacts.npz has no array 'kept_per_layer_std'"}


def test_decisions_against_the_threshold_are_counted(run):
    edges = np.tile(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), (2, 1)) * 1e-3
    keep = np.array([[0, 10, 30, 40], [0, 0, 50, 50]])
    prune = np.array([[50, 40, 20, 10], [60, 40, 0, 0]])
    edit_arrays(
        run / "artifacts.npz",
        score_hist_v=edges,
        score_hist_keep=keep,
        score_hist_prune=prune,
        threshold_v=np.zeros((2, 1)),
    )
    picture, _ = build(score_distributions, run)
    # 10 kept below and 30 pruned above zero of 400 decisions.
    assert "10.0 % of the decisions fall on the other side" in plain(picture.caption)
    assert "keeps 40 % to 50 %" in plain(picture.caption)
    assert "score voltage (mV)" in {axes.get_xlabel() for axes in picture.figure.axes}


def test_layers_without_a_scorer_have_no_panel_of_scores(run):
    """Nothing was scored in the first of two: no empty histogram, no threshold of an array that is not there."""
    keep, prune = np.array([[0, 0, 0, 0], [0, 10, 30, 40]]), np.array([[0, 0, 0, 0], [50, 40, 20, 10]])
    edges = np.tile(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), (2, 1)) * 1e-3
    arrays = dict(
        score_hist_v=edges, score_hist_keep=keep, score_hist_prune=prune, threshold_v=np.array([[9.0], [0.0]])
    )
    edit_arrays(run / "artifacts.npz", **arrays)
    picture, _ = build(score_distributions, run)
    assert [axes.get_title(loc="left") for axes in picture.figure.axes] == ["layer 2"]
    # 10 kept below and 30 pruned above zero of 200 decisions; the first layer's threshold is nobody's.
    assert "20.0 % of the decisions fall on the other side" in plain(picture.caption)
    assert "keeps 40 %." in plain(picture.caption) and "narrowest" not in picture.caption
    edit_arrays(run / "artifacts.npz", score_hist_keep=0 * keep, score_hist_prune=0 * prune)
    with pytest.raises(Absent, match="count no token"):
        score_distributions(read_run(run, CODESIGN.arrays))


@pytest.mark.parametrize("chips", [1, 2, 64])
def test_chips(tmp_path, chips):
    run = write_fake_run(tmp_path / "run", layers=1, images=1, grid=3, steps=2, chips=chips)
    picture, absent = build(chip_accuracy, run)
    with np.load(run / "artifacts.npz") as arrays:
        accuracy = arrays["chip_accuracy"]
    assert f"worst {100 * accuracy.min():.1f} %" in plain(picture.caption)
    axes = picture.figure.axes[0]
    # One standard error of 95 % on 2,000 images is 0.5 points either way; chips differ by a fifth of that or less.
    assert axes.get_xlim()[0] < accuracy.mean() - 0.0048 and axes.get_xlim()[1] > accuracy.mean() + 0.0048
    (band,) = [patch for patch in axes.patches if "standard error" in str(patch.get_label())]
    assert band.get_width() == pytest.approx(2 * math.sqrt(accuracy.mean() * (1 - accuracy.mean()) / 2000))
    assert ("less than the sampling error of 0.5 points" in plain(picture.caption)) == (chips > 1)
    assert len(picture.figure.axes) == (1 if chips == 1 else 2)
    assert set(absent) == ({"Accuracy against temperature"} if chips == 1 else set())


def test_energy_lines_are_the_ledgers():
    assert set(SCORER_PARTS) == set(SCORING_LINES)
    assert set(SCORER_PARTS) | set(NETWORK_PARTS) == set(LINES)


def test_waterfall_adds_up(run):
    summary = json.loads((run / "summary.json").read_text())["energy"]
    picture, absent = build(energy, run)
    assert absent == {}
    axes = picture.figure.axes[0]
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    widths = {label: bar.get_width() * 1e-6 for label, bar in zip(labels, bars, strict=True)}
    assert "(µJ)" in axes.get_xlabel()
    parts = ("embedding, head", "normalisation", "attention", "MLP", "analog scorer")
    assert math.isclose(sum(widths[label] for label in parts), summary["total_j"], rel_tol=1e-9)
    assert math.isclose(widths["dense, no scorer"], summary["dense_j"], rel_tol=1e-9)
    start = 0.0
    for label, bar in zip(labels[:5], bars, strict=False):
        assert math.isclose(bar.get_x(), start, rel_tol=1e-9, abs_tol=1e-12), label
        start += bar.get_width()
    zoomed = [label.get_text() for label in picture.figure.axes[1].get_yticklabels()]
    assert zoomed[0] == "projection" and "digital scorer, all of it" in zoomed and "prototype switching" not in zoomed
    assert picture.figure.axes[1].get_xscale() == "log"


def test_energy_without_references_and_with_a_total_that_disagrees(run):
    ledger = {"ota": 6.4e-12, "mlp": 1e-6, "cooling": 5e-7}
    edit_json(run / "summary.json", energy=None)
    with pytest.raises(Absent, match="summary.json has no 'energy.ledger_j'"):
        build(energy, run)
    edit_json(run / "summary.json", energy={"ledger_j": ledger, "total_j": 3e-6})
    picture, absent = build(energy, run)
    assert len(absent) == 3
    assert "Careful: summary.json states a total of 3.00 µJ, the parts add up to 1.50 µJ." in plain(picture.caption)
    assert "cooling" in [label.get_text() for label in picture.figure.axes[0].get_yticklabels()]
    edit_json(run / "summary.json", energy={"ledger_j": {"ota": -1.0}})
    with pytest.raises(ReportError, match="'energy.ledger_j.ota' is -1.0; expected joules, at least 0"):
        build(energy, run)


def test_inl_of_a_bowed_converter():
    code = np.arange(16.0)
    bow = 0.01 * code * (15 - code)  # zero at both ends, so it is the INL in LSB
    volts = np.stack([0.2 * (code + bow) - 1.0, -3.0 * (code - bow)])
    np.testing.assert_allclose(integral_nonlinearity(volts), [bow, -bow], atol=1e-12)


def test_transfer_captions(run):
    voltage = np.linspace(-0.1, 0.1, 41)
    offsets = np.array([-0.005, 0.005])
    edit_arrays(
        run / "artifacts.npz",
        ota_v=voltage,
        ota_current=1e-8 * (voltage - offsets[:, None]) / 0.1,
        ota_current_nominal=1e-8 * voltage / 0.1,
        dac_code=np.arange(4),
        dac_v=np.array([[0.0, 2.0, 1.0, 3.0]]),
        dac_v_nominal=None,
    )
    picture, _ = build(ota_transfer, run)
    # Two offsets of -+5 mV: sample standard deviation 5 sqrt(2) mV; 5 mV of 100 mV is 5 % of the current.
    assert "standard deviation of 7.07 mV" in plain(picture.caption)
    assert "at 27 °C" in picture.caption and "is 5.0 % of the largest" in plain(picture.caption)
    picture, absent = build(dac_transfer, run)
    assert "is 1.0 LSB, the worst differential one 2.0 LSB" in picture.caption
    assert "1 of them go backwards" in picture.caption
    assert absent == {"Nominal DAC curve": "artifacts.npz has no array 'dac_v_nominal'"}


def test_agreement_with_layers_that_have_no_value(run):
    edit_arrays(
        run / "artifacts.npz",
        agreement_layer_spearman=np.array([np.nan, 0.4]),
        agreement_recall=np.array([np.nan, 0.7]),
        kept_per_layer_mean=np.array([1.0, 0.5]),
    )
    picture, _ = build(agreement, run)
    assert "dense network: 0.40." in picture.caption
    assert "20 points, in layer 2" in plain(picture.caption)
    assert "n/a" in [text.get_text() for text in picture.figure.axes[0].texts]


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 12])
def test_every_axis_has_a_name(tmp_path, layers):
    run = write_fake_run(tmp_path / "run", layers=layers, images=1, grid=3, steps=40)
    for entry in (entry for entry in CODESIGN.sections if entry.figures[0] not in OF_TEXT):
        picture, absent = build(entry.build, run)
        assert picture.caption and picture.alt and absent == {}, entry.title
        if picture.name == "kept_patches":
            continue
        for axes in picture.figure.axes:
            shared = axes.get_shared_x_axes().get_siblings(axes)
            assert any(other.get_xlabel() for other in shared) or picture.name == "scores", entry.title
            assert axes.get_ylabel() or picture.name in ("scores", "energy"), entry.title
