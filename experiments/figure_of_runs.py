"""One figure of several finished runs, written to a file: the command line of every module that draws one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from atis_jax.report import ReportError
from atis_jax.report.run_files import Arrays, RunFiles, read_run
from atis_jax.report.style import drawing
from experiments import arguments


def main(
    given: Sequence[str], program: str, document: str | None, draw: Callable[[Mapping[str, RunFiles]], Figure]
) -> int:
    """Draw the figure; 1 when a run cannot be read.

    Args:
        given: the command line.
        program: the module that was started.
        document: its docstring.
        draw: from runs, by what they are called, to the figure.
    """
    parser = arguments.parser(program, document)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a finished run")
    parser.add_argument("--names", nargs="+", help="what the networks are called; the folders' names if not given")
    parser.add_argument("--out", required=True, type=Path, help="file to write, .svg or .png")
    options = parser.parse_args(given)
    names = options.names or [Path(run).name for run in options.runs]
    if len(set(names)) != len(options.runs):
        parser.error(f"--names: {len(set(names))} different names for {len(options.runs)} runs; give one a run")
    try:
        runs = {name: read_run(run, Arrays()) for name, run in zip(names, options.runs, strict=True)}
        with drawing():
            figure = draw(runs)
            figure.savefig(options.out, metadata={"Date": None} if options.out.suffix == ".svg" else None)
    except (ReportError, LookupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(options.out)
    return 0
