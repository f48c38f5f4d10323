"""A co-design run's energy ledger, made from its settings."""

from __future__ import annotations

from atis_jax.models.backbone import Model
from atis_jax.scoring.bill import Bill
from experiments.settings import CodesignSettings


def run_bill(settings: CodesignSettings, model: Model) -> Bill:
    """Prices and shapes of loss, summary and report alike."""
    scored = settings.pruning.scored(model.depth)
    return Bill(
        energy=settings.energy,
        network=model.shape(settings.energy.camera),
        layers=tuple(layer in scored for layer in range(model.depth)),
    )
