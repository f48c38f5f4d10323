"""What is raised for an export that cannot be read or made."""

from __future__ import annotations

from atis_jax.validation import UserError


class ExportError(UserError, ValueError):
    """A bundle or an export is damaged, of another version, or cannot be made; names the part and the remedy."""
