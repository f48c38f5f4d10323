"""Where a vision transformer's published weights go: names of Hugging Face's ViT and DeiT, of its DINOv2, of timm's.

What the published block has more than ours folds into its matrices: the scale and bias of the norm in front of
attention into q, k and v, LayerScale into the maps behind attention and MLP. So does what pixels are normalised by.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from atis_jax.models.vit import PROTECTED, VisionTransformer
from atis_jax.models.weights.errors import WeightsError
from atis_jax.models.weights.facts import activation_of, check_facts
from atis_jax.models.weights.files import PREPARATION, WeightsFile
from atis_jax.models.weights.positions import resized
from atis_jax.models.weights.tensors import Reading, Tensors, stacked

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's channels: what pixels are normalised by where no file says otherwise."""


@dataclasses.dataclass(frozen=True)
class Naming:
    """Published names; those of a block behind ``block``, which holds its number.

    Attributes:
        block: in front of a block's names.
        cls: CLS token.
        position: table of positions, that of CLS first.
        patch: patch embedding, a convolution.
        norm: behind the last block.
        head: classifier.
        norm_attention: norm in front of attention.
        maps: query, key and value; or one map to all three.
        out: map behind attention.
        norm_mlp: norm in front of the MLP.
        up: first map of the MLP.
        down: second map of the MLP.
        scales: LayerScale behind attention and MLP (Touvron et al. 2021, arXiv 2103.17239), where the first block has
            it; empty: none.
        unused: patterns of what is never used, and why.
    """

    block: str
    cls: str
    position: str
    patch: str
    norm: str
    head: str
    norm_attention: str
    maps: tuple[str, ...]
    out: str
    norm_mlp: str
    up: str
    down: str
    scales: tuple[str, ...] = ()
    unused: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: {
            r"(embeddings\.)?mask_token": "no patch is masked out",
            r"pooler\..*": "the answer is read from CLS itself",
        }
    )


_SELF = tuple(f"attention.attention.{name}" for name in ("query", "key", "value"))
_VIT = Naming(
    block="encoder.layer.{}.",
    cls="embeddings.cls_token",
    position="embeddings.position_embeddings",
    patch="embeddings.patch_embeddings.projection",
    norm="layernorm",
    head="classifier",
    norm_attention="layernorm_before",
    maps=_SELF,
    out="attention.output.dense",
    norm_mlp="layernorm_after",
    up="intermediate.dense",
    down="output.dense",
)
_DINO = dataclasses.replace(
    _VIT,
    norm_attention="norm1",
    norm_mlp="norm2",
    up="mlp.fc1",
    down="mlp.fc2",
    scales=("layer_scale1.lambda1", "layer_scale2.lambda1"),
)
_TIMM = Naming(
    block="blocks.{}.",
    cls="cls_token",
    position="pos_embed",
    patch="patch_embed.proj",
    norm="norm",
    head="head",
    norm_attention="norm1",
    maps=("attn.qkv",),
    out="attn.proj",
    norm_mlp="norm2",
    up="mlp.fc1",
    down="mlp.fc2",
    scales=("ls1.gamma", "ls2.gamma"),
)
NAMINGS = (_VIT, _DINO, _TIMM)
"""Each tells itself by the name of the norm in front of the first block's attention."""
FOLDED = ("{}.(Concat)", "{}.(Reshape)")
"""What an exporter makes of the table of positions, behind the name of the module: the place of CLS, and the others."""


def read_vit(model: VisionTransformer, file: WeightsFile) -> Reading:
    """Parameters of ``model`` from a published vision transformer, without the classifier where none fits.

    Raises:
        SettingError: the network has another shape than the weights.
        WeightsError: the file is of another family, or has more or less in it.
    """
    spec, facts = model.spec, model.facts
    naming, prefix = told_by(file)
    tensors, width = Tensors(file.path, file.tensors), spec.width

    def shape_of(name: str) -> tuple[int, ...]:
        return tensors.shape_of(prefix + name) or (0,) * 4

    first = naming.block.format(0)
    depth = 0
    while shape_of(f"{naming.block.format(depth)}{naming.norm_attention}.weight")[0]:
        depth += 1
    patch = shape_of(f"{naming.patch}.weight")
    unsaid = check_facts(
        file.path,
        spec,
        {
            "width": shape_of(f"{first}{naming.norm_attention}.weight")[0],
            "depth": min(spec.depth, depth) if spec.cut else depth,
            "mlp_width": shape_of(f"{first}{naming.up}.weight")[0] or None,
            "patch": patch[-1] or None,
            "heads": file.config.get("num_attention_heads", file.config.get("num_heads")),
            "activation": activation_of(file.config),
            "norm_epsilon": file.config.get("layer_norm_eps"),
            "stem": "linear",
            "rotary": False,
        },
    )

    def matrix(name: str, inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
        return tensors.take(f"{prefix}{name}.weight", outputs, inputs).T, tensors.take(f"{prefix}{name}.bias", outputs)

    def norm(name: str) -> dict[str, np.ndarray]:
        return {
            "scale": tensors.take(f"{prefix}{name}.weight", width),
            "bias": tensors.take(f"{prefix}{name}.bias", width),
        }

    def behind(name: str, inputs: int, scale: str | None) -> dict[str, np.ndarray]:
        kernel, bias = matrix(name, inputs, width)
        factor = tensors.take(prefix + scale, width) if scale else np.float32(1.0)
        return {"kernel": kernel * factor, "bias": bias * factor}

    def block(layer: int) -> dict[str, Any]:
        at = naming.block.format(layer)
        after_attention, after_mlp = (at + name for name in naming.scales) if naming.scales else (None, None)
        outputs = 3 * width // len(naming.maps)
        maps = [matrix(at + name, width, outputs) for name in naming.maps]
        kernel, bias = (np.concatenate(parts, axis=-1) for parts in zip(*maps, strict=True))
        before, up = norm(at + naming.norm_attention), matrix(at + naming.up, width, spec.mlp_width)
        return {
            "qkv_kernel": before["scale"][:, None] * kernel,
            "qkv_bias": bias + before["bias"] @ kernel,
            "out": behind(at + naming.out, width, after_attention),
            "norm_mlp": norm(at + naming.norm_mlp),
            "up": {"kernel": up[0], "bias": up[1]},
            "down": behind(at + naming.down, spec.mlp_width, after_mlp),
        }

    params: dict[str, Any] = {
        "stem": {"patch": _patch(model, file, tensors, prefix + naming.patch)},
        "cls": tensors.take(prefix + naming.cls, 1, 1, width),
        "position": _positions(model, tensors, prefix + naming.position),
        "norm": norm(naming.norm),
        "blocks": stacked(block, spec.depth),
    }
    # A network for classes has its classifier beside the backbone, whatever stands in front of that.
    same = not spec.pools and spec.depth == depth
    if same and tensors.shape_of(f"{naming.head}.weight") == (facts.classes, width):
        weight = tensors.take(f"{naming.head}.weight", facts.classes, width)
        params["head"] = {"kernel": weight.T, "bias": tensors.take(f"{naming.head}.bias", facts.classes)}
    reads = f"is not of {facts.classes} classes" if same else "reads CLS alone, behind the last block"
    tensors.leave(rf"{re.escape(naming.head)}\..*", f"the classifier {reads}")
    if spec.depth < depth:
        cut = "|".join(re.escape(naming.block.format(layer)) for layer in range(spec.depth, depth))
        tensors.leave(rf"{re.escape(prefix)}({cut}).*", f"the network is cut behind block {spec.depth} of {depth}")
    for pattern, why in naming.unused.items():
        tensors.leave(re.escape(prefix) + pattern, why)
    tensors.leave(r"decoder\..*", "a decoder of maps is no part of a classifier")
    return Reading(params, tensors.finish(), unsaid)


def told_by(file: WeightsFile) -> tuple[Naming, str]:
    """By which names a file goes, and what stands in front of them.

    Raises:
        WeightsError: by none that is known.
    """
    anchors = [f"{naming.block.format(0)}{naming.norm_attention}.weight" for naming in NAMINGS]
    for naming, anchor in zip(NAMINGS, anchors, strict=True):
        for name in file.tensors:
            if name.endswith(anchor):
                first = name.removesuffix(f"{naming.norm_attention}.weight")
                scaled = any(first + scale in file.tensors for scale in naming.scales)
                found = naming if scaled else dataclasses.replace(naming, scales=())
                return found, name.removesuffix(anchor)
    raise WeightsError(
        f"config.model.weights: {file.path} has none of {', '.join(anchors)}, so it is no vision transformer; "
        "model.kind = 'vit' reads one"
    )


def _patch(model: VisionTransformer, file: WeightsFile, tensors: Tensors, name: str) -> dict[str, np.ndarray]:
    """The convolution as our linear map of a patch's pixels, normalised as the data are and not as the weights want.

    What they want is (x - m) / s of a pixel x from 0 to 1; what they get is z = (x - m') / s'. So s' / s goes into the
    map and (m' - m) / s into its bias.
    """
    side, facts, width = model.spec.patch, model.facts, model.spec.width
    kernel = tensors.take(f"{name}.weight", width, facts.channels, side, side).astype(np.float64)
    # What is no picture in colour has no usual mean: it is taken as normalised by its own.
    usual = (MEAN, STD) if facts.channels == len(MEAN) else (facts.mean, facts.std)
    mean, std = (
        np.asarray(file.preparation.get(name, default), np.float64)
        for name, default in zip(("image_mean", "image_std"), usual, strict=True)
    )
    if mean.shape != (facts.channels,) or std.shape != (facts.channels,):
        raise WeightsError(
            f"config.model.weights: {file.path.parent / PREPARATION} normalises {mean.size} channels, and the data "
            f"have {facts.channels}"
        )
    shift = (np.asarray(facts.mean) - mean) / std
    bias = tensors.take(f"{name}.bias", width) + np.einsum("dcij,c->d", kernel, shift)
    scaled = kernel * (np.asarray(facts.std) / std)[:, None, None]
    flat = scaled.transpose(2, 3, 1, 0).reshape(-1, width)  # rows, columns, channels: as ``space_to_depth`` has them
    return {"kernel": flat.astype(np.float32), "bias": bias.astype(np.float32)}


def _positions(model: VisionTransformer, tensors: Tensors, name: str) -> np.ndarray:
    """The table for the image's own grid, (1, N, D); the published one is for a square."""
    width, grid = model.spec.width, model.grid
    of_cls, of_patches = (part.format(name.rpartition(".")[0]) for part in FOLDED)
    if tensors.shape_of(name) is None and tensors.shape_of(of_patches) is not None:
        count = tensors.shape_of(of_patches)[1]  # type: ignore[index]
        parts = tensors.take(of_cls, 1, PROTECTED, width), tensors.take(of_patches, 1, count, width)
    else:
        count = (tensors.shape_of(name) or (1, model.length))[1] - PROTECTED
        table = tensors.take(name, 1, count + PROTECTED, width)
        parts = table[:, :PROTECTED], table[:, PROTECTED:]
    side = math.isqrt(count)
    if side**2 != count:
        raise WeightsError(
            f"config.model.weights: {name} has places for {count} patches, which is no square grid behind one CLS "
            "token; give weights of a network with CLS alone in front of its patches"
        )
    patches = parts[1].reshape(side, side, width)
    if (side, side) != grid:
        patches = resized(patches, *grid)
    return np.concatenate([parts[0], patches.reshape(1, -1, width)], axis=1)
