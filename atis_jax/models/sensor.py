"""What a scorer at the sensor looks at: the pixels of each patch, before any converter.

Scoring there is worth something because a patch that is pruned in front of layer 0 is never needed again: with a stem
whose patches do not overlap no other token is made of its pixels, so they need not be converted, moved or embedded.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.shapes import OF_PIXELS
from atis_jax.models.vit import VisionTransformer, scaled, space_to_depth
from atis_jax.pruning.masks import PROTECTED
from atis_jax.validation import choose


def patch_pixels(model: VisionTransformer, images: Float[Array, "B S S C"]) -> Float[Array, "B N P"]:
    """Every patch's pixel values, P = patch^2 C in the order of the linear stem's inputs; CLS, which has none, zeros.

    Scaled by the data set's mean and standard deviation alone, which are fixed before the chip is made: what a sensor's
    reset level and exposure do. Nothing here depends on the image, as a normalisation would.
    """
    patches = space_to_depth(scaled(model, images), model.spec.patch)
    return jnp.pad(patches.reshape(images.shape[0], model.tokens, -1), ((0, 0), (PROTECTED, 0), (0, 0)))


def sensor_view(model: VisionTransformer, images: Float[Array, "B S S C"], source: str) -> Float[Array, "B N P"] | None:
    """``patch_pixels`` for scorers of ``source`` "pixels", None for those that look at the layers' tokens."""
    return patch_pixels(model, images) if choose(OF_PIXELS, source, "scorer.source") else None
