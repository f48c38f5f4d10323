"""Bundles that earlier versions wrote, as stored files: they are read, and their design decides as it did."""

from pathlib import Path

import numpy as np

from atis_jax.export.store import read_bundle

STORED = Path(__file__).parents[1] / "data" / "bundles" / "quickstart_before_streams"


def test_a_bundle_from_before_the_layer_loop_is_read_whole():
    bundle = read_bundle(STORED)
    assert (bundle.spec.kind, bundle.layers, bundle.scored, bundle.tokens) == ("analog", 3, (0, 1, 2), 64)
    assert bundle.design.projection.shape == (3, 32, 64)
    assert all(np.all(np.isfinite(leaf)) for leaf in vars(bundle.design).values() if leaf is not None)
    assert bundle.accuracy["examples"] == 1910
