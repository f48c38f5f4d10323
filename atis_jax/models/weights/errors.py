"""What may be wrong with a file of weights."""

from __future__ import annotations

from atis_jax.validation import UserError


class WeightsError(UserError, ValueError):
    """A file of weights is damaged, or not of the family or the shape that the network has."""
