"""The README is short, its example prints what it says, its pictures and numbers are those that our scripts make."""

import contextlib
import copy
import io
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from atis_jax.validation import UserError
from experiments import repeats, signal_chain

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

MOST_WORDS, MOST_WORDS_A_SENTENCE = 1000, 18


def block(marker, language):
    """The code block below a marker."""
    found = re.search(rf"<!-- {marker} -->\n```{language}\n(?P<code>.*?)```", README, re.S)
    assert found, f"README.md lost the block below '<!-- {marker} -->'"
    return found["code"]


def without_code():
    return re.sub(r"<!--.*?-->", "", re.sub(r"```.*?```", "", README, flags=re.S), flags=re.S)


def sentences():
    """Of the prose: no headings, tables, pictures; each item of a list ends its sentence."""
    text = re.sub(r"!\[.*?\]\(.*?\)", "", without_code(), flags=re.S)
    text = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", text, flags=re.S)
    lines = [line for line in text.splitlines() if not line.startswith(("#", "|"))]
    paragraphs = re.split(r"\n\s*\n|\n(?=- )", "\n".join(lines))
    parts = [part for paragraph in paragraphs for part in re.split(r"(?<=[.:!?])(?:\*\*)?\s+", paragraph)]
    return [part.split() for part in parts if re.search(r"[a-z]", part)]


def test_the_readme_is_short():
    assert len(without_code().split()) < MOST_WORDS


def test_its_sentences_are_short():
    lengths = [len(sentence) for sentence in sentences()]
    assert len(lengths) > 20, "the search finds the sentences"
    assert sum(lengths) / len(lengths) <= MOST_WORDS_A_SENTENCE
    assert max(lengths) <= 2 * MOST_WORDS_A_SENTENCE


def test_it_says_what_loses_before_the_first_picture():
    start = README.partition("![")[0]
    assert "pruning saves" in start and "digital" in start


@pytest.mark.parametrize("marker", ["main command", "test command"])
def test_it_marks_the_commands_that_ci_runs(marker):
    code = block(marker, "bash")
    assert code.count("\n") == 1, ".ci/run takes one line from below the marker"
    assert code.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_it_names_the_fast_tier():
    slow = " -m 'not slow'"
    command = re.search(r"`(\.venv/bin/python -m pytest [^`]*)`", README)
    assert command and command[1].endswith(slow)
    assert block("test command", "bash").strip().endswith(command[1].removesuffix(slow))


def numbers_of(text):
    return [float(found) for found in re.findall(r"[-+]?\d+\.?\d*", text)]


@pytest.mark.slow
def test_the_example_prints_what_the_readme_shows():
    """Up to one of the last digit: another processor may round a last bit the other way."""
    code, shown = block("example", "python"), block("example output", "text")
    lines = [line for line in code.splitlines() if line.strip() and not line.startswith(("import", "from", "@"))]
    assert len(lines) <= 10
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert re.sub(r"\d", "0", printed.getvalue()) == re.sub(r"\d", "0", shown)
    assert numbers_of(printed.getvalue()) == pytest.approx(numbers_of(shown), abs=0.11)


PICTURES = {
    signal_chain.PATH: (signal_chain.draw, "python -m experiments.signal_chain"),
    repeats.PICTURE: (repeats.picture, "python -m experiments.repeats"),
}


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_the_pictures_are_what_their_scripts_draw(path):
    draw, command = PICTURES[path]
    assert path.read_text(encoding="utf-8") == draw(), f"draw it again: {command}"
    assert f"docs/{path.name})" in README


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_the_pictures_can_be_read(path):
    """On a light and a dark page, because they bring their own ground; at 800 px, because no word is below 12 px."""
    root = ElementTree.parse(path).getroot()
    name = "{http://www.w3.org/2000/svg}"
    width, height = (float(root.get(side)) for side in ("width", "height"))
    ground = next(root.iter(f"{name}rect"))
    assert ground.get("fill") == "#ffffff" and float(ground.get("width")) >= width - 1
    words = list(root.iter(f"{name}text"))
    assert len(words) > 5
    for word in words:
        size, x, y = (float(word.get(key)) for key in ("font-size", "x", "y"))
        assert size * 800 / width >= 12
        wide = 0.5 * size * len(word.text)  # a letter is about half as wide as it is high
        left = {"start": x, "middle": x - wide / 2, "end": x - wide}[word.get("text-anchor")]
        assert 0 <= left and left + wide <= width and size <= y <= height, word.text
    assert root.find(f"{name}title").text and root.find(f"{name}desc").text


def results(machines=("A",), seeds=(0,), dense=0.95, analog=0.95, folded=0.97):
    """Synthetic runs, equal but for what is asked."""
    accuracy = {"dense": dense, "hardware_mean": analog, "hardware_std": 0.001, "hardware_worst": analog - 0.002}
    run = {
        "chips": 64,
        "unit": "image",
        "examples": 1910,
        "accuracy": accuracy | {"ideal": analog, "random": 0.58},
        "tokens": {"pruned_fraction": 0.7, "pruned_fraction_final_layer": 0.75},
        "energy": {"dense_j": 2.8e-6, "total_j": 1e-6, "digital_j": 1.01e-6, "digital_folded_j": folded * 1e-6},
    }
    return {"runs": [copy.deepcopy(run) | {"machine": name, "seed": seed} for name in machines for seed in seeds]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"analog": 0.9501}, "so analog and dense do not differ"),
        ({"analog": 0.93}, "and analog is 2.0 points below dense"),
        ({"analog": 0.97}, "and analog is 2.0 points above dense"),
        ({"folded": 0.94}, "folded to one vector, takes 6 % less than analog"),
        ({"folded": 1.12}, "folded to one vector, takes 12 % more than analog"),
        ({"folded": 1.002}, "folded to one vector, takes as much as analog"),
        ({"machines": ("A", "B"), "seeds": (0, 1, 2)}, "Six runs on two processors: dense 95.0 %"),
    ],
)
def test_the_sentence_names_winner_and_loser(given, said):
    assert said in repeats.sentence(results(**given)).replace("\n", " ")


def test_no_digit_is_below_the_sampling_error():
    assert repeats.standard_error(0.95, 1910) == pytest.approx(100 * math.sqrt(0.95 * 0.05 / 1910))
    assert [repeats.decimals(error) for error in (0.48, 0.05, 1.1, 12.0)] == [1, 2, 0, 0]
    told = results(seeds=(0, 1))
    told["runs"][1]["accuracy"] |= {"dense": 0.9523, "random": 0.612}
    assert "dense 95.0 to 95.2 %" in repeats.sentence(told) and "random pruning 58 to 61 %" in repeats.sentence(told)


def test_the_table_tells_seeds_from_machines():
    told = results(machines=("A", "B"), seeds=(0, 1))
    for run, value in zip(told["runs"], (0.95, 0.96, 0.953, 0.96), strict=True):
        run["accuracy"]["dense"] = value
    head, _, first, *_ = repeats.table(told).splitlines()
    assert head == "| | A, seeds 0 and 1 | B, seeds 0 and 1 | machines apart, same seed |"
    assert first == "| dense, trained as long | 95.5 % (95.0 to 96.0) | 95.7 % (95.3 to 96.0) | up to 0.3 points |"


def write_run(folder, seed, **config):
    folder.mkdir()
    (run,) = results(seeds=(seed,))["runs"]
    summary = {"seed": seed, "dataset": {"examples": 1910}, "tokens": run["tokens"], "energy": run["energy"]}
    summary["accuracy"] = run["accuracy"] | {"chips": 64}
    stored = {"seed": seed, "data": {"name": "digits", "data_dir": str(folder)}, **config}
    (folder / "config.json").write_text(json.dumps(stored))
    (folder / "summary.json").write_text(json.dumps(summary))
    return str(folder)


def test_runs_are_collected_by_machine(tmp_path):
    first, second = write_run(tmp_path / "a", 0), write_run(tmp_path / "b", 1)
    told = repeats.collect(["machine=A", first, "machine=B", first, second])
    assert [(run["machine"], run["seed"]) for run in told["runs"]] == [("A", 0), ("B", 0), ("B", 1)]
    assert told["runs"][0] == results()["runs"][0]


def test_runs_that_are_no_repeats_are_refused(tmp_path):
    first, other = write_run(tmp_path / "a", 0), write_run(tmp_path / "b", 1, dense={"steps": 9})
    with pytest.raises(UserError, match="differ in more than their seed"):
        repeats.collect(["machine=A", first, other])
    with pytest.raises(UserError, match="seed 0 of A is given twice"):
        repeats.collect(["machine=A", first, first])
    with pytest.raises(UserError, match="name its machine first"):
        repeats.collect([first])
    with pytest.raises(UserError, match="no run is given"):
        repeats.collect([])
    with pytest.raises(UserError, match="nothing: no finished run"):
        repeats.collect(["machine=A", str(tmp_path / "nothing")])
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    del summary["accuracy"]["random"]
    (tmp_path / "a" / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(UserError, match=r"no accuracy\.random; give runs of configs/quickstart\.py"):
        repeats.collect(["machine=A", first])
