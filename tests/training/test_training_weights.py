"""A run's dense stage starts from published weights, and goes on without their file once a checkpoint holds them."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from atis_jax.data.images import ImagesSpec
from atis_jax.data.registry import load_split
from atis_jax.models.vit import ModelSpec
from atis_jax.models.weights.files import file_digest
from atis_jax.training.spec import StageSpec
from experiments import codesign
from experiments.build import build_model
from experiments.rundir import INPUTS, RunDirError, open_run
from experiments.settings import CodesignSettings

SHAPE = dict(width=8, depth=1, heads=1, mlp_width=8, patch=16, stem="linear", rotary=False)


def published(path, seed: int) -> None:
    """A file of a tiny ViT by timm's names."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, 8), "pos_embed": (1, 5, 8)}
    maps = {"patch_embed.proj": (8, 1, 16, 16), "norm": (8,)}
    maps |= {f"blocks.0.{name}": shape for name, shape in {
        "norm1": (8,), "norm2": (8,), "attn.qkv": (24, 8), "attn.proj": (8, 8), "mlp.fc1": (8, 8), "mlp.fc2": (8, 8),
    }.items()}  # fmt: skip
    for name, shape in maps.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    save_file({name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}, path)


@pytest.mark.slow
def test_a_run_starts_from_weights_and_goes_on_without_them(tmp_path, capsys):
    file = tmp_path / "tiny.safetensors"
    published(file, seed=0)
    settings = CodesignSettings(
        experiment="dense",
        data=ImagesSpec(train_examples=64, batch_size=8),
        model=ModelSpec(**SHAPE, weights=str(file)),
        dense=StageSpec(steps=2, learning_rate=1e-9),
        checkpoint_every=1,
    )
    train, root = load_split(settings.data, "train"), jax.random.key(0)
    model, stages = build_model(settings, train), codesign.plan(settings, root)[:1]

    def trained():
        with open_run(tmp_path / "run", settings) as folder:
            return codesign.train_stages(settings, folder, model, stages, train, root)["dense"].params["params"]

    first = trained()
    told = capsys.readouterr().out
    assert "weights: 18 of 18 arrays" in told and "untrained: head; not said: heads, activation, norm_epsilon" in told
    expected = np.random.default_rng(0).normal(0, 0.1, (1, 1, 8))
    np.testing.assert_allclose(first["cls"], expected, atol=1e-6)
    (record,) = json.loads((tmp_path / "run" / INPUTS).read_text())["runs"].items()
    assert record == ("weights", {"folder": str(file), "sha256": file_digest(file)})

    file.unlink()
    jax.tree.map(np.testing.assert_array_equal, trained(), first)
    assert json.loads((tmp_path / "run" / INPUTS).read_text())["runs"] == dict([record])

    published(file, seed=1)
    for checkpoint in sorted((tmp_path / "run" / "checkpoints" / "dense").iterdir(), reverse=True):
        checkpoint.rename(tmp_path / checkpoint.name)
    with pytest.raises(RunDirError, match="another network or design than .*tiny.safetensors now holds"):
        trained()
