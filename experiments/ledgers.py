"""A co-design run's energy ledger, made from its settings."""

from __future__ import annotations

from atis_jax.models.vit import VisionTransformer
from atis_jax.scoring.spec import ScorerSpec
from atis_jax.training.energy_term import RunLedger, network_shape
from experiments.settings import CodesignSettings


def run_ledger(settings: CodesignSettings, model: VisionTransformer, spec: ScorerSpec, channels: int) -> RunLedger:
    """The ledger of loss, summary and report alike, for a scorer of ``spec`` on images of ``channels``."""
    depth = settings.model.depth
    scored = settings.pruning.scored(depth)
    return RunLedger(
        energy=settings.energy,
        network=network_shape(model, channels, settings.energy.camera),
        spec=spec,
        hardware=settings.scorer_hardware(),
        layers=tuple(layer in scored for layer in range(depth)),
    )
