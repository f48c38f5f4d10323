"""``write_report``: a run folder in, figures and one self-contained HTML page out."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.figures import CODESIGN, sections_for
from atis_jax.report.formatting import join
from atis_jax.report.headline import headline
from atis_jax.report.run_files import RunFiles, read_run
from atis_jax.report.section import Picture, Section
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


def write_report(run_dir: str | Path) -> Path:
    """Write ``figures/*.png`` (and small ``.svg``) and ``report.html`` into a run folder.

    The same files give the same bytes. Figures of an earlier report that this one does not draw are removed,
    other files in ``figures/`` are left alone.

    Args:
        run_dir: a folder with config.json, summary.json, metrics.jsonl, artifacts.npz, each of which may be
            absent: what it would have shown is then listed at the end of the page with the reason.

    Returns:
        The path of report.html.

    Raises:
        ReportError: no such folder, a damaged file, values that contradict each other, or a folder that
            cannot be written.
    """
    run = read_run(run_dir)
    try:
        (run.path / "figures").mkdir(exist_ok=True)
        html = render(run)
        target = run.path / "report.html"
        unfinished = run.path / ".report.html.part"
        unfinished.write_text(html, encoding="utf-8")
        os.replace(unfinished, target)  # never half a page, also when stopped here
    except OSError as error:
        raise ReportError(f"cannot write the report into {run.path} ({error}); check its permissions") from error
    return target


def render(run: RunFiles) -> str:
    """Draw and save the figures; the page as a string."""
    top = headline(run)
    entries = sections_for(run.experiment)
    # A run that trains nothing does not lack a training run's headline numbers.
    absent = list(top.absent) if any(set(CODESIGN) & set(entry.experiments) for entry in entries) else []
    sections: list[dict[str, Any]] = []
    with drawing():
        for entry in entries:
            try:
                section = entry.build(run)
            except Absent as reason:
                absent.append((entry.title, str(reason)))
                for name in entry.figures:
                    for ending in ("png", "svg"):
                        (run.path / "figures" / f"{name}.{ending}").unlink(missing_ok=True)
                continue
            absent.extend(section.absent)
            sections.append({"title": section.title, "pictures": _embed(section, run.path / "figures")})
    versions, versions_note = _versions(run)
    config = list(_flatten(run.config))
    if not config:
        absent.append(("Configuration", run.missing.get("config.json", "config.json is empty")))
    return page_template(__package__).render(
        title=str(run.summary.get("experiment") or run.config.get("name") or run.path.resolve().name),
        facts=_facts(run),
        sentence=top.sentence,
        headline=top,
        sections=sections,
        config=config,
        versions=versions,
        versions_note=versions_note,
        absent=absent,
    )


def _embed(section: Section, folder: Path) -> list[dict[str, Any]]:
    embedded = []
    for part in section.pictures:
        entry: dict[str, Any] = {"name": part.name, "caption": part.caption, "table": part.table, "data": ""}
        if isinstance(part, Picture):
            png = save(part.figure, folder, part.name, part.vector)
            entry |= {"data": base64.b64encode(png).decode("ascii"), "alt": part.alt}
        embedded.append(entry)
    return embedded


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
        recorded = document.get("versions")
        if isinstance(recorded, dict) and recorded:
            return [(str(k), str(v)) for k, v in recorded.items()], f"As recorded by the run in {name}."
    found = [("python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            found.append((package, "not installed"))
    return found, "Of the installation that wrote this page; the run itself recorded none."
