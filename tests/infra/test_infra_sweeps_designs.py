"""Designs of a sweep: seeds are repeats, means are ranked, and what chance alone may have done is called so."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy import stats

from atis_jax.formatting import sampling_error
from experiments.seeds import Repeats, least_difference, table_decimals
from experiments.sweeps import figures, page
from experiments.sweeps.designs import designs_of, ranking
from experiments.sweeps.row import Row
from experiments.wording import change, over_seeds, single

METRIC = "accuracy.hardware_mean"
EXAMPLES = 2000


@pytest.fixture(autouse=True)
def drawn(monkeypatch) -> list:
    """The figures of a page, not turned into pixels; the tests of table and front do that."""
    found: list = []
    monkeypatch.setattr(figures.style, "png_bytes", lambda figure: found.append(figure) or b"picture")
    return found


def run(fields, accuracy, examples=EXAMPLES, **numbers) -> Row:
    """A finished run; a waiting one without accuracy."""
    found = {} if accuracy is None else {METRIC: accuracy, **numbers}
    if accuracy is not None and examples:
        found["dataset.examples"] = examples
    design = ",".join(f"{name}={value}" for name, value in fields.items() if name != "seed") or "unchanged config"
    name = ",".join(f"{name}={value}" for name, value in fields.items())
    return Row(name, design, fields, "finished" if found else "waiting", found, 1.0, 0, "", "")


def text_of(html: str) -> str:
    return re.sub(r"<[^>]+>", "", re.sub(r"<style>.*?</style>|data:image[^\"]*", "", html, flags=re.S)).replace(
        "\u00a0", " "
    )


def test_runs_that_differ_in_the_seed_alone_are_one_design():
    table = [run({"inputs": n, "kept": [0.5, 0.4], "seed": s}, 0.9 + 0.01 * s) for s in (0, 1, 2) for n in (8, 32)]
    table.append(run({"inputs": 8, "kept": [0.5, 0.4], "seed": 3}, None))
    designs = designs_of(table)
    assert [design.name for design in designs] == ["inputs=8,kept=[0.5, 0.4]", "inputs=32,kept=[0.5, 0.4]"]
    assert [len(design.rows) for design in designs] == [4, 3]
    (repeats,) = designs[0].repeats(METRIC)
    assert (repeats.n, repeats.mean) == (3, pytest.approx(0.91))
    assert repeats.spread == pytest.approx(np.std([0.90, 0.91, 0.92], ddof=1))
    assert designs[0].fields == {"inputs": 8, "kept": [0.5, 0.4]}


def test_equal_values_of_another_type_are_one_design_and_true_is_not_one():
    assert len(designs_of([run({"rate": 1, "seed": 0}, 0.9), run({"rate": 1.0, "seed": 1}, 0.9)])) == 1
    assert len(designs_of([run({"rate": 1, "seed": 0}, 0.9), run({"rate": True, "seed": 1}, 0.9)])) == 2


def test_the_mean_is_ranked_and_not_the_best_seed():
    table = [run({"inputs": 8, "seed": s}, a) for s, a in enumerate((0.99, 0.80, 0.80))]
    table += [run({"inputs": 16, "seed": s}, 0.93) for s in range(3)]
    assert [one.design.fields["inputs"] for one in ranking(designs_of(table), METRIC)] == [16, 8]


def test_what_chance_may_have_done_is_the_t_test_of_the_seeds_and_the_error_of_the_examples():
    first, second = (0.95, 0.94, 0.96), (0.93, 0.945)
    expected = stats.ttest_ind(first, second)
    interval = expected.confidence_interval(0.95)
    assert least_difference(Repeats(first), Repeats(second), None) == pytest.approx((interval.high - interval.low) / 2)
    # One seed each: the difference of two proportions.
    z = stats.norm.ppf(0.975)
    expected = z * math.sqrt((0.95 * 0.05 + 0.9 * 0.1) / 1000)
    assert least_difference(Repeats((0.95,)), Repeats((0.9,)), 1000) == pytest.approx(expected)
    assert least_difference(Repeats((0.95,)), Repeats((0.9,)), None) is None


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([0.949], "The other cannot be told from it."),
        ([0.949, 0.80], "1 of the 2 others cannot be told from it."),
        ([0.80, 0.70], "Every other is lower by more than chance."),
        ([0.949, 0.948], "None of the others can be told from it."),
    ],
)
def test_the_page_says_which_designs_cannot_be_told_from_the_first(tmp_path, others, said):
    table = [run({"inputs": n, "seed": s}, a) for n, a in enumerate([0.95, *others]) for s in (0, 1)]
    text = text_of(page.render(tmp_path, table, METRIC))
    assert said in text and f"{len(others) + 1} designs" in text
    assert text.count("(not distinguishable)") == sum(accuracy > 0.9 for accuracy in others)
    assert "One standard error of an accuracy on 2,000 evaluated examples is 0.49 points." in text


def test_a_sweep_of_seeds_is_one_design_without_rank_or_curve(tmp_path):
    table = [run({"seed": seed}, accuracy) for seed, accuracy in enumerate((0.94, 0.95, 0.96))]
    html = page.render(tmp_path, table, METRIC)
    text = text_of(html)
    assert "One design: accuracy.hardware_mean is 95.0 % ± 1.0 (3 seeds)." in text
    assert "rank" not in text and "best" not in text and "against" not in text
    assert html.count("data:image/png") == 1  # the seeds beside their mean; nothing is plotted against the seed


def test_without_repeats_and_images_no_difference_is_called_one(tmp_path):
    table = [run({"inputs": n}, 0.9 - 0.1 * n, examples=None) for n in (0, 1)]
    text = text_of(page.render(tmp_path, table, METRIC))
    assert "nothing says which differences count" in text and "not distinguishable" not in text


def test_lines_join_designs_that_differ_in_the_field_alone(drawn):
    """No line through categories, none through the seeds of one value, none from one series to another."""
    table = [run({"inputs": n, "core": c, "seed": s}, 0.9) for s in (0, 1) for c in ("a", "b") for n in (32, 8, 16)]
    places = ranking(designs_of(table), METRIC)
    figures.draw_field(places, METRIC, "inputs")
    (axes,) = drawn.pop().axes
    assert [list(line.get_xdata()) for line in axes.lines if line.get_linestyle() != "None"] == [[8, 16, 32]] * 2
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["core=a", "core=b"]
    figures.draw_ranks(places, METRIC)
    (axes,) = drawn.pop().axes
    rows = [set(line.get_ydata()) for line in axes.lines]
    assert len(axes.get_yticklabels()) == 6 and all(len(row) == 1 for row in rows)
    assert axes.get_yticklabels()[0].get_text() == "inputs=32, core=a  1"


def test_a_picture_of_many_designs_shows_the_first(drawn, tmp_path):
    table = [run({"inputs": n}, 0.5 + n / 100) for n in range(30)]
    text = text_of(page.render(tmp_path, table, METRIC))
    assert "The first 20 of 30 designs." in text and len(drawn[0].axes[0].get_yticklabels()) == 20


def test_no_digit_lies_below_the_sampling_error():
    assert [table_decimals(error) for error in (0.0048, 0.0004, 0.021, 0.2, 0.0, None)] == [1, 2, 0, 0, 2, 2]
    assert sampling_error(0.9, 900) == pytest.approx(0.01) and sampling_error(1.0, 900) == 1 / 900
    assert single(METRIC, 0.9512, 2000) == "95.1\u00a0%" and single(METRIC, 0.9512) == "95.12\u00a0%"
    assert over_seeds(METRIC, Repeats((0.951, 0.957)), 2000) == "95.4\u00a0%\u00a0±\u00a00.4"
    # A spread that would read 0 has the digits it needs.
    assert over_seeds(METRIC, Repeats((0.9511, 0.9513)), 2000) == "95.1\u00a0%\u00a0±\u00a00.01"
    assert change(-0.0001, 0.005) == "0.0" and change(-0.0123, 0.005) == "\u22121.2"


def test_joules_have_the_digits_of_their_mean():
    assert over_seeds("energy.scoring_j", Repeats((3.5e-9, 2.5e-9))) == "3.00\u00a0±\u00a00.71\u00a0nJ"
    assert over_seeds("energy.total_j", Repeats((2.16e-6, 2.1601e-6))) == "2.16\u00a0µJ"
