"""The page of the deployment scenarios: what its sentences claim, what its figures show, and what it refuses."""

from __future__ import annotations

import copy
import csv
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from fake_run import write_json
from fake_scenarios import map_arrays, scenario, scenarios_summary
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from atis_jax.energy.constants import ALL
from atis_jax.energy.presets import PRESET_NAMES, provenance
from atis_jax.report import page, write_report
from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.run_files import RunFiles, read_run
from atis_jax.report.standing import rounds_to_one
from atis_jax.report.style import ANALOG, DIGITAL, drawing, ratio_ticks
from configs.scenarios import get_config
from experiments.energy.comparisons import GROUPS, read_scenarios
from experiments.energy.contents import SCENARIOS
from experiments.energy.figures import tables
from experiments.energy.figures.breakeven import (
    break_even_maps,
    break_even_numbers,
    crosses,
    distinct,
    edges,
    read_maps,
)
from experiments.energy.figures.certainty import how_sure
from experiments.energy.figures.deciding import what_decides
from experiments.energy.figures.joules import joules
from experiments.energy.figures.passes import energy_of_a_pass
from experiments.energy.plain_words import constant_words
from experiments.energy.verdicts import outcome, rows


def run_of(summary=None, arrays=None, **changes) -> RunFiles:
    return RunFiles(Path("x"), summary=(summary or scenarios_summary()) | changes, arrays=arrays or {})


def rows_of(run) -> dict[str, tuple[str, str]]:
    return {what: (plain(value), plain(compared)) for what, value, compared in rows(run)}


def said(run) -> str:
    with drawing():
        return plain(SCENARIOS.strip(run).sentence)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def drawn(builder, run):
    with drawing():
        return builder(run)


def parts(section):
    return {part.name: part for part in section.pictures}


@pytest.fixture(scope="module")
def whole():
    """Every part of the page by its name, and what is absent: drawn once."""
    run = run_of(arrays=map_arrays())
    with drawing():
        sections = [entry.build(run) for entry in SCENARIOS.sections]
        opening = SCENARIOS.strip(run).pictures
    names = [part.name for section in sections for part in section.pictures] + [part.name for part in opening]
    assert len(names) == len(set(names)) > 10, "a name stands for one part of the page"
    found = {part.name: part for section in sections for part in section.pictures}
    return found | {part.name: part for part in opening}, dict(pair for one in sections for pair in one.absent)


def one_scenario(scoring, total):
    """A run of one scenario, the co-designed circuit against dense and its digital twin only."""
    return run_of(scenarios_summary() | {"scenarios": [scenario("one", scoring, total)]})


# What is said.


def test_the_sentence_groups_scenarios_by_how_analog_fares():
    assert said(run_of()) == (
        "Dropping tokens beats the dense network in all 3 scenarios (50 to 60 % less energy). Against its digital twin "
        "the analog circuit wins in won (1.50 times); wins in scoring only in tied (2.00 times); loses in scoring only "
        "in lost (1.50 times)."
    )


def test_rows_tell_saving_verdict_and_what_it_hangs_on():
    rows = rows_of(run_of())
    assert rows["tied: pruning"] == (
        "50.0 % less than dense",
        "Dense takes 2.00 times as much as pruning: 2.00 mJ a pass dense, 1.00 mJ with the co-designed circuit.",
    )
    value, words = rows["tied: co-designed circuit"]
    assert value == "wins in scoring only"
    assert words == (
        "Its digital twin takes 2.00 times as much in scoring; the whole, of which scoring is 0.010 %, is even. What "
        "decides is number-to-voltage conversion: the winner changes at 4.00 pJ (now 2.00 pJ), inside its range of "
        "1.00 pJ to 8.00 pJ."
    )
    assert rows["lost: co-designed circuit"][0] == "loses in scoring only"
    value, words = rows["won: co-designed circuit"]
    assert value == "wins" and "1.50 times as much in the whole and 2.00 times in scoring" in words
    assert words.endswith(
        "No price alone changes the winner within its range; on-chip memory, 1 MB, which matters most, not even at "
        "1/1,000 or 1,000 times its value."
    )
    assert rows["tied: paper's circuit"][1].endswith(
        "Against digital, not folded: even, but number-to-voltage conversion at 4.00 pJ changes that (now 2.00 pJ, "
        "inside its range of 1.00 pJ to 8.00 pJ)."
    )
    assert "Folding changes nothing here." in rows["won: paper's circuit"][1]
    assert "though in scoring alone the analog circuit takes 20.0 times as much" in rows["won: paper's circuit"][1]


@pytest.mark.parametrize(
    ("analog_scoring", "expected"),
    [(1e-9, "wins in scoring only"), (2e-6, "even"), (2.008e-6, "even"), (1e-5, "loses in scoring only")],
)
def test_a_whole_that_rounds_to_one_is_never_called_won(analog_scoring, expected):
    scoring = {"codesigned_digital": 2e-6, "codesigned": analog_scoring}
    total = {"dense": 2e-2} | {who: 1e-2 + joules for who, joules in scoring.items()}
    run = one_scenario(scoring, total)
    (pair,) = [pair for pair in read_scenarios(run)[0].against if pair.rival == "codesigned_digital"]
    assert rounds_to_one(pair.total_factor) and outcome(pair).value == expected
    assert rows_of(run)["one: co-designed circuit"][0] == expected
    even = "is even in one" if expected == "even" else f"{expected} in one"
    assert even in said(run) and "circuit wins in one" not in said(run)


def test_pruning_that_costs_more_than_it_saves_is_called_that():
    scoring = {"codesigned_digital": 2e-6, "codesigned": 2e-6}
    run = one_scenario(scoring, {"dense": 1e-2, "codesigned_digital": 2e-2, "codesigned": 2e-2})
    assert rows_of(run)["one: pruning"][0] == "100 % more than dense"
    assert rows_of(run)["one: pruning"][1].startswith("Pruning takes 2.00 times as much as dense")
    assert said(run).startswith("Dropping tokens beats the dense network nowhere, and loses in one.")
    even = one_scenario(scoring, {"dense": 1e-2, "codesigned_digital": 1e-2, "codesigned": 1.001e-2})
    assert rows_of(even)["one: pruning"][0] == "as much as dense"
    assert "pays for its scorer and no more" in rows_of(even)["one: pruning"][1]


def test_a_break_even_outside_the_range_is_said_to_be_outside():
    summary = scenarios_summary()
    (pair,) = [pair for pair in summary["scenarios"][2]["against"] if pair["rival"] == "codesigned_digital"]
    pair["deciding"]["break_even"] = 9e-12
    text = rows_of(run_of(summary))["won: co-designed circuit"][1]
    assert text.endswith("would at 9.00 pJ/B (now 2.00 pJ/B), outside an assumed range of 1.00 pJ/B to 4.00 pJ/B.")


def test_every_price_of_the_presets_has_words_for_readers_outside_the_field():
    names = {term.constant.name for name in PRESET_NAMES for terms in provenance(name).values() for term in terms}
    free = {constant.name for constant in ALL if constant.value == 0}
    assert [name for name in sorted(names - free) if constant_words(name) == name] == []


# What is shown.


def test_cells_of_the_verdicts_carry_number_and_colour_of_the_winner(whole):
    found, absent = whole
    (axes,) = found["strip_who_wins"].figure.axes
    cells = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert len(cells) == len(axes.texts) == 15
    texts = [text.get_text() for text in axes.texts]
    assert texts[4::5] == ["loses scoring\n1.50 ×", "wins scoring\n2.00 ×", "wins\n1.50 ×"]
    colors = [to_hex(cell.get_facecolor()).upper() for cell in cells[4::5]]
    assert colors == [DIGITAL.upper(), ANALOG.upper(), ANALOG.upper()]
    assert absent == {"Accuracy in scenario won": "no run was made"}


def test_energies_are_drawn_relative_to_dense_and_listed(whole):
    energies = whole[0]["scenario_energy"]
    whole_pass, scoring = energies.figure.axes
    widths = [patch.get_width() for patch in whole_pass.patches]
    assert widths[0] == 100 and widths[12:18] == pytest.approx([100, 60, 60, 50, 60, 40])
    points = [line.get_xdata()[0] for line in scoring.lines if line.get_marker() not in ("None", None)]
    assert len(points) == 15 and scoring.get_xscale() == "log"
    assert plain(energies.table[3][-1]) == "0.800 mJ (2.50)" or plain(energies.table[3][-1]) == "800 µJ (2.50)"
    assert "differ by at most 50.0 % (won)" in plain(energies.caption)


def test_measured_accuracy_is_shown_and_missing_accuracy_is_listed():
    summary = scenarios_summary()
    accuracy = {"dense": 0.96, "hardware_mean": 0.94, "random": 0.7}
    summary["scenarios"][2]["measured"] = {"run": "runs/x", "accuracy": accuracy, "tokens": {"pruned_fraction": 0.6}}
    section = drawn(energy_of_a_pass, run_of(summary))
    rows = dict(parts(section)["measured_won"].table)
    assert plain(rows["accuracy, analog scorer, mean over sampled chips"]) == "94.0 %"
    assert plain(rows["tokens dropped, mean over layers"]) == "60.0 %" and section.absent == ()
    summary["scenarios"][2]["measured"]["accuracy"] = {"dense": "high"}
    with pytest.raises(ReportError, match=r"'measured.accuracy.dense' must be a finite number"):
        drawn(energy_of_a_pass, run_of(summary))


def test_parts_of_a_pass_add_up_to_it_and_none_is_lost(whole):
    summary = scenarios_summary()
    summary["scenarios"][0]["ledger_j"]["dense"]["new_line"] = 5e-4
    (one, *_) = read_scenarios(run_of(summary))
    assert sum(one.grouped_j("paper").values()) == pytest.approx(one.total_j["paper"])
    assert set(one.grouped_j("dense")) == {*GROUPS, "new_line"}
    (axes,) = whole[0]["joules"].figure.axes
    ends = {}
    for patch in axes.patches:
        row = round(patch.get_y() + patch.get_height() / 2, 3)
        ends[row] = max(ends.get(row, 0), patch.get_x() + patch.get_width())
    assert len(ends) == 9 and ends[0.0] == pytest.approx(100)
    assert max(ends) > 8 and ends[max(ends)] == pytest.approx(40)


def test_bars_of_a_constant_run_from_the_result_to_both_ends(whole):
    found = whole[0]
    (lost, tied, won, empty) = found["tornado_twin"].figure.axes
    assert not empty.axison
    low, high = tied.patches[:2]
    assert low.get_x() == high.get_x() == pytest.approx(0.5)
    assert (low.get_x() + low.get_width(), high.get_x() + high.get_width()) == pytest.approx((0.8, 1.25))
    assert [patch.get_hatch() for patch in tied.patches] == ["", "", "////", "////"], "the second range is assumed"
    assert any(line.get_xdata()[0] == 1.0 for line in won.lines)
    assert "changed by number-to-voltage conversion in lost and tied, by no other price" in (
        found["tornado_twin"].caption
    )
    assert "tornado_folded" not in found, "nobody was held against it"
    head, *rows = found["numbers_codesigned"].table
    row = dict(zip(head, rows[3], strict=True))
    shown = [row[name] for name in ("scenario", "verdict", "whole pass", "scoring")]
    assert shown == ["tied", "wins in scoring only", "1.00", "2.00"]
    assert plain(row["changes at"]) == "4.00 pJ (inside)"
    assert dict(zip(head, rows[5], strict=True))["changes at"] == "nowhere"


def test_a_bar_of_certainty_runs_over_its_quantiles_and_names_its_probability(whole):
    found = whole[0]["certainty"]
    paper, codesigned = found.figure.axes
    assert len(paper.patches) == 9 and len(codesigned.patches) == 6
    bar = codesigned.patches[0]
    assert (bar.get_x(), bar.get_x() + bar.get_width()) == pytest.approx((-1, 5))
    assert {text.get_text() for text in codesigned.texts} == {"0.75", "P"}
    assert "15 verdicts of 15 stay open" in plain(found.caption) and "4,000" in found.caption
    head, *rows = whole[0]["certainty_numbers"].table
    row = dict(zip(head, rows[-1], strict=True))
    shown = [plain(row[name]) for name in ("wins in", "saves of the pass", "scoring", "circuits alone")]
    assert shown == [
        "75.0 % (73.0 % to 77.0 %)",
        "2.0 % (\u22121.0 % to 5.0 %)",
        "wins 2.00 ×",
        "wins 4.00 × (wins 2.00 × to wins 6.00 ×)",
    ]


# Maps.


def test_a_map_has_its_line_where_the_winner_changes(whole):
    (one,) = read_maps(run_of(arrays=map_arrays()))
    assert list(distinct(one)) == ["codesigned_digital", "dense"], "equal ratios are one rival"
    assert crosses(one.ratio["digital"]) and not crosses(one.ratio["dense"])
    axes = whole[0]["break_even"].figure.axes[0]
    lines = [c for c in axes.collections if type(c).__name__ == "QuadContourSet"]
    assert len(lines) == 1
    at = np.concatenate([path.vertices for path in lines[0].get_paths()])
    # log 0.8 and log 1.25 are as far from 0, so the line is half way from 160 to 640 fJ/bit on the logarithmic axis.
    assert at[:, 0] == pytest.approx(320, rel=0.01)
    assert axes.get_xlabel() == "DAC energy (fJ/bit)" and axes.get_ylabel() == "DAC bits"
    (star,) = [line for line in axes.lines if line.get_marker() == "*"]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == pytest.approx((40, 4))


def test_places_without_a_design_are_grey_and_count_for_nobody(whole):
    arrays = map_arrays()
    assert "Grey" not in whole[0]["break_even"].caption
    for name, ratio in arrays.items():
        if name.startswith("map0_") and name not in ("map0_x", "map0_y"):
            ratio[-1] = 0.0
    (picture,) = drawn(break_even_maps, run_of(arrays=arrays)).pictures
    assert "Grey: no such design" in picture.caption
    (mesh,) = [c for c in picture.figure.axes[0].collections if type(c).__name__ == "QuadMesh"]
    assert np.ma.getmaskarray(np.ma.masked_invalid(mesh.get_array())).reshape(3, 4)[-1].all()
    (table,) = break_even_numbers(run_of(arrays=arrays)).pictures
    assert "nan" not in " ".join(table.table[1])


def test_a_map_without_a_line_says_who_takes_less(whole):
    arrays = map_arrays()
    head, row = whole[0]["break_even_numbers"].table
    cells = {name: plain(cell) for name, cell in zip(head, row, strict=True)}
    assert cells["against dense, whole pass"] == "analog less everywhere (0.90)"
    assert cells["against the same score in digital"] == (
        "analog less in 75 % (0.50 to 1.25); turns at DAC energy 320 fJ/bit (DAC bits: 4)"
    )
    for name in ("digital", "folded", "codesigned_digital"):
        arrays[f"map0_{name}"] = np.full((3, 4), 1.5)
    (picture,) = drawn(break_even_maps, run_of(arrays=arrays)).pictures
    assert "the winner is the same everywhere in the map: DAC bits over DAC energy." in picture.caption
    (table,) = break_even_numbers(run_of(arrays=arrays)).pictures
    assert "analog more everywhere (1.50)" in table.table[1]


def test_cells_of_a_map_end_half_way_on_the_axis_they_are_drawn_on():
    assert edges(np.array([1.0, 4.0, 16.0]), log=True) == pytest.approx([0.5, 2, 8, 32])
    assert edges(np.array([0.0, 1.0, 2.0]), log=False) == pytest.approx([-0.5, 0.5, 1.5, 2.5])


@pytest.mark.parametrize(
    ("low", "high"), [(0.97, 1.04), (0.5, 3.0), (0.003, 1.2), (1e-6, 10.0), (0.39, 1.06), (0.11, 0.19)]
)
def test_ticks_of_a_ratio_are_inside_apart_and_hold_break_even(low, high):
    ticks = ratio_ticks(low, high)
    assert 2 <= len(ticks) <= 10 and all(low <= tick <= high for tick in ticks)
    assert (1 in ticks) is (low <= 1 <= high)
    assert np.all(np.diff(np.log(ticks)) >= 0.119 * np.log(high / low))


# Tables alone.


def test_a_design_that_has_not_settled_is_called_unusable():
    section = tables.latency(run_of())
    first, second = section.pictures
    assert first.table[1][-1] == "no: not settled in its time" and "paper's circuit" in first.caption
    assert plain(second.table[0][2]) == "phase 3, latency: at most 1.00 µs"
    assert plain(second.table[1][1]) == "met (64)" and plain(second.table[1][2]) == "not met (2.10 µs)"


def test_tables_beside_other_peoples_numbers():
    (counts,) = tables.operation_counts(run_of()).pictures
    assert counts.table[1][3] == "−0.22 %" and counts.table[1][5] == "" and "\u200b" in counts.table[1][-1]
    (outside,) = tables.outside_figures(run_of()).pictures
    assert outside.table[1][3] == "0.500" and outside.table[1][-1].startswith("measured, node not given: Somebody")
    (models,) = tables.model_sizes(run_of()).pictures
    assert plain(models.table[1][3]) == "25.0 %" and "saves 25.0" in models.caption
    (paper,) = tables.paper_numbers(run_of()).pictures
    assert paper.table[2][2] == "unlimited" and plain(paper.caption).startswith("Of 2 numbers in the paper 1 come")


# What is missing, and what is wrong.


@pytest.mark.parametrize("entry", SCENARIOS.sections, ids=lambda entry: entry.title)
def test_what_a_run_does_not_have_is_absent(entry):
    with pytest.raises(Absent, match="summary.json has no"):
        entry.build(run_of({"experiment": "scenarios"}))
    assert rows(run_of({"experiment": "scenarios"})) == []


def edited(*path, value):
    summary = copy.deepcopy(scenarios_summary())
    at = summary
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return run_of(summary, map_arrays())


@pytest.mark.parametrize(
    ("builder", "run", "words"),
    [
        (energy_of_a_pass, edited("scenarios", value={}), "no 'scenarios'"),
        (energy_of_a_pass, edited("scenarios", value=3), "'scenarios' must be a list"),
        (energy_of_a_pass, edited("scenarios", 0, value="x"), r"'scenarios\[0\]' must be a table"),
        (energy_of_a_pass, edited("scenarios", 0, "total_j", "dense", value=0), "total_j.dense' is missing or 0"),
        (
            energy_of_a_pass,
            edited("scenarios", 0, "total_j", "paper", value=-1.0),
            r"total_j.paper' must be a finite number",
        ),
        (energy_of_a_pass, edited("scenarios", 0, "scoring_j", value={}), "has totals of"),
        (joules, edited("scenarios", 1, "ledger_j", "dense", "dac", value="much"), "ledger_j.dense.dac' must be"),
        (what_decides, edited("scenarios", 0, "against", 0, "total_factor", value=0), "total_factor' is 0"),
        (what_decides, edited("scenarios", 0, "against", 0, "rival", value="ghost"), "rival' is 'ghost', which has no"),
        (what_decides, edited("scenarios", 0, "against", 0, "constants", 0, "range", value=[1]), "must be two numbers"),
        (break_even_maps, edited("maps", value="all"), "'maps' must be a list"),
        (break_even_maps, edited("maps", 0, "x", value=None), r"'maps\[0\].x' must be a table"),
        (how_sure, edited("scenarios", 0, "against", 0, "certainty", "interval", value=[0.8, 0.9]), "share of 0.75"),
        (how_sure, edited("scenarios", 0, "against", 0, "certainty", "share_saved", value=[1, 0, 2]), "3 ascending"),
        (tables.latency, edited("targets", 0, "token_s", value=None), "token_s' must be a finite number"),
        (tables.model_sizes, edited("models", 0, "dense_j", value=0), "dense_j' is 0"),
        (tables.paper_numbers, edited("paper", 0, "printed", value=[]), "must be a list of numbers"),
        (tables.outside_figures, edited("outside", value={"a": 1}), "'outside' must be a list"),
    ],
)
def test_values_that_cannot_be_are_refused(builder, run, words):
    with pytest.raises((ReportError, Absent), match=words):
        drawn(builder, run)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"map0_digital": np.zeros((3, 4))}, "'map0_digital' holds ratios of energies below 0, or none above"),
        ({"map0_x": np.array([1.0, 1.0, 2.0, 3.0])}, r"the values of maps\[0\].x must rise"),
    ],
)
def test_maps_that_cannot_be_are_refused(changes, words):
    with pytest.raises(ReportError, match=words):
        read_maps(run_of(arrays=map_arrays() | changes))


def test_numbered_arrays_are_checked_against_each_other(tmp_path):
    np.savez(tmp_path / "artifacts.npz", **map_arrays() | {"map1_x": np.ones(2), "map1_dense": np.ones((5, 3))})
    with pytest.raises(ReportError, match="'map1_dense' has 3 along map1_columns, but 'map1_x' says map1_columns = 2"):
        read_run(tmp_path, SCENARIOS.arrays)


class Shown(HTMLParser):
    """The words of a page that are seen before anything is unfolded, by the id of their section."""

    def __init__(self, html: str):
        super().__init__()
        self.words: dict[str, list[str]] = {}
        self.at, self.hidden = "top", 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in ("style", "details")
        self.at = dict(attrs).get("id", self.at) if tag == "section" else self.at

    def handle_endtag(self, tag):
        self.hidden -= tag in ("style", "details")

    def handle_data(self, data):
        if not self.hidden:
            self.words.setdefault(self.at, []).extend(data.split())


def figure_of(path: Path) -> bytes:
    """Writes no picture: what is drawn is looked at in other tests."""
    path.write_bytes(b"picture")
    return b"picture"


@pytest.mark.slow
def test_the_whole_page_is_short_and_opens_with_who_wins_where(tmp_path, monkeypatch):
    """The config's six scenarios, in its own words, against everybody: at most 1,500 words; the rest is in files."""
    monkeypatch.setattr(page, "save", lambda figure, folder, name, vector: figure_of(folder / f"{name}.png"))
    summary, config = scenarios_summary(), get_config()
    six = summary["scenarios"] + copy.deepcopy(summary["scenarios"])
    for one, name in zip(six, config.which, strict=True):
        one |= {"name": name, "words": config[name].words}
        one["against"] += [
            {**one["against"][-1], "rival": rival} for rival in ("digital", "folded") if rival in one["total_j"]
        ]
    write_json(tmp_path / "summary.json", summary | {"scenarios": six})
    write_json(tmp_path / "config.json", {"paper": {"inputs": 64, "bits": 6, "projection": "learned"}})
    np.savez(tmp_path / "artifacts.npz", **map_arrays())
    html = write_report(tmp_path, SCENARIOS).read_text(encoding="utf-8")
    shown = Shown(html).words
    assert 500 < sum(map(len, shown.values())) <= 1500
    assert html.index("Dropping tokens beats") < html.index('id="strip_who_wins"') < html.index("<nav")
    for entry in SCENARIOS.sections:
        title = entry.title.replace("'", "&#39;")
        assert (f": {title}</li>" if entry.aside else f"<h2>{title}</h2>") in html
    for name in ("contenders", "deployments"):
        assert f'<p id="{name}">' in html
    files = sorted(path.name for path in (tmp_path / "tables").iterdir())
    assert all(f"tables/{name}:" in html for name in files)
    assert {"latency.csv", "targets.csv", "paper_numbers.csv", "verdicts.csv", "break_even_numbers.csv"} <= set(files)
    with (tmp_path / "tables" / "verdicts.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == ["what", "verdict", "in words"]
    assert f"Accuracy in scenario {six[2]['name']}: no run was made." in html
    assert "(64\u00a0inputs, 6\u00a0bits, learned projection)" in html
    assert "Every number:" not in html
    drawn_names = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert drawn_names == {"strip_who_wins"} | {n for entry in SCENARIOS.sections for n in entry.figures}
