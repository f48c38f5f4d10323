"""The page of a gate in front of a decoder's keys and values."""

from __future__ import annotations

from atis_jax.report.charts import Dot, dots
from atis_jax.report.contents import Arrays, Contents, Entry
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Number, Picture, Strip
from atis_jax.report.style import ANALOG, BLUE, GREY, RANDOM
from experiments.kv.figures import with_interval
from experiments.kv_gate.figures import OURS, after_reading, another_text, names_of, while_reading, words_of
from experiments.kv_gate.text import remembered


def gate_strip(run: RunFiles) -> Strip:
    """The share that each recovers at the budget nearest to a quarter."""
    kv = run.part("kv_gate")
    budget = min(kv["budgets"], key=lambda one: abs(one["share"] - 0.25))
    colours = {kv["worst"]: RANDOM, kv["reference"]: GREY} | dict.fromkeys(OURS, ANALOG)
    rows = []
    for name in names_of(budget, None):
        found = budget["rows"][name]["recovered"]
        text = f"{found['value']:.2f}".replace("-", "\u2212")
        rows.append(Dot(words_of(name), found["value"], text, colours.get(name, BLUE), tuple(found["interval"])))
    chips = budget["rows"]["chips"]
    sentence = (
        f"{kv['inputs']} analog inputs of {kv['bits']} bits in front of each layer decide which words are remembered: "
        f"with {100 * chips['kept']:.0f} % kept, {chips['chips']} chips recover {with_interval(chips['recovered'], 2)} "
        f"of the gap from {words_of(kv['worst'])} to {words_of(kv['reference'])}, which sees every attention weight."
    )
    picture = Picture(
        "strip_kv_gate",
        dots(rows, "share of the gap recovered", compared=None),
        "Dots of the recovered share, one a method.",
        "Right is better.",
    )
    numbers = (
        Number(f"{kv['loss_full']:.3f}", "loss of a full cache, nats a word"),
        Number(with_interval(budget["gap"], 3), f"gap from {words_of(kv['worst'])} to {words_of(kv['reference'])}"),
    )
    return Strip(sentence, (picture,), numbers)


KV_GATE = Contents(
    strip=gate_strip,
    strip_figures=("strip_kv_gate",),
    sections=(
        Entry("Evicted after reading", (), after_reading),
        Entry("Refused while reading", (), while_reading),
        Entry("Another text", (), another_text),
        Entry("What is remembered", ("remembered",), remembered),
    ),
    arrays=Arrays(shapes={"full_0": "n"}),
)
"""Methods by budget."""
