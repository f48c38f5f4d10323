"""The front of a sweep as its page shows it: the answer in words, the plane with every run on it, the table."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

from atis_jax.report import style
from atis_jax.report.formatting import count, points, si_scale, significant
from experiments.sweeps.front import Front, Placed, cheapest_equal, reference_of


def section(
    placed: Sequence[Placed], front: Front, number: Callable[[str, float], str], why_not: str = ""
) -> dict[str, Any]:
    """What the page's template needs.

    Args:
        placed: the runs, the cheapest first; none before the reference has finished.
        front: what is compared.
        number: writes a number of the summary by its name.
        why_not: what to say where there are none.
    """
    if not placed:
        return {"sentence": why_not, "picture": None, "lines": []}
    reference = reference_of(placed, front)
    return {
        "sentence": sentence(placed, front),
        "picture": base64.b64encode(picture(placed, front)).decode("ascii"),
        "heads": ("", front.cost, "reference over it", front.value, "against reference", "equal", "on the front"),
        "lines": [
            {
                "name": one.row.name,
                "reference": one is reference,
                "best": one.best,
                "cells": (
                    number(front.cost, one.cost),
                    significant(one.cheaper),
                    number(front.value, one.value),
                    points(one.change),
                    "yes" if one.equal else "no",
                    "yes" if one.best else "",
                ),
            }
            for one in placed
        ],
    }


def sentence(placed: Sequence[Placed], front: Front) -> str:
    """How much cheaper the cheapest equal run is."""
    reference, least = reference_of(placed, front), cheapest_equal(placed)
    limit = points(front.tolerance).lstrip("+")
    if least is reference:
        return f"Of {count(len(placed), 'run')} none within {limit} of the reference {front.reference} costs less."
    return (
        f"Of {count(len(placed), 'run')} the cheapest within {limit} of the reference ({front.reference}) is "
        f"{least.row.name}: {significant(least.cheaper)} times less {front.cost}, {points(least.change)} of "
        f"{front.value}. The cheapest of several measured runs looks better than a new measurement of it would."
    )


def picture(placed: Sequence[Placed], front: Front) -> bytes:
    """Value against cost: every run a mark, those on the front joined, the reference marked."""
    share = front.value.startswith("accuracy.")
    joules = front.cost.endswith("_j")
    factor, prefix = si_scale([one.cost for one in placed]) if joules else (1.0, "")
    with style.drawing():
        figure = style.new_figure(3.6)
        axes = style.panels_of(figure, 1, 1)[0]

        def at(some: Sequence[Placed]) -> tuple[list[float], list[float]]:
            some = [one for one in some if one.cost > 0]  # a logarithmic axis has no zero
            return [one.cost / factor for one in some], [one.value * (100 if share else 1) for one in some]

        reference = reference_of(placed, front)
        rest = [one for one in placed if not one.best and one is not reference]
        edge = [one for one in placed if one.best]
        axes.plot(*at(rest), "o", color="white", markeredgecolor=style.GREY, label="other runs")
        axes.plot(*at(edge), "o-", color=style.BLUE, drawstyle="steps-post", label="on the front")
        axes.plot(*at([reference]), "D", color=style.VERMILLION, markersize=8, label="reference")
        axes.axhline((reference.value - front.tolerance) * (100 if share else 1), color=style.GREY, linestyle=":")
        axes.set_xscale("log")
        style.plain_log_ticks(axes.xaxis)
        axes.set_xlabel(f"{front.cost} ({prefix}J)" if joules else front.cost)
        axes.set_ylabel(f"{front.value} (%)" if share else front.value)
        style.legend_above(axes, "on the front", "other runs", "reference")
        return style.png_bytes(figure)
