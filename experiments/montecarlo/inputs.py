"""The fixed test inputs that every cell sees: of the data set, or further placements of its test digits."""

from __future__ import annotations

import dataclasses

import numpy as np

from atis_jax.data import canvas
from atis_jax.data.dataset import Split
from atis_jax.data.images import fragment_pool
from atis_jax.validation import SettingError

PLACEMENT_SEED = 30_001
"""Of further placements of the embedded data set's test digits; training and its own test canvases have others."""


def test_inputs(name: str, test: Split, examples: int) -> Split:
    """The first ``examples`` test inputs, spread over the split, as stored.

    ``cluttered_digits`` has 5 fixed placements of each of its test digits; asked for more inputs, further placements
    are drawn from a seed of their own. That adds placements and distractors, not handwriting.

    Args:
        name: of the data set.
        test: its test split.
        examples: how many.

    Raises:
        SettingError: more than there are.
    """
    if examples <= len(test):
        # Spread over the split: stored sets are often in order of class.
        index = np.unique(np.linspace(0, len(test) - 1, examples).round().astype(int))
        return test.take(index)
    if "digit" not in test.extra:
        raise SettingError(
            f"config.montecarlo.examples = {examples} is above the {len(test)} test inputs of {name!r}; "
            f"give at most {len(test)}"
        )
    more = examples - len(test)
    which = np.arange(more) % len(test)
    rng = np.random.default_rng(PLACEMENT_SEED)
    digits = test.extra["digit"]
    drawn = canvas.render(rng, digits[which], fragment_pool(test)).image
    further = np.round(drawn * 255).astype(np.uint8)
    stored = test.columns["image"]
    columns = {"image": np.concatenate([stored, further])}
    return dataclasses.replace(
        test, columns=columns, labels=np.concatenate([test.labels, test.labels[which]]), extra={}
    )
