"""Retargeting: what a chip's reprogramming takes, and how it does before and after calibration."""

from __future__ import annotations

from typing import Any

import numpy as np

from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.formatting import count, duration, percent, si
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section, Table
from atis_jax.report.style import LINES, new_figure, panels_of


def retargeting(run: RunFiles) -> Section:
    """Accuracy and decisions of every chip in each state, and the cost of the change."""
    told = _told(run)
    accuracy, equal = run.array("retarget_accuracy"), run.array("retarget_equal")
    names = [arm["arm"] for arm in told["arms"]]
    for arm, values in zip(told["arms"], accuracy, strict=True):
        if not np.isclose(values.mean(), arm["mean"], atol=1e-6):
            raise ReportError(
                f"summary.json says that chips {arm['arm']} have mean accuracy {arm['mean']}, artifacts.npz "
                f"({values.mean():.6g}) does not; take both files from one run"
            )
    figure = new_figure(2.4)
    left, right = panels_of(figure, 1, 2, sharey=True)
    for axes, values in ((left, 100 * equal), (right, 100 * accuracy)):
        for row, (chips, (color, _)) in enumerate(zip(values, LINES, strict=False)):
            heights = row + np.linspace(-0.3, 0.3, len(chips)) if len(chips) > 1 else [row]
            axes.plot(chips, heights, "o", color=color, markersize=3.6)
        axes.grid(axis="y", visible=False)
    left.set_yticks(range(len(names)), names)
    left.set_ylim(len(names) - 0.4, -0.6)
    left.set_xlabel("decisions as on the perfect chip (%)")
    right.set_xlabel("accuracy (%)")
    right.axvline(100 * told["perfect"], color=LINES[1][0], linestyle="--", linewidth=1.2)
    caption = (
        f"{count(told['chips'], 'chip')} that were calibrated with the design of {told['old']} and reprogrammed to "
        f"that of {told['new']}; each point is a chip. The dashed line is the new design on the perfect chip."
    )
    heads = ("state", "decisions equal", "accuracy, mean ± std", "worst")
    rows = [
        (
            arm["arm"],
            percent(arm["decisions_equal"], 2),
            f"{percent(arm['mean'], 2)} ± {100 * arm['std']:.2f}",
            percent(arm["worst"], 2),
        )
        for arm in told["arms"]
    ]
    picture = Picture("retarget", figure, "Chips before and after calibration.", caption, table=(heads, *rows))
    return Section("One chip, another model", (picture, _cost(told)))


def _cost(told: dict[str, Any]) -> Table:
    rows = (
        ("floating gates of the array", "", str(told["cells"])),
        ("written", "injected, one after the other", str(told["written"])),
        ("arrays erased", "one current that falls erases its whole array", str(told["erased_arrays"])),
        ("inputs swapped", "switches, where a sign changed", str(told["swapped"])),
        ("feedback resistors, thresholds", "that change", f"{told['resistors']}, {told['references']}"),
        ("time", "at the bound of a precise write", duration(told["time_s"])),
        ("energy", "geometric mean of pulses alone and with measuring", si(told["energy_j"], "J")),
    )
    caption = "What reprogramming takes; the list of every cell is list/changes.csv."
    return Table("retarget_cost", caption, (("what", "", "value"), *rows))


def _told(run: RunFiles) -> dict[str, Any]:
    found = run.table("retarget")
    if not found.get("arms"):
        raise Absent(run.missing.get("summary.json", "summary.json has no 'retarget' with arms"))
    return found
