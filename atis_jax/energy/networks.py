"""Transformers whose operation counts are published, as shapes, with the counts they are held against."""

from __future__ import annotations

import dataclasses
from typing import Any

from atis_jax.energy.baselines import dense_ledger
from atis_jax.energy.presets import ENTRIES, EnergyPreset
from atis_jax.energy.shapes import NetworkShape, TokenCounts
from atis_jax.validation import check_choice

_FREE: dict[str, Any] = dict.fromkeys(ENTRIES, 0.0)
_COUNTING = EnergyPreset(**(_FREE | {"network_mac_j": 1.0}), name="counting")
"""One joule for each multiply-accumulate of the network and nothing else: a ledger's total is then a count."""

_TIMM = "timm, results/model_benchmark_amp_nchw_rtx3090.csv, infer_gmacs"


@dataclasses.dataclass(frozen=True)
class PublishedNetwork:
    """A shape and what somebody else counted.

    Attributes:
        shape: what the ledger works on.
        macs: published count, multiply-accumulates of one example.
        source: who counted, and in what unit it is printed (some count two operations a multiply-accumulate).
    """

    shape: NetworkShape
    macs: float
    source: str


def vit_shape(width: int, heads: int, depth: int = 12, side: int = 224, patch: int = 16) -> NetworkShape:
    """A ViT or DeiT on squares of RGB pixels with 1,000 classes (Dosovitskiy et al. 2021, Touvron et al. 2021)."""
    tokens = (side // patch) ** 2
    return NetworkShape(
        tokens=tokens,
        width=width,
        depth=depth,
        heads=heads,
        mlp_width=4 * width,
        classes=1000,
        stem_macs=tokens * patch**2 * 3 * width,
        pixel_values=patch**2 * 3,
    )


def bert_shape(tokens: int, width: int = 768, heads: int = 12, depth: int = 12, classes: int = 2) -> NetworkShape:
    """A BERT of ``tokens`` words, the first of which is CLS and never pruned (Devlin et al. 2019)."""
    return NetworkShape(
        tokens=tokens - 1,
        width=width,
        depth=depth,
        heads=heads,
        mlp_width=4 * width,
        classes=classes,
        stem_macs=width**2,  # the pooler, once a sequence
    )


def gpt2_shape(tokens: int, head_tokens: int | None = None) -> NetworkShape:
    """GPT-2 of 124 M weights (Radford et al. 2019): full, not causal, attention is counted, as is usual.

    Args:
        tokens: words in the window, none of them protected.
        head_tokens: words whose next one is predicted; all of them where not given.
    """
    return NetworkShape(
        tokens=tokens,
        width=768,
        depth=12,
        heads=12,
        mlp_width=3072,
        classes=50257,
        stem_macs=0,
        protected=0,
        head_tokens=tokens if head_tokens is None else head_tokens,
    )


def smollm2_shape(tokens: int) -> NetworkShape:
    """SmolLM2-135M (Allal et al. 2025, arXiv 2502.02737): Llama's layout, nine query heads on three key heads, tied.

    Args:
        tokens: words in the window, none of them protected; the last one's next is predicted.
    """
    return NetworkShape(
        tokens=tokens,
        width=576,
        depth=30,
        heads=9,
        mlp_width=1536,
        classes=49_152,
        stem_macs=0,
        protected=0,
        key_width=3 * 64,
        mlp_maps=3,
    )


NETWORKS: dict[str, PublishedNetwork] = {
    "deit_ti": PublishedNetwork(vit_shape(192, 3), 1.26e9, f"{_TIMM}: 1.26"),
    "deit_s": PublishedNetwork(vit_shape(384, 6), 4.61e9, f"{_TIMM}: 4.61; 4.6 in Touvron et al. 2021"),
    "vit_b": PublishedNetwork(vit_shape(768, 12), 17.58e9, f"{_TIMM}: 17.58; 17.6 in Touvron et al. 2021 (DeiT-B)"),
    "vit_l": PublishedNetwork(vit_shape(1024, 16, depth=24), 61.6e9, f"{_TIMM}: 61.6"),
    "bert_base": PublishedNetwork(
        bert_shape(128),
        22.36e9 / 2,
        "calflops (MrYxJ/calculate-flops.pytorch), README: 22.36 GFLOPs at 128 tokens, two a MAC; 22.5 in Jiao et al. "
        "2020 (TinyBERT)",
    ),
    "gpt2": PublishedNetwork(
        gpt2_shape(1024),
        291_648_307_200 / 2,
        "karpathy/nanoGPT, transformer_sizing.ipynb: forward_total 291,648,307,200 FLOPs at 1,024 tokens, two a MAC",
    ),
}


def network(name: str) -> PublishedNetwork:
    """The network called ``name``.

    Raises:
        SettingError: for an unknown name; lists those there are.
    """
    return NETWORKS[check_choice(name, NETWORKS, "network")]


def counted_macs(shape: NetworkShape, tokens: TokenCounts | None = None) -> float:
    """Multiply-accumulates of one pass with every token, or with ``tokens``, by the ledger itself."""
    return float(dense_ledger(_COUNTING, shape, tokens=tokens).total_j)
