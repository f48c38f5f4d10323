"""``python -m atis_jax.report RUN_DIR [...]``: write the report of finished (or stopped) runs again."""

from __future__ import annotations

import argparse
import sys

from atis_jax.report import ReportError, write_report


def main(arguments: list[str] | None = None) -> int:
    """Write one report per folder; 1 when any of them could not be written."""
    parser = argparse.ArgumentParser(prog="python -m atis_jax.report", description=__doc__)
    parser.add_argument("run_dir", nargs="+", help="a folder such as runs/quickstart")
    failed = 0
    for run_dir in parser.parse_args(arguments).run_dir:
        try:
            print(write_report(run_dir))
        except ReportError as error:
            print(f"error: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
