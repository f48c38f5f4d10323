"""One figure of several runs of ``configs/pretrained_attention.py``: a row a network.

python -m experiments.attention.compare runs/a runs/b --names MiniLM ViT --out docs/pretrained.svg
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from matplotlib.figure import Figure

from atis_jax.report.run_files import RunFiles
from experiments import figure_of_runs
from experiments.attention.figures import lines_by_layer


def draw(runs: Mapping[str, RunFiles]) -> Figure:
    """The rows."""
    return lines_by_layer({name: run.part("attention") for name, run in runs.items()})


if __name__ == "__main__":
    sys.exit(figure_of_runs.main(sys.argv[1:], "experiments.attention.compare", __doc__, draw))
