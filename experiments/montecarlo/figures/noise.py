"""Noise sweep: what each imperfection costs, alone and all together."""

from __future__ import annotations

from typing import Any

import numpy as np

from atis_jax.report.errors import Absent
from atis_jax.report.formatting import count, imperfection, join, points, signed_points, size_of
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLACK, LINES, new_figure, panels_of, plain_log_ticks


def noise_sweep(run: RunFiles) -> Section:
    """Change of accuracy and kept fraction against the scale, a line an imperfection; the ranking as a table."""
    names = run.summary.get("scaled")
    if not isinstance(names, list) or not names:
        raise Absent("summary.json has no 'scaled'")
    scale, change, kept = run.array("noise_scale"), run.array("noise_change"), run.array("noise_kept")
    figure = new_figure(3.6)
    accuracy, tokens = panels_of(figure, 1, 2)
    for index, name in enumerate(names):
        style = (
            {"color": BLACK, "linewidth": 2.4}
            if name == "all"
            else {"color": LINES[index % len(LINES)][0], "linestyle": LINES[(index // len(LINES)) % len(LINES)][1]}
        )
        accuracy.plot(scale, 100 * change[index].mean(axis=-1), marker=".", label=imperfection(name), **style)
        tokens.plot(scale, 100 * kept[index].mean(axis=-1), marker=".", **style)
    for axes in (accuracy, tokens):
        axes.set_xscale("log")
        axes.set_xticks(scale, [f"{s:g}" for s in scale])
        plain_log_ticks(axes.xaxis)
        axes.set_xlabel("times the design's own size")
    accuracy.set_ylabel("change of accuracy (points)")
    tokens.set_ylabel("tokens kept, mean of layers (%)")
    figure.legend(*accuracy.get_legend_handles_labels(), loc="outside right center")
    chips = change.shape[-1]
    at_one = _at(run, 1.0)
    worst = max(scale)
    ranking = run.table("ranking").get(f"{worst:g}", [])
    sentences = [
        f"Mean over {count(chips, 'chip')} of the difference to the perfect chip on the same inputs; each imperfection "
        "is scaled with all others at zero, the thick line scales all."
    ]
    if at_one:
        sentences.append(
            f"At the design's own size all together cost {points(at_one['change_mean'])} "
            f"({points(at_one['change_low'])} to {points(at_one['change_high'])})."
        )
    if ranking:
        sentences.append(f"At {worst:g} times, the costliest are {join([imperfection(name) for name in ranking[:3]])}.")
    absent = run.summary.get("absent") or []
    if absent:
        sentences.append(f"Zero on this hardware, so not scaled: {join([imperfection(name) for name in absent])}.")
    magnitude = run.table("magnitudes")
    heads = ("change in points", "size at 1 (RMS)", *(f"× {s:g}" for s in scale))
    rows = []
    for index, name in enumerate(names):
        size = magnitude.get(name)
        changes = (signed_points(float(value)) for value in change[index].mean(axis=-1))
        rows.append((imperfection(name), size_of(size["value"], size["unit"]) if size else "", *changes))
    within = [point["within"]["passed"] for point in run.summary["noise"] if point["imperfection"] == "all"]
    limit = run.number("limit")
    if within and limit is not None:
        what = f"chips within {points(limit).lstrip('+')}, all together"
        rows.append((what, f"of {chips}", *map(str, within)))
    picture = Picture(
        "noise_sweep", figure, "Change of accuracy and kept tokens.", " ".join(sentences), table=(heads, *rows)
    )
    return Section("What each imperfection costs", (picture,))


def _at(run: RunFiles, scale: float) -> dict[str, Any] | None:
    for point in run.summary.get("noise", []):
        if point["imperfection"] == "all" and np.isclose(point["scale"], scale):
            return point
    return None
