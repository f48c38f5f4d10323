"""One figure of several runs of ``configs/zero_shot.py``: a panel a network, the arms of all its runs in it.

python -m experiments.zero_shot.compare runs/a runs/b --names MiniLM ViT --out docs/zero_shot.svg
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from atis_jax.report.run_files import RunFiles
from experiments import figure_of_runs
from experiments.zero_shot.contents import side_by_side


def draw(runs: Mapping[str, RunFiles]) -> Figure:
    """The panels; further runs of a network add their arms to its panel."""
    panels: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    for name, run in runs.items():
        network = run.summary["network"]["folder"]
        if network not in names:
            names[network] = name
            panels[name] = dict(run.summary)
            continue
        before, more = panels[names[network]]["zero_shot"], run.summary["zero_shot"]
        panels[names[network]]["zero_shot"] = {**before, "arms": {**more["arms"], **before["arms"]}}
    return side_by_side(panels)


if __name__ == "__main__":
    sys.exit(figure_of_runs.main(sys.argv[1:], "experiments.zero_shot.compare", __doc__, draw))
