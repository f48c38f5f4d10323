"""The page of policies of KV-cache eviction."""

from __future__ import annotations

from atis_jax.report.charts import Dot, dots
from atis_jax.report.contents import Arrays, Contents, Entry
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Number, Picture, Strip
from atis_jax.report.style import BLUE, GREY, RANDOM
from experiments.kv.figures import LABELS, by_budget, by_threshold, with_interval


def kv_strip(run: RunFiles) -> Strip:
    """The share that each policy recovers at the budget nearest to a quarter."""
    kv = run.part("kv")
    budget = min(kv["budgets"], key=lambda one: abs(one["share"] - 0.25))
    found = budget["policies"]
    ends = {kv["worst"]: RANDOM, kv["reference"]: GREY}
    rows = [
        Dot(
            LABELS[name],
            found[name]["recovered"]["value"],
            f"{found[name]['recovered']['value']:.2f}".replace("-", "\u2212"),
            ends.get(name, BLUE),
            tuple(found[name]["recovered"]["interval"]),
        )
        for name in LABELS
        if name in found
    ]
    share = f"{100 * budget['share']:.0f} %"
    known = [name for name in found if not name.startswith("oracle") and name not in ends]
    best = max(known, key=lambda name: found[name]["recovered"]["value"], default=kv["reference"])
    sentence = (
        f"With {share} of the prefix kept, the best policy beside {LABELS[kv['reference']]} ({LABELS[best]}) recovers "
        f"{with_interval(found[best]['recovered'], 2)} of the gap from {LABELS[kv['worst']]} to "
        f"{LABELS[kv['reference']]}. Oracles know the attention to come; no decoder does."
    )
    picture = Picture(
        "strip_kv",
        dots(rows, f"share of the gap recovered, {share} kept", compared=None),
        "Dots of the recovered share, one a policy.",
        "Right is better.",
    )
    numbers = (
        Number(f"{kv['loss_full']:.3f}", "loss of a full cache, nats a word"),
        Number(with_interval(budget["gap"], 3), f"gap from {LABELS[kv['worst']]} to {LABELS[kv['reference']]}"),
    )
    return Strip(sentence, (picture,), numbers)


KV = Contents(
    strip=kv_strip,
    strip_figures=("strip_kv",),
    sections=(
        Entry("Loss against budget", ("kv_loss",), by_budget),
        Entry("Thresholds", (), by_threshold),
    ),
    arrays=Arrays(shapes={"loss_full": "n"}),
)
"""Policies by budget."""
