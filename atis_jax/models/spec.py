"""What a vision transformer is built from, as plain numbers."""

from __future__ import annotations

import dataclasses

from atis_jax.validation import SettingError, check_settings, setting


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """Shape of the transformer. Dosovitskiy et al. 2021 (arXiv 2010.11929) with a choice of stem."""

    width: int = setting(64, low=8, high=4096, doc="embedding dimension d_model")
    depth: int = setting(4, low=1, high=64, doc="number of transformer blocks")
    heads: int = setting(4, low=1, high=128, doc="attention heads; must divide width")
    mlp_width: int = setting(128, low=8, high=16384, doc="hidden width of the MLP")
    patch: int = setting(4, low=1, high=64, doc="side of a patch in pixels; must divide the image")
    stem: str = setting("conv", choices=("linear", "conv"), doc="patch embedding: one linear map, or two convolutions")
    stem_width: int = setting(32, low=4, high=1024, doc="channels of the first convolution of the conv stem")
    rotary: bool = setting(True, doc="rotate queries and keys by their patch's row and column (2-D RoPE)")
    dropout: float = setting(0.0, low=0.0, high=0.9, doc="dropout rate inside the blocks during training")

    def __post_init__(self):
        check_settings(self, "model")
        if self.width % self.heads:
            raise SettingError(
                f"model.heads = {self.heads} does not divide model.width = {self.width}; choose a divisor of the width"
            )

        if self.stem == "conv" and self.patch % 2:
            raise SettingError(
                f"model.patch = {self.patch} must be even for model.stem = 'conv', which first takes squares of two "
                "pixels; use an even patch or stem = 'linear'"
            )
        if self.rotary and (self.width // self.heads) % 4:
            raise SettingError(
                f"model.width / model.heads = {self.width // self.heads} must be a multiple of 4 for model.rotary: "
                "half of a head's dimensions turn with the row, half with the column, in pairs"
            )

    def grid(self, image_side: int) -> int:
        """Patches along one side of a square image of ``image_side`` pixels."""
        if image_side % self.patch:
            raise SettingError(
                f"model.patch = {self.patch} does not divide the image side {image_side}; choose one of "
                f"{[p for p in range(1, image_side + 1) if image_side % p == 0]}"
            )
        return image_side // self.patch
