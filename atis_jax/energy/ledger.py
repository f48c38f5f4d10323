"""Joules per image of a pruned transformer with an analog scorer in front of its layers, line by line.

The same function serves the loss, the summary and the report. It is smooth in token counts, currents, supply,
token time and the preset's constants; shapes are static. Per-image counts give the exact energy of an image;
a mean count understates the quadratic part of attention by its variance, so ``vmap`` over images and average
where that matters.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import NetworkShape, ScorerShape, attention_macs, mlp_macs
from atis_jax.numerics import pytree
from atis_jax.validation import SettingError

SPARSE_SIGN_DENSITY = 1 / 3
"""Share of entries that are not zero in Achlioptas' projection (2003, doi 10.1016/S0022-0000(03)00025-4)."""


@pytree
class Ledger:
    """Joules per image, one field a line; ``docs/energy.md`` says what each means and what is left out.

    Attributes:
        normalisation_j: normalising the tokens that a scorer or an attention looks at.
        projection_j: bringing scored tokens from d to N in digital.
        score_j: digital inner product with the prototype; zero for an analog scorer.
        dac_j: conversions.
        ota_j: bias current over the token time, and the input lines.
        tia_j: op-amp power over the token time.
        comparator_j: comparisons, analog or digital.
        switching_j: changing the prototype of a multiplexed array.
        attention_j: Q, K, V, output maps and the two products, on survivors.
        mlp_j: MLP on survivors.
        embedding_j: stem and classification head.
    """

    normalisation_j: Float[Array, ""]
    projection_j: Float[Array, ""]
    score_j: Float[Array, ""]
    dac_j: Float[Array, ""]
    ota_j: Float[Array, ""]
    tia_j: Float[Array, ""]
    comparator_j: Float[Array, ""]
    switching_j: Float[Array, ""]
    attention_j: Float[Array, ""]
    mlp_j: Float[Array, ""]
    embedding_j: Float[Array, ""]

    @property
    def total_j(self) -> Float[Array, ""]:
        """Sum of all lines."""
        return sum(self.as_dict().values(), jnp.zeros(()))

    @property
    def scoring_j(self) -> Float[Array, ""]:
        """What the scorer adds, projection to comparator; normalisation is shared with attention."""
        return sum((getattr(self, f"{line}_j") for line in SCORING_LINES), jnp.zeros(()))

    def as_dict(self) -> dict[str, Float[Array, ""]]:
        """The lines in the order of the signal chain, in joules; keys are the names without ``_j``."""
        return {line: getattr(self, f"{line}_j") for line in LINES}


LINES = tuple(field.name.removesuffix("_j") for field in dataclasses.fields(Ledger))
SCORING_LINES = ("projection", "score", "dac", "ota", "tia", "comparator", "switching")
LINE_ENTRIES: dict[str, tuple[str, ...]] = {
    "normalisation": ("normalise_multiply_j", "normalise_add_j"),
    "projection": ("score_mac_j", "score_add_j"),
    "score": ("score_mac_j",),
    "dac": ("dac_j_per_bit",),
    "ota": ("ota_dynamic_j",),
    "tia": ("tia_w",),
    "comparator": ("comparator_j", "compare_j"),
    "switching": ("switch_j",),
    "attention": ("network_mac_j",),
    "mlp": ("network_mac_j",),
    "embedding": ("network_mac_j",),
}
"""Entries of the preset each line can draw on; with ``presets.nodes_nm`` this gives the nodes of a line."""


def projection_j_per_token(preset: EnergyPreset, network: NetworkShape, scorer: ScorerShape) -> float:
    """Digital energy of bringing one token from d to N.

    N d multiply-accumulates for a dense matrix; N d / 3 additions for sparse signs (the mean over draws);
    nothing for a selection of dimensions.
    """
    entries = float(scorer.inputs) * network.width
    if scorer.projection == "selection":
        return 0.0
    if scorer.projection == "sparse_sign":
        return entries * SPARSE_SIGN_DENSITY * preset.score_add_j
    return entries * preset.score_mac_j


def network_lines(
    preset: EnergyPreset, network: NetworkShape, kept_per_layer: Float[Array, "L"]
) -> dict[str, Float[Array, ""]]:
    """``attention_j``, ``mlp_j`` and ``embedding_j`` with ``kept_per_layer`` patch tokens in each layer."""
    tokens = kept_per_layer + network.protected
    head_macs = float(network.width) * network.classes
    return {
        "attention_j": preset.network_mac_j * jnp.sum(attention_macs(network, tokens)),
        "mlp_j": preset.network_mac_j * jnp.sum(mlp_macs(network, tokens)),
        "embedding_j": jnp.asarray(preset.network_mac_j * (network.stem_macs + head_macs)),
    }


def normalisation_line(
    preset: EnergyPreset, network: NetworkShape, normalised_per_layer: Float[Array, "L"]
) -> Float[Array, ""]:
    """2 d multiplications and 3 d additions a token: mean, centring, squares and their sum, scaling.

    Args:
        preset: constants.
        network: shape; the protected tokens are added here.
        normalised_per_layer: (L,) patch tokens that layer's scorer or attention looks at.
    """
    per_token = network.width * (2.0 * preset.normalise_multiply_j + 3.0 * preset.normalise_add_j)
    return per_token * jnp.sum(normalised_per_layer + network.protected)


def counts(
    network: NetworkShape,
    scorer: ScorerShape,
    scored_per_layer: Float[Array, "L"],
    kept_per_layer: Float[Array, "L"],
) -> tuple[Float[Array, "L"], Float[Array, "L"], Float[Array, "L"]]:
    """Checked (scored, kept, normalised) patch tokens per layer.

    Nothing is scored in a layer without a scorer. A scored layer normalises every token its scorer sees, an
    unscored one those its attention sees: normalising the tokens it prunes is a cost of scoring.

    Raises:
        SettingError: if a vector is not of length ``depth``.
    """
    scored = _per_layer(scored_per_layer, network, "scored_per_layer")
    kept = _per_layer(kept_per_layer, network, "kept_per_layer")
    has_scorer = _per_layer(jnp.asarray(scorer.layers), network, "scorer.layers")
    return jnp.where(has_scorer, scored, 0.0), kept, jnp.where(has_scorer, scored, kept)


def ledger(
    preset: EnergyPreset,
    network: NetworkShape,
    scorer: ScorerShape,
    scored_per_layer: Float[Array, "L"],
    kept_per_layer: Float[Array, "L"],
    bias_current_a: Float[Array, "L"],
    supply_v: Float[Array, ""] | float,
    token_time_s: Float[Array, ""] | float,
) -> Ledger:
    """Energy of one image with the analog scorer.

    Args:
        preset: what an operation costs.
        network: shape of the transformer.
        scorer: shape of the scorer.
        scored_per_layer: (L,) patch tokens the scorer of each layer looks at; ignored where it has none.
        kept_per_layer: (L,) patch tokens that go through each layer (kept by any prototype).
        bias_current_a: (L,) sum of the bias currents of all G x N OTAs (2 G x N if differential), amperes. A
            multiplexed array burns each prototype's share in its own turn, so the sum is right for it too.
        supply_v: analog supply, volts.
        token_time_s: time the array is on for one token and one prototype, seconds.

    Returns:
        Joules per image.

    Raises:
        SettingError: if a per-layer vector is not of length ``depth``.
    """
    scored, kept, normalised = counts(network, scorer, scored_per_layer, kept_per_layer)
    bias = _per_layer(bias_current_a, network, "bias_current_a")
    scored_tokens = jnp.sum(scored)
    otas = scorer.arrays * scorer.inputs
    switched = otas if scorer.arrangement == "multiplexed" and scorer.prototypes > 1 else 0
    static_j = jnp.sum(scored * bias) * supply_v * token_time_s
    return Ledger(
        normalisation_j=normalisation_line(preset, network, normalised),
        projection_j=scored_tokens * projection_j_per_token(preset, network, scorer),
        score_j=jnp.zeros_like(scored_tokens),
        # One conversion an input and a token: the held voltage serves all prototypes.
        dac_j=scored_tokens * (scorer.inputs * scorer.dac_bits * preset.dac_j_per_bit),
        ota_j=static_j + scored_tokens * (otas * preset.ota_dynamic_j),
        tia_j=scored_tokens * (scorer.arrays * preset.tia_w * token_time_s),
        comparator_j=scored_tokens * (scorer.prototypes * preset.comparator_j),
        switching_j=scored_tokens * (switched * preset.switch_j),
        **network_lines(preset, network, kept),
    )


def _per_layer(value, network: NetworkShape, name: str) -> Array:
    array = jnp.asarray(value)
    if array.shape != (network.depth,):
        raise SettingError(
            f"{name} has shape {array.shape}; give one value for each of the {network.depth} layers, "
            f"shape ({network.depth},); use jax.vmap for more images"
        )
    return array
