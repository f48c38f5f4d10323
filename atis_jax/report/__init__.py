"""Figures and one self-contained HTML page from a run's files: ``write_report(run_dir, contents)``.

Needs a run folder only (see ``run_files`` for what may be in it): no device, no data set, no network code.
"""

from atis_jax.report.errors import ReportError
from atis_jax.report.page import write_report

__all__ = ["ReportError", "write_report"]
