"""The table of runs: what shares a row, its name, what is averaged, left out or blank; and its three formats."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest

from experiments import table
from experiments.table_formats import COLUMNS


def write_run(folder, *, seed=0, kept=0.5, compare=("dense", "random"), mean=0.6, random=0.5, worst=0.55, **config):
    folder.mkdir(parents=True)
    # Older than most settings: they count as their defaults.
    config |= {"seed": seed, "compare": list(compare), "checkpoint_every": 7, "pruning": {"kept": [kept]}}
    accuracy = {"dense": 0.7, "ideal": 0.61, "hardware_mean": mean, "hardware_std": 0.01, "hardware_worst": worst}
    if "random" in compare:
        accuracy["random"] = random
    summary = {
        "accuracy": accuracy | {"chips": 32},
        "tokens": {"pruned_fraction": 1 - kept, "pruned_fraction_final_layer": 0.75},
        "energy": {"scoring_j": 1e-8 * (5 + seed), "total_j": 2e-6, "dense_j": 4e-6, "ledger_j": {}},
        "dataset": {"examples": 10_000},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def printed(capsys, *arguments) -> tuple[int, str, str]:
    code = table.main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def rows(capsys, *folders) -> list[dict[str, str]]:
    code, out, _ = printed(capsys, *folders)
    assert code == 0
    lines = [[cell.strip() for cell in line.strip("|").split(" |")] for line in out.splitlines()]
    assert lines[0] == list(COLUMNS) and set(lines[1]) == {"---"}
    return [dict(zip(COLUMNS, line, strict=True)) for line in lines[2:]]


def test_seeds_share_a_row_with_their_spread_and_the_least_pruned_comes_first(tmp_path, capsys):
    runs = [
        write_run(tmp_path / "a", kept=0.3),
        write_run(tmp_path / "b", kept=0.5, seed=0, mean=0.60, random=0.50, worst=0.58),
        write_run(tmp_path / "c", kept=0.5, seed=1, mean=0.64, random=0.56, worst=0.57, compare=("random",)),
    ]
    first, second = rows(capsys, *runs)
    assert (first["design"], second["design"]) == ("pruning.kept=0.5", "pruning.kept=0.3")
    assert (first["pruned, mean of layers"], first["seeds"]) == ("0.500", "2")
    assert (second["pruned, mean of layers"], second["seeds"]) == ("0.700", "1")
    # One standard error on 10,000 images is 0.49 points: one decimal.
    assert first["analog: mean over chips (%)"] == f"62.0 +- {100 * np.std([0.60, 0.64], ddof=1):.1f}"
    assert first["its sampling error (points)"] == "0.49"
    assert first["analog - random (points)"] == f"+9.0 +- {100 * np.std([0.10, 0.08], ddof=1):.1f}"
    assert first["worst chip (%)"] == "57.0" and first["chips"] == "64"
    assert first["dense (%)"] == "70.0 (n = 1)"
    assert (first["scoring, an example"], first["all, an example"]) == ("55.0 +- 7.1 nJ", "2.00 µJ")
    assert second["dense network, an example"] == "4.00 µJ"


def test_dense_is_shown_only_where_it_was_trained_as_long_and_missing_controls_are_blank(tmp_path, capsys):
    with_dense = write_run(tmp_path / "a", compare=("dense", "random"))
    without = write_run(tmp_path / "b", kept=0.3, compare=())
    first, second = rows(capsys, with_dense, without)
    assert (first["dense (%)"], second["dense (%)"]) == ("70.0", "")
    assert second["random (%)"] == second["analog - random (points)"] == second["digital (%)"] == ""


def test_a_row_is_named_by_what_differs_or_by_its_run(tmp_path, capsys):
    one = write_run(tmp_path / "x" / "first", scorer={"inputs": 8})
    other = write_run(tmp_path / "x" / "second", scorer={"inputs": 32}, hardware={"dac_bits": 4}, seed=1)
    assert [row["design"] for row in rows(capsys, one)] == ["first"]
    names = {row["design"] for row in rows(capsys, one, other)}
    assert names == {"scorer.inputs=8, hardware.dac_bits=null", "scorer.inputs=32, hardware.dac_bits=4"}
    long = write_run(tmp_path / "y" / "first", model={"width": 7}, tune={"steps": 3}, dense={"steps": 2}, kept=0.1)
    again = write_run(
        tmp_path / "y" / "more", model={"width": 7}, tune={"steps": 3}, dense={"steps": 2}, kept=0.1, seed=1
    )
    names = {row["design"] for row in rows(capsys, one, other, long, again)}
    assert names == {str(one), str(other), f"{long} and 1 more"}  # two folders are called first


def test_what_cannot_change_a_result_does_not_part_rows(tmp_path, capsys):
    one = write_run(tmp_path / "a", data={"data_dir": "/here"}, start_from="runs/p")
    other = write_run(tmp_path / "b", seed=1, data={"data_dir": "/there"}, start_from="runs/q")
    (row,) = rows(capsys, one, other)
    assert row["seeds"] == "2" and row["design"] == "a and 1 more"


def test_what_holds_no_finished_codesign_run_is_named_and_left_out(tmp_path, capsys):
    good = write_run(tmp_path / "good")
    unfinished = write_run(tmp_path / "unfinished", seed=1)
    (unfinished / "summary.json").unlink()
    damaged = write_run(tmp_path / "damaged", seed=2)
    (damaged / "summary.json").write_text("{")
    dense = write_run(tmp_path / "dense", seed=3)
    (dense / "summary.json").write_text(json.dumps({"accuracy": {"dense": 0.7}}))
    code, out, err = printed(capsys, good, unfinished, damaged, dense, tmp_path / "nothing", good)
    assert code == 0 and len(out.splitlines()) == 3
    assert [line.removeprefix(f"left out: {tmp_path}/").partition(" (")[0] for line in err.splitlines()] == [
        "unfinished: is not finished",
        "damaged: summary.json cannot be read",
        "dense: measured no chips; only codesign runs have a row",
        "nothing: is no folder",
        f"good: is the training of {good} again, the same seed; give one of them",
    ]
    code, out, err = printed(capsys, unfinished)
    assert code == 2 and out == "" and "error: none of the folders has a finished co-design run" in err


def test_a_sweep_stands_for_its_runs(tmp_path, capsys):
    names = ["seed=0", "seed=1", "seed=2"]
    points = [{"name": name, "overrides": {"seed": i}} for i, name in enumerate(names)]
    for i, name in enumerate(names[:2]):
        write_run(tmp_path / name, seed=i)
    (tmp_path / "sweep.json").write_text(json.dumps({"schema": 1, "points": points}))
    code, out, err = printed(capsys, tmp_path)
    assert code == 0 and "| seed=0 and 1 more |" in out and "seed=2: is no folder" in err


def test_csv_has_full_names_units_and_counts(tmp_path, capsys):
    runs = [write_run(tmp_path / f"r{seed}", seed=seed, mean=0.6 + 0.04 * seed) for seed in (0, 1)]
    _, out, _ = printed(capsys, *runs, "--format=csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert row["design"] == "r0 and 1 more" and row["runs"] == f"{runs[0]} {runs[1]}" and row["seeds"] == "2"
    assert float(row["accuracy.hardware_mean mean [fraction]"]) == pytest.approx(0.62)
    assert float(row["accuracy.hardware_mean std over seeds [fraction]"]) == pytest.approx(0.04 / np.sqrt(2))
    assert row["accuracy.hardware_mean n"] == "2" and row["accuracy.digital n"] == "0"
    assert float(row["accuracy.hardware_mean sampling error [fraction]"]) == pytest.approx(np.sqrt(0.62 * 0.38 / 1e4))
    assert float(row["energy.scoring_j mean [J/example]"]) == pytest.approx(5.5e-8)
    assert row["accuracy.digital mean [fraction]"] == "" and row["accuracy.chips sum"] == "64"


def test_latex_is_a_plain_tabular_with_everything_escaped(tmp_path, capsys):
    run = write_run(tmp_path / "a&b_c%#~^{}$\\|<", mean=0.4)
    _, out, _ = printed(capsys, run, "--format=latex")
    lines = out.splitlines()
    assert lines[0] == rf"\begin{{tabular}}{{l{'r' * (len(COLUMNS) - 1)}}}" and lines[-1] == r"\end{tabular}"
    assert r"pruned, mean of layers & " in lines[2] and lines[2].endswith(r"dense network, an example \\")
    assert r"2.00 $\mu$J" in out and "& $-$10.0 &" in out and "toprule" not in out
    for line in lines[2:-2]:
        if line == r"\hline":
            continue
        assert line.endswith(r" \\") and len(re.findall(r"(?<!\\)&", line)) == len(COLUMNS) - 1
        plain = re.sub(r"\$[^$]*\$|\\textbackslash\{\}|\\textascii\w+\{\}|\\[&%$#_{}]", "", line.removesuffix(r" \\"))
        assert not re.search(r"[%$#_{}~^\\]", plain), line
        assert line.isascii()


def test_a_pipe_does_not_end_a_markdown_cell(tmp_path, capsys):
    _, out, _ = printed(capsys, write_run(tmp_path / "a|b"))
    assert out.splitlines()[2].startswith("| a\\|b | 0.500 |")


def test_help_and_mistakes_of_the_command_line(capsys):
    for arguments, code in (["--help"], 0), ([], 2), (["--format=html", "runs"], 2):
        with pytest.raises(SystemExit) as caught:
            table.main(arguments)
        assert caught.value.code == code
    assert "--format" in capsys.readouterr().out
