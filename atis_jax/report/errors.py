"""The two ways in which something cannot be shown: the folder is wrong, or the run did not measure it."""

from __future__ import annotations

from atis_jax.validation import UserError


class ReportError(UserError, ValueError):
    """A run folder that cannot be reported: says which file, what is wrong and what to do."""


class Absent(Exception):
    """Something this run did not measure; the message is the reason printed at the end of the page."""
