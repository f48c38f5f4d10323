"""Where a published decoder of saliency maps goes: transposed convolutions with batch norm, one number a pixel."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.models.saliency import CHANNELS, KERNEL
from atis_jax.models.weights.files import read_weights
from atis_jax.models.weights.tensors import Tensors
from atis_jax.typing import PyTree

EPSILON = 1e-5
"""Added to a batch norm's variance; PyTorch's default."""


def load_decoder(path: Path, width: int) -> PyTree:
    """Parameters of ``models.saliency.Decoder`` from a file that has a decoder beside its backbone.

    The batch norm behind each convolution folds into it.

    Args:
        path: of the weights.
        width: D, of the tokens that are decoded.

    Raises:
        WeightsError: the file cannot be read, or its decoder has more or less in it.
    """
    tensors = Tensors(path, read_weights(path).tensors)
    found, inputs = {}, width
    for step, outputs in enumerate(CHANNELS):
        name = f"decoder.upconv{step + 1}"
        kernel = tensors.take(f"{name}.weight", inputs, outputs, KERNEL, KERNEL)
        bias = tensors.take(f"{name}.bias", outputs)
        norm = f"decoder.bn{step + 1}"
        scale, shift, mean, variance = (
            tensors.take(f"{norm}.{part}", outputs) for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = scale / np.sqrt(variance + EPSILON)
        # PyTorch spreads a pixel by the kernel, Flax gathers by it: the same, turned by half a circle.
        turned = kernel.transpose(2, 3, 0, 1)[::-1, ::-1]
        found[f"step_{step}"] = {"kernel": turned * factor, "bias": (bias - mean) * factor + shift}
        inputs = outputs
    last = tensors.take("decoder.final_conv.weight", 1, inputs, 1, 1)
    found["pixel"] = {"kernel": last.reshape(1, inputs).T, "bias": tensors.take("decoder.final_conv.bias", 1)}
    tensors.leave(r".*\.num_batches_tracked", "batches are not counted")
    tensors.leave(r"(?!decoder\.).*", "it is of the backbone, which the network has already")
    tensors.finish()
    return jax.tree.map(jnp.asarray, found)
