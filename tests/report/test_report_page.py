"""The page as a whole: complete, self-contained, safe, and the same each time."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import pytest
from fake_run import edit_arrays, edit_json, write_fake_run, write_json

from atis_jax.report import ReportError, style, write_report
from atis_jax.report.contents import Contents, Entry
from atis_jax.report.errors import Absent
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Strip
from experiments import registry
from experiments.codesign_report.contents import CODESIGN
from experiments.report import main

TRAINED = [entry for entry in CODESIGN.sections if entry.meant(RunFiles(Path("x")))]
_VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags with their attributes, headings and text; complains about tags closed in the wrong order."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.headings: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)

    def attributes(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A complete report, drawn coarsely because nobody looks at it here."""
    folder = tmp_path_factory.mktemp("report") / "run"
    write_fake_run(folder, layers=2, images=2, grid=4, steps=100)
    before = dict(matplotlib.rcParams)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DPI", 50)
        path = write_report(folder, CODESIGN)
    assert dict(matplotlib.rcParams) == before
    return path, Page(path.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_sections_in_order(written):
    path, page = written
    titles = [*(entry.title for entry in TRAINED), "Every number, and checks", "Configuration and software"]
    assert page.headings == titles  # nothing is missing, so there is no list of what is
    opening = page.text.index("Analog pruning beats the dense network")
    assert opening < page.text.index("Masked and gathered") and "report.html" == path.name  # internals at the end
    assert not list(path.parent.glob(".report*"))
    for entry in TRAINED:
        for name in entry.figures:
            assert (path.parent / "figures" / f"{name}.png").stat().st_size > 1000


def test_self_contained(written):
    path, page = written
    images = page.attributes("img")
    names = [*(f"strip_{part}" for part in ("accuracy", "energy", "input")), *(entry.figures[0] for entry in TRAINED)]
    for image, name in zip(images, names, strict=True):
        kind, _, data = image["src"].partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data) == (path.parent / "figures" / f"{name}.png").read_bytes()
        assert len(image["alt"]) > 20
    html = path.read_text(encoding="utf-8")
    assert "http:" not in html and "https:" not in html and "url(" not in html and "@import" not in html
    assert not page.attributes("script") and not page.attributes("link")
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = [attributes["href"] for attributes in page.attributes("a")]
    assert links and all(link[0] == "#" and link[1:] in ids for link in links)
    assert page.attributes("html")[0]["lang"] == "en"
    assert any(meta.get("name") == "viewport" for meta in page.attributes("meta"))


def test_config_is_complete(written):
    _, page = written
    for field, value in (
        ("schedule.soft_steps", "1050"),
        ("hardware.temperature_c", "[0.0, 50.0]"),
        ("model.heads", "4"),
    ):
        assert field in page.text and value in page.text
    assert "the run itself recorded none" in page.text


def test_text_from_outside_is_escaped_and_absences_are_listed(tmp_path):
    run = write_fake_run(tmp_path / "<i>run", layers=1, images=1, grid=3, steps=3)
    evil = "<script>alert('x')</script>&\"'{{ 7*7 }}"
    edit_json(run / "config.json", note=evil, table={evil: evil})
    edit_json(run / "summary.json", experiment=evil, energy=None, versions={evil: "1<2"}, dataset={"name": evil})
    edit_arrays(run / "artifacts.npz", images=None, dac_v=None, ota_v=None, chip_accuracy=None, score_hist_v=None)
    edit_arrays(run / "artifacts.npz", agreement_layer_spearman=None, agreement_recall=None)
    (run / "metrics.jsonl").write_text("")
    (run / "figures").mkdir()
    for name in ("energy", "strip_input"):
        (run / "figures" / f"{name}.png").write_bytes(b"from an earlier report")
    (run / "figures" / "mine.png").write_bytes(b"somebody else's")
    page = Page(write_report(run, CODESIGN).read_text(encoding="utf-8"))
    assert not page.attributes("script") and not page.attributes("i")
    assert page.text.count(evil) >= 5
    assert page.headings == [
        "Kept fraction per layer",
        "Every number, and checks",
        "Configuration and software",
        "Not in this run",
    ]
    for line in (
        "Training: metrics.jsonl is empty.",
        "Kept patches, layer by layer: artifacts.npz has no array 'images'.",
        "Scores against their threshold: artifacts.npz has no array 'score_hist_v'.",
        "Energy: summary.json has no 'energy.ledger_j'.",
        "Agreement with attention: artifacts.npz has no array 'agreement_layer_spearman'.",
    ):
        assert line in page.text
    assert "As recorded by the run in summary.json." in page.text
    assert sorted(p.name for p in (run / "figures").iterdir()) == [
        "kept_per_layer.png",
        "kept_per_layer.svg",
        "mine.png",
        "strip_accuracy.png",
        "strip_accuracy.svg",
    ]


@pytest.mark.slow
def test_the_same_files_give_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "DPI", 50)
    run = write_fake_run(tmp_path / "run", layers=1, images=1, grid=3, steps=30, chips=3)
    (run / "artifacts.npz").unlink()
    edit_json(run / "summary.json", energy=None)

    def content():
        write_report(run, CODESIGN)
        return {p.relative_to(run): p.read_bytes() for p in run.rglob("*") if p.is_file()}

    first = content()
    assert first == content()
    drawn = {path.name for path in first if path.parent.name == "figures"}
    assert drawn == {f"{name}.{ending}" for name in ("training", "strip_accuracy") for ending in ("png", "svg")}


def test_a_page_holds_what_its_experiment_brings_and_misses_nothing_else(tmp_path):
    def build(run):
        raise Absent("nothing was swept")

    def strip(run):
        return Strip(run.part("swept"))

    swept = Contents(strip, (), (Entry("Sweep", ("sweep",), build),))
    write_json(tmp_path / "summary.json", {"experiment": "sweep"})
    page = Page(write_report(tmp_path, swept).read_text(encoding="utf-8"))
    assert "Not measured yet: summary.json has no 'swept'." in page.text
    missed = page.text.split("Not in this run")[-1]
    assert "Sweep: nothing was swept." in missed
    assert "Training" not in missed and "Accuracy" not in missed


@pytest.mark.parametrize("name", registry.EXPERIMENTS)
def test_no_two_parts_of_a_page_have_one_name(name):
    contents = registry.contents_of(name)
    titles = [entry.title for entry in contents.sections]
    figures = [*contents.strip_figures, *(name for entry in contents.sections for name in entry.figures)]
    assert titles and len(set(titles)) == len(titles) and len(set(figures)) == len(figures)
    assert {*contents.arrays.fractions, *contents.arrays.gaps} <= set(contents.arrays.shapes)


def test_a_run_of_an_unknown_experiment_is_shown_as_one_that_trained():
    assert registry.contents_of("unheard_of") is CODESIGN


@pytest.mark.slow
def test_the_page_of_sentences_says_sentence_and_tokens(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "DPI", 40)
    run = write_fake_run(tmp_path / "run", layers=2, images=2, grid=3, steps=30, chips=3)
    edit_arrays(run / "artifacts.npz", images=None)
    edit_json(run / "summary.json", dataset={"unit": "sentence"})
    page = Page(write_report(run, CODESIGN).read_text(encoding="utf-8"))
    assert "Kept tokens, layer by layer" in page.headings
    words = page.text.split("Complete configuration")[0] + " ".join(image["alt"] for image in page.attributes("img"))
    assert "One sentence costs" in words and "Tokens pruned, last layer" in words
    assert not re.search("image|patch", words, re.IGNORECASE)


def test_only_metrics(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    assert main([str(tmp_path)]) == 0
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.headings == ["Training", "Configuration and software", "Not in this run"]
    assert "Every number: summary.json is not in the run folder." in page.text
    assert "Configuration: config.json is not in the run folder." in page.text
    assert main([str(tmp_path / "nowhere")]) == 1
    assert "is not a folder" in capsys.readouterr().err


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    (tmp_path / "figures").write_text("a file where the folder should be")
    with pytest.raises(ReportError, match="cannot write the report"):
        write_report(tmp_path, CODESIGN)


@pytest.mark.slow
def test_import_brings_in_neither_pyplot_nor_the_network_code():
    code = (
        "import sys\n"
        "from experiments import registry, report\n"
        "assert all(map(registry.contents_of, registry.EXPERIMENTS))\n"
        "print([m for m in ('flax', 'grain', 'matplotlib.pyplot') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
