"""The page of scores against attention."""

from __future__ import annotations

from atis_jax.report.charts import Dot, dots
from atis_jax.report.contents import Contents, Entry
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Number, Picture, Strip
from experiments.attention.figures import LABELS, LINES, TARGETS, by_groups, by_layer, mass, mean_of, signed

FITTED = ("ridge", "learned", "selection")
"""Scores that are fitted to the attention."""


def attention_strip(run: RunFiles) -> Strip:
    """Mean over layers of every score's rank correlation with the attention received."""
    attention = run.part("attention")
    found = {target: attention["targets"][target]["scores"] for target in TARGETS}
    received = found["received"]
    rows = [
        Dot(LABELS[name], mean_of(received, name), signed(mean_of(received, name)), color)
        for name, (color, *_) in LINES.items()
    ]
    best = max((name for name in LINES if name not in FITTED), key=lambda name: mean_of(received, name))
    sentence = (
        "The fitted ATIS design, untrained, ranks tokens as the attention received does with a correlation of "
        f"{signed(mean_of(received, 'learned'))}, mean of {len(received['ridge']['spearman'])} layers. What one vector "
        f"a layer reaches by least squares is {signed(mean_of(received, 'ridge'))}. Of the scores that are not fitted "
        f"to it {LABELS[best]} comes nearest, {signed(mean_of(received, best))}."
    )
    picture = Picture(
        "strip_attention",
        dots(rows, "Spearman's \u03c1, mean of layers"),
        "Dots of rank correlation with the attention received.",
        "Right is better.",
    )
    cls = found["cls_row"]
    numbers = (
        Number(signed(mean_of(cls, "learned")), "the fitted design, attention from CLS"),
        Number(signed(mean_of(cls, "extracted")), "extracted prototype, attention from CLS"),
    )
    return Strip(sentence, (picture,), numbers)


ATTENTION = Contents(
    strip=attention_strip,
    strip_figures=("strip_attention",),
    sections=(
        Entry("Scores and attention, layer by layer", ("attention_layers",), by_layer),
        Entry("Head groups", (), by_groups),
        Entry("Where the attention goes", (), mass),
    ),
)
