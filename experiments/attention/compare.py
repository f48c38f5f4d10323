"""One figure of several runs of ``configs/pretrained_attention.py``: a row a network.

python -m experiments.attention.compare runs/a runs/b --names MiniLM ViT --out docs/pretrained.svg
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from atis_jax.report import ReportError
from atis_jax.report.run_files import Arrays, read_run
from atis_jax.report.style import drawing
from experiments import arguments
from experiments.attention.figures import lines_by_layer


def main(given: Sequence[str]) -> int:
    """Draw the figure; 1 when a run cannot be read."""
    parser = arguments.parser("experiments.attention.compare", __doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a folder such as runs/pretrained_attention-minilm")
    parser.add_argument("--names", nargs="+", help="what the networks are called; the folders' names if not given")
    parser.add_argument("--out", required=True, type=Path, help="file to write, .svg or .png")
    options = parser.parse_args(given)
    names = options.names or [Path(run).name for run in options.runs]
    if len(set(names)) != len(options.runs):
        parser.error(f"--names: {len(set(names))} different names for {len(options.runs)} runs; give one a run")
    try:
        found = {name: read_run(run, Arrays()).part("attention") for name, run in zip(names, options.runs, strict=True)}
    except (ReportError, LookupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    with drawing():
        lines_by_layer(found).savefig(options.out, metadata={"Date": None} if options.out.suffix == ".svg" else None)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
