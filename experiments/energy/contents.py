"""The page of the deployment scenarios."""

from __future__ import annotations

from atis_jax.report.contents import Contents, Entry
from atis_jax.report.run_files import Arrays
from experiments.energy.figures.breakeven import break_even_maps, break_even_numbers
from experiments.energy.figures.certainty import certainty_numbers, how_sure
from experiments.energy.figures.deciding import deciding_numbers, what_decides
from experiments.energy.figures.joules import joules
from experiments.energy.figures.passes import energy_of_a_pass
from experiments.energy.figures.tables import (
    latency,
    model_sizes,
    operation_counts,
    outside_figures,
    paper_numbers,
)
from experiments.energy.figures.words import verdicts_in_words, what_is_compared
from experiments.energy.strip import scenarios_strip

SCENARIOS = Contents(
    strip=scenarios_strip,
    strip_figures=("strip_who_wins",),
    sections=(
        Entry("Energy of a pass", ("scenario_energy",), energy_of_a_pass),
        Entry("What is compared", (), what_is_compared),
        Entry("Where the joules go", ("joules",), joules),
        Entry("What decides", ("tornado_twin", "tornado_folded"), what_decides),
        Entry("How sure", ("certainty",), how_sure),
        Entry("Break-even maps", ("break_even",), break_even_maps),
        Entry("Who wins where, in words", (), verdicts_in_words, aside=True),
        Entry("What decides, in numbers", (), deciding_numbers, aside=True),
        Entry("How sure, in numbers", (), certainty_numbers, aside=True),
        Entry("Break-even maps, in numbers", (), break_even_numbers, aside=True),
        Entry("How fast, and the roadmap's targets", (), latency, aside=True),
        Entry("Operation counts beside published ones", (), operation_counts, aside=True),
        Entry("Figures of others beside ours", (), outside_figures, aside=True),
        Entry("Larger models on the node", (), model_sizes, aside=True),
        Entry("The paper's numbers, computed again", (), paper_numbers, aside=True),
    ),
    arrays=Arrays(
        shapes={
            "map{n}_x": "map{n}_columns",
            "map{n}_y": "map{n}_rows",
            "map{n}_dense": "map{n}_rows map{n}_columns",
            "map{n}_digital": "map{n}_rows map{n}_columns",
            "map{n}_folded": "map{n}_rows map{n}_columns",
            "map{n}_codesigned_digital": "map{n}_rows map{n}_columns",
        },
    ),
)
