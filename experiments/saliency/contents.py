"""The page of a pruned network's saliency maps: how alike they are to the dense ones, and some of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from atis_jax.report.charts import Dot, dots
from atis_jax.report.contents import Contents, Entry
from atis_jax.report.run_files import Arrays, RunFiles
from atis_jax.report.section import Number, Picture, Section, Strip
from atis_jax.report.style import ANALOG, BLUE, GREEN, GREY, RANDOM, new_figure, panels_of

ARMS = {
    "chips": ("ATIS, mean of chips", ANALOG, "o"),
    "ideal": ("ATIS, perfect chip", BLUE, "s"),
    "attention_received": ("most attended (sees Q and K)", GREEN, "^"),
    "random": ("random", RANDOM, "x"),
}
"""Words, colour and mark of each."""
READINGS = {"as_left": "pruned patches as they left", "completed": "pruned patches completed"}
"""How the decoder reads a pruned patch."""
HEAD = (
    "pruned, wanted",
    "",
    "patches pruned",
    "operations saved",
    "as they left",
    "completed",
    "completed, less random",
)


def middle(fractions: Mapping[str, Any]) -> str:
    """The share that pictures are of."""
    return list(fractions)[len(fractions) // 2]


def table_of(saliency: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """A row an arm and share."""
    rows = [HEAD]
    for share, found in saliency["fractions"].items():
        for name, (words, *_) in ARMS.items():
            one = found["arms"][name]
            less = one["completed"].get("less_random")
            rows.append(
                (
                    f"{100 * float(share):.0f} %",
                    words,
                    f"{100 * one['pruned']:.0f} %",
                    f"{100 * one['operations_saved']:.0f} %",
                    with_error(one["as_left"]),
                    with_error(one["completed"]),
                    "" if less is None else with_error(less, "+"),
                )
            )
    rows.append(("", "mean of the other images' maps", "", "", with_error(saliency["mean_map"]), "", ""))
    return tuple(tuple(cell.replace("-", "\u2212") for cell in row) for row in rows)


def with_error(found: Mapping[str, float], sign: str = "") -> str:
    """A mean and half of its interval."""
    return f"{found['mean']:{sign}.3f} \u00b1 {(found['high'] - found['low']) / 2:.3f}"


def printed(summary: Mapping[str, Any]) -> str:
    """The table as text."""
    rows = table_of(summary["saliency"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def strip(run: RunFiles) -> Strip:
    """Every arm at the middle share."""
    saliency = run.part("saliency")
    share = middle(saliency["fractions"])
    arms = saliency["fractions"][share]["arms"]
    rows = []
    for name, (words, color, _) in ARMS.items():
        alike = arms[name]["completed"]
        cloud = np.asarray(alike["each_chip"])
        rows.append(Dot(words, alike["mean"], f"{alike['mean']:.3f}", color, (alike["low"], alike["high"]), cloud))
    sentence = (
        f"With {100 * float(share):.0f} % of the patches pruned, mean of layers, the map of the network that ATIS "
        f"prunes correlates with the dense one by {arms['chips']['completed']['mean']:.3f}, that of random "
        f"pruning by {arms['random']['completed']['mean']:.3f}. The network was not trained; one linear map a layer "
        "says what a pruned patch would have become."
    )
    picture = Picture(
        "strip_saliency",
        dots(rows, "correlation with the dense map"),
        "Dots of the maps' correlation with the dense map.",
        f"Mean of {run.table('dataset')['examples']} {run.evaluated()} and its 95 % interval.",
    )
    saved = Number(f"{100 * arms['chips']['operations_saved']:.0f} %", "fewer operations, the map's decoder counted")
    return Strip(sentence, (picture,), (saved,))


def by_share(run: RunFiles) -> Section:
    """Correlation over the share pruned, and the table."""
    saliency = run.part("saliency")
    figure = new_figure(3.2)
    panels = panels_of(figure, 1, len(READINGS), sharey=True)
    floor = saliency["mean_map"]["mean"]
    for axes, (reading, title) in zip(panels, READINGS.items(), strict=True):
        for name, (words, color, mark) in ARMS.items():
            ones = [found["arms"][name] for found in saliency["fractions"].values()]
            mean, low, high = (np.array([one[reading][part] for one in ones]) for part in ("mean", "low", "high"))
            at = [100 * one["pruned"] for one in ones]
            axes.errorbar(at, mean, (mean - low, high - mean), color=color, marker=mark, label=words, capsize=2)
        axes.axhline(floor, color=GREY, linestyle=":", label="mean of the other images' maps")
        axes.set_title(title)
        axes.set_xlabel("patches pruned, mean of layers, %")
    panels[0].set_ylabel("correlation with the dense map")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    caption = (
        f"Pearson's correlation of each map with the dense map of the same image, mean and 95 % interval over "
        f"{run.table('dataset')['examples']} {run.evaluated()}. The decoder reads a pruned patch as it came into the "
        "layer that pruned it, or moved on by a linear map of that layer. The dotted line is what a map reaches that "
        "knows nothing of its image. Operations are multiply-accumulates by the ledger, the decoder among them."
    )
    alt = "Lines of correlation over the share of patches pruned, one a method."
    return Section(
        "Maps of the pruned network", (Picture("saliency_shares", figure, alt, caption, table=table_of(saliency)),)
    )


def some_maps(run: RunFiles) -> Section:
    """Images, their dense maps, and those of every arm at the middle share."""
    images, dense, made = (run.array(name) for name in ("images", "dense_map", "pruned_map"))
    share = middle(run.part("saliency")["fractions"])
    columns = {"image": images, "every patch": dense}
    columns |= {words.split(" (")[0]: maps for (words, *_), maps in zip(ARMS.values(), made, strict=True)}
    figure = new_figure(0.3 + 1.25 * len(images))
    panels = panels_of(figure, len(images), len(columns))
    for number, axes in enumerate(panels):
        row, column = divmod(number, len(columns))
        words, shown = list(columns.items())[column]
        axes.imshow(np.clip(shown[row], 0, 1), cmap="gray", vmin=0, vmax=1)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        if row == 0:
            axes.set_title(words, fontsize=7.5, fontweight="normal", loc="center")
    pruned = f"{100 * float(share):.0f} % of the patches pruned, mean of layers, and completed"
    caption = f"The first {run.evaluated()}; {pruned}; one chip."
    picture = Picture("saliency_maps", figure, "A grid of images and their saliency maps.", caption, vector=False)
    return Section("Some maps", (picture,))


SALIENCY = Contents(
    strip=strip,
    strip_figures=("strip_saliency",),
    sections=(
        Entry("Maps of the pruned network", ("saliency_shares",), by_share),
        Entry("Some maps", ("saliency_maps",), some_maps),
    ),
    arrays=Arrays(
        shapes={"images": "k r s c", "dense_map": "k r s", "pruned_map": "a k r s"},
        fractions=("dense_map", "pruned_map"),
    ),
)
