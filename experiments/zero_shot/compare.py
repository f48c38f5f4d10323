"""One figure of several runs of ``configs/zero_shot.py``: a panel a network.

python -m experiments.zero_shot.compare runs/a runs/b --names MiniLM ViT --out docs/zero_shot.svg
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from matplotlib.figure import Figure

from atis_jax.report.run_files import RunFiles
from experiments import figure_of_runs
from experiments.zero_shot.contents import side_by_side


def draw(runs: Mapping[str, RunFiles]) -> Figure:
    """The panels."""
    return side_by_side({name: run.summary for name, run in runs.items()})


if __name__ == "__main__":
    sys.exit(figure_of_runs.main(sys.argv[1:], "experiments.zero_shot.compare", __doc__, draw))
