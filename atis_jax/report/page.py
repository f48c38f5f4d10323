"""``write_report``: a run folder in, figures and one self-contained HTML page out."""

from __future__ import annotations

import base64
import csv
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atis_jax.report.contents import Contents
from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.formatting import join
from atis_jax.report.numbers import numbers
from atis_jax.report.run_files import RunFiles, read_run
from atis_jax.report.section import Picture, Section, Strip, Table
from atis_jax.report.style import drawing, save
from atis_jax.report.templates import page_template

_PACKAGES = (
    "atis-jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "tensorflow-datasets",
    "numpy",
)


TABLES = "tables"
"""Folder of a run for tables that are too long for the page."""


def write_report(run_dir: str | Path, contents: Contents) -> Path:
    """Write ``figures/*.png`` (and small ``.svg``), ``tables/*.csv`` and ``report.html`` into a run folder.

    The same files give the same bytes. Figures of an earlier report that this one does not draw are removed,
    other files in ``figures/`` are left alone.

    Args:
        run_dir: a folder with config.json, summary.json, metrics.jsonl, artifacts.npz, each of which may be
            absent: what it would have shown is then listed at the end of the page with the reason.
        contents: of the experiment that the run was of.

    Returns:
        The path of report.html.

    Raises:
        ReportError: no such folder, a damaged file, values that contradict each other, or a folder that
            cannot be written.
    """
    run = read_run(run_dir, contents.arrays)
    try:
        (run.path / "figures").mkdir(exist_ok=True)
        html = render(run, contents)
        target = run.path / "report.html"
        unfinished = run.path / ".report.html.part"
        unfinished.write_text(html, encoding="utf-8")
        os.replace(unfinished, target)  # never half a page, also when stopped here
    except OSError as error:
        raise ReportError(f"cannot write the report into {run.path} ({error}); check its permissions") from error
    return target


def render(run: RunFiles, contents: Contents) -> str:
    """Draw and save the figures; the page as a string."""
    table = numbers(run, contents.rows(run))
    # A run that trains nothing does not lack a training run's numbers.
    absent = list(table.absent) if contents.trained else []
    sections: list[dict[str, Any]] = []
    asides: list[dict[str, str]] = []
    with drawing():
        strip = _strip(run, contents)
        pictures = _strip_pictures(strip, contents, run.path / "figures")
        for entry in (entry for entry in contents.sections if entry.meant(run)):
            try:
                section = entry.build(run)
            except Absent as reason:
                absent.append((entry.title, str(reason)))
                for name in entry.figures:
                    for ending in ("png", "svg"):
                        (run.path / "figures" / f"{name}.{ending}").unlink(missing_ok=True)
                continue
            absent.extend(section.absent)
            if entry.aside:
                asides.extend(_aside(section, run.path / TABLES))
                continue
            sections.append({"title": section.title, "pictures": _embed(section, run.path / "figures")})
    versions, versions_note = _versions(run)
    config = list(_flatten(run.config))
    if not config:
        absent.append(("Configuration", run.missing.get("config.json", "config.json is empty")))
    return page_template(__package__).render(
        title=str(run.summary.get("experiment") or run.config.get("name") or run.path.resolve().name),
        facts=_facts(run),
        sentence=strip.sentence,
        strip=strip,
        pictures=pictures,
        sections=sections,
        numbers=table.rows,
        asides=asides,
        config=config,
        versions=versions,
        versions_note=versions_note,
        absent=absent,
    )


def _strip(run: RunFiles, contents: Contents) -> Strip:
    try:
        return contents.strip(run)
    except Absent as reason:
        return Strip(f"Not measured yet: {reason}.")


def _strip_pictures(strip: Strip, contents: Contents, folder: Path) -> list[dict[str, Any]]:
    """The strip's figures, drawn; those of an earlier report that this one does not draw are removed."""
    drawn = {f"{picture.name}{ending}" for picture in strip.pictures for ending in (".png", ".svg")}
    for name in (f"{name}{ending}" for name in contents.strip_figures for ending in (".png", ".svg")):
        if name not in drawn:
            (folder / name).unlink(missing_ok=True)
    return [_picture(picture, folder) | {"wide": picture.wide} for picture in strip.pictures]


def _embed(section: Section, folder: Path) -> list[dict[str, Any]]:
    return [_picture(part, folder) for part in section.pictures]


def _picture(part: Picture | Table, folder: Path) -> dict[str, Any]:
    """A figure, drawn and saved, or a table, as the page's template takes it."""
    entry: dict[str, Any] = {"name": part.name, "caption": part.caption, "table": part.table, "data": ""}
    if isinstance(part, Picture):
        png = save(part.figure, folder, part.name, part.vector)
        entry |= {"data": base64.b64encode(png).decode("ascii"), "alt": part.alt}
    return entry


def _aside(section: Section, folder: Path) -> Iterator[dict[str, str]]:
    """The tables of a section as CSV files beside the page, for those who look something up."""
    folder.mkdir(exist_ok=True)
    for part in section.pictures:
        path = folder / f"{part.name}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([[cell.replace("\u200b", "") for cell in row] for row in part.table])
        yield {"file": f"{TABLES}/{path.name}", "title": section.title}


def _facts(run: RunFiles) -> str:
    """Data set, seed and folder in one line under the title."""
    dataset, facts = run.table("dataset"), [f"run folder {run.path.resolve().name}"]
    if dataset.get("name"):
        split = f" ({dataset['split']})" if dataset.get("split") else ""
        facts.append(f"data {dataset['name']}{split}")
    if run.summary.get("seed") is not None:
        facts.append(f"seed {run.summary['seed']}")
    return join(facts)


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted field names and their values as JSON, the way they are given on the command line."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _versions(run: RunFiles) -> tuple[list[tuple[str, str]], str]:
    """Versions the run recorded, otherwise those that wrote this page, and which of the two they are."""
    for name, document in (("summary.json", run.summary), ("config.json", run.config)):
        versions = document.get("versions")
        if isinstance(versions, dict) and versions:
            return [(str(k), str(v)) for k, v in versions.items()], f"As recorded by the run in {name}."
    found = [("python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            found.append((package, "not installed"))
    return found, "Of the installation that wrote this page; the run itself recorded none."
