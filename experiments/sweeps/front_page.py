"""The front of a sweep as its page shows it: the answer in words, the plane with every design on it, the table."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from atis_jax.formatting import sampling_error
from atis_jax.report import style
from atis_jax.report.formatting import count, points, si_scale, significant
from experiments.sweeps.front import Front
from experiments.sweeps.placing import Placement, cheapest_equal, reference_of
from experiments.wording import change, is_accuracy, is_measured_accuracy, over_seeds


def section(placements: Sequence[Placement], front: Front, why_not: str = "") -> dict[str, Any]:
    """What the page's template needs.

    Args:
        placements: the designs, the cheapest first; none before the reference has finished.
        front: what is compared.
        why_not: what to say where there are none.
    """
    if not placements:
        return {"sentence": why_not, "picture": None, "lines": []}
    reference = reference_of(placements, front)
    against = "against reference (points)" if is_accuracy(front.value) else "against reference"
    return {
        "sentence": sentence(placements, front),
        "picture": base64.b64encode(picture(placements, front)).decode("ascii"),
        "caption": caption(placements, front),
        "heads": ("", "seeds", front.cost, "reference over it", front.value, against, "equal", "on front"),
        "lines": [
            {
                "name": one.design.name,
                "reference": one is reference,
                "best": one.best,
                "cells": (
                    str(one.value.n),
                    over_seeds(front.cost, one.cost),
                    significant(one.cheaper),
                    over_seeds(front.value, one.value, one.design.examples()),
                    "" if one is reference else _change(one, front),
                    "yes" if one.equal else "no",
                    "yes" if one.best else "",
                ),
            }
            for one in placements
        ],
    }


def sentence(placements: Sequence[Placement], front: Front) -> str:
    """How much cheaper the cheapest equal design is."""
    reference, least = reference_of(placements, front), cheapest_equal(placements)
    limit = points(front.tolerance).lstrip("+")
    if least is reference:
        return (
            f"Of {count(len(placements), 'design')} none within {limit} of the reference {reference.design.name} costs "
            "less."
        )
    return (
        f"Of {count(len(placements), 'design')} the cheapest within {limit} of the reference "
        f"({reference.design.name}) is {least.design.name}: {significant(least.cheaper)} times less {front.cost}, "
        f"and {front.value} "
        f"{_change(least, front, ' points')}. The cheapest of several measured designs looks "
        "better than a new measurement of it would."
    )


def caption(placements: Sequence[Placement], front: Front) -> str:
    """What the marks mean, and how sure they are."""
    text = "Every mark is a design"
    if any(one.value.n > 1 for one in placements):
        text += ", the mean of its seeds; bars are the standard deviation over them"
    text += f". Above the dotted line a design counts as equal to the reference (within {points(front.tolerance)[1:]})."
    if error := _error(reference_of(placements, front), front):
        text += f" One standard error of an accuracy on these examples is {significant(100 * error, 2)} points."
    return text


def picture(placements: Sequence[Placement], front: Front) -> bytes:
    """Value against cost: every design a mark, those on the front joined, the reference marked."""
    share = 100 if is_accuracy(front.value) else 1
    joules = front.cost.endswith("_j")
    factor, prefix = si_scale([one.cost.mean for one in placements]) if joules else (1.0, "")
    with style.drawing():
        figure = style.new_figure(3.6)
        axes = style.panels_of(figure, 1, 1)[0]
        shown = [one for one in placements if one.cost.mean > 0]  # a logarithmic axis has no zero

        def at(some: Sequence[Placement]) -> tuple[list[float], list[float]]:
            some = [one for one in some if one in shown]
            return [one.cost.mean / factor for one in some], [one.value.mean * share for one in some]

        reference = reference_of(placements, front)
        for one in shown:
            axes.errorbar(
                one.cost.mean / factor,
                one.value.mean * share,
                # Down to a cost of zero a logarithmic axis would have no end.
                xerr=[[min(one.cost.spread or 0.0, 0.9 * one.cost.mean) / factor], [(one.cost.spread or 0.0) / factor]],
                yerr=(one.value.spread or 0.0) * share,
                color=style.GREY,
                linewidth=0.9,
                zorder=1,
            )
        axes.plot(*at([one for one in placements if not one.best and one is not reference]), "o", **_HOLLOW)
        axes.plot(
            *at([one for one in placements if one.best]),
            "o-",
            color=style.BLUE,
            drawstyle="steps-post",
            label="on the front",
        )
        axes.plot(*at([reference]), "D", color=style.VERMILLION, markersize=8, label="reference")
        axes.axhline((reference.value.mean - front.tolerance) * share, color=style.GREY, linestyle=":")
        if shown:
            axes.set_xscale("log")
            style.ratio_axis(axes, "x", *axes.get_xlim())
        axes.set_xlabel(f"{front.cost} ({prefix}J)" if joules else front.cost)
        axes.set_ylabel(f"{front.value} (%)" if share == 100 else front.value)
        style.legend_above(axes, "on the front", "other designs", "reference")
        return style.png_bytes(figure)


_HOLLOW: dict[str, Any] = {"color": "white", "markeredgecolor": style.GREY, "label": "other designs"}


def _error(one: Placement, front: Front) -> float | None:
    examples = one.design.examples()
    return sampling_error(one.value.mean, examples) if examples and is_measured_accuracy(front.value) else None


def _change(one: Placement, front: Front, unit: str = "") -> str:
    """Its value against the reference's, and whether that is more than chance."""
    if not is_accuracy(front.value):
        return significant(one.change)
    text = change(one.change, _error(one, front)) + unit
    return text + (" (not distinguishable)" if one.limit is not None and abs(one.change) <= one.limit else "")
