"""A vision transformer that says how salient each pixel is: patches behind the last block, decoded into a map.

The decoder is that of published weights (``weights.decoder``). It reads every patch, a pruned one as it came into the
layer that pruned it, so that a pruned network's map can be held against the dense network's.
Shape suffixes: B images, R rows and S columns of pixels, N tokens, I and J rows and columns of what is decoded.
"""

from __future__ import annotations

import dataclasses
from typing import cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from atis_jax.energy.shapes import NetworkShape
from atis_jax.models.vit import PROTECTED, VisionTransformer
from atis_jax.pruning.stream import Stream
from atis_jax.typing import Key, PyTree

CHANNELS = (256, 128, 64)
"""Behind each step of the decoder, which doubles rows and columns."""
KERNEL = 4
"""Side of what a step's convolution spreads a pixel over."""


class Decoder(nn.Module):
    """Transposed convolutions with ReLU, one number a pixel, resized to the image, a sigmoid."""

    @nn.compact
    def __call__(self, x: Float[Array, "B I J D"], rows: int, columns: int) -> Float[Array, "B R S"]:
        """The map of ``rows`` x ``columns`` pixels, 0 to 1."""
        for step, channels in enumerate(CHANNELS):
            x = nn.relu(nn.ConvTranspose(channels, (KERNEL, KERNEL), (2, 2), name=f"step_{step}")(x))
        x = nn.Dense(1, name="pixel")(x)[..., 0]
        return nn.sigmoid(jax.image.resize(x, (len(x), rows, columns), "linear", antialias=False))


@dataclasses.dataclass(frozen=True)
class SaliencyTransformer(VisionTransformer):
    """``models.backbone.Model`` whose logits are maps (B, R, S); all but its head is the classifier's own."""

    def init(self, key: Key) -> PyTree:
        """Untrained parameters: those of the classifier with a decoder in its head's place."""
        of_network, of_decoder = jax.random.split(key)
        decoder = Decoder().init(of_decoder, jnp.zeros((1, *self.grid, self.spec.width)), *self.grid)
        return with_decoder(super().init(of_network), decoder["params"])

    def read_out(self, params: PyTree, stream: Stream) -> Float[Array, "B R S"]:
        """Maps of the images; ``stream`` has every token."""
        x = cast(Array, self._network.apply(params, stream.x[:, PROTECTED:], method=lambda network, x: network.norm(x)))
        x = x.reshape(len(x), *self.grid, -1)
        size = self.facts.rows, self.facts.columns
        return cast(Array, Decoder().apply({"params": params["params"]["decoder"]}, x, *size))

    def shape(self, camera: bool = False) -> NetworkShape:
        """See ``Model``; the decoder, whose work does not depend on what is pruned, is counted with the stem."""
        widths = (self.spec.width, *CHANNELS)
        # A step has four times the pixels of the one before, and spreads each over the kernel.
        steps = [
            KERNEL**2 * 4**step * inputs * outputs
            for step, (inputs, outputs) in enumerate(zip(widths, CHANNELS, strict=False))
        ]
        macs = self.tokens * (sum(steps) + 4 ** len(CHANNELS) * CHANNELS[-1])
        plain = super().shape(camera)
        return dataclasses.replace(plain, classes=0, head_tokens=self.length, stem_macs=plain.stem_macs + macs)


def with_decoder(params: PyTree, decoder: PyTree) -> PyTree:
    """A classifier's parameters as those of a ``SaliencyTransformer``."""
    return {"params": {name: part for name, part in params["params"].items() if name != "head"} | {"decoder": decoder}}
