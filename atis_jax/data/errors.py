"""The one error that a data set which is missing, unreadable or of the wrong kind raises."""

from __future__ import annotations

from atis_jax.validation import UserError


class DatasetError(UserError, RuntimeError):
    """A data set cannot be used; the message says which, where it was looked for, and what to do."""
