"""The report of finished, or stopped, runs written again: figures and one self-contained page a run.

    python -m experiments.report runs/quickstart

needs the folder alone: no device, no data set, no network code.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from atis_jax.report import ReportError, write_report
from atis_jax.report.run_files import experiment_of
from experiments import arguments, registry


def report_again(run_dir: str | Path) -> Path:
    """Write the report of a run of any experiment; returns the path of the page.

    Raises:
        ReportError: see ``write_report``.
    """
    return write_report(run_dir, registry.contents_of(experiment_of(run_dir)))


def main(given: Sequence[str]) -> int:
    """Write one report a folder; 1 when any of them could not be written."""
    parser = arguments.parser("experiments.report", __doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a folder such as runs/quickstart")
    failed = 0
    for run_dir in parser.parse_args(given).runs:
        try:
            print(report_again(run_dir))
        except ReportError as error:
            print(f"error: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
