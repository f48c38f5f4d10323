"""The bundle's tables as CSV: what a bench script or a spreadsheet reads.

As in every file of an export, layers are numbered from 1, scores and inputs from 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from atis_jax.export.bundle import Bundle
from atis_jax.export.quantities import layer_quantities


def tables_of(bundle: Bundle) -> dict[str, str]:
    """File name -> CSV text: currents, scores, converters, and the projection in front of each array."""
    layers = [layer_quantities(bundle, layer) for layer in range(bundle.layers)]
    built = [layer for layer in layers if "array_of" not in layer]
    tables = {
        "tables/currents.csv": _csv(
            ("layer", "score", "input", "built", "wanted_a", "achieved_a", "code"),
            (
                (layer["layer"], score["score"], number, int(built), wanted, got, code)
                for layer in built
                for score in layer["scores"]
                for number, (built, wanted, got, code) in enumerate(
                    zip(
                        layer["converter"]["built"],
                        score["bias_current"]["wanted"],
                        score["bias_current"]["achieved"],
                        score["bias_current"]["code"],
                        strict=True,
                    )
                )
            ),
        ),
        "tables/scores.csv": _csv(
            ("layer", "score", "feedback_ohm", "threshold_wanted_v", "threshold_achieved_v", "total_current_a"),
            (
                (
                    layer["layer"],
                    score["score"],
                    score["feedback"]["achieved"],
                    score["threshold"]["wanted"],
                    score["threshold"]["achieved"],
                    sum(map(abs, score["bias_current"]["achieved"])),
                )
                for layer in layers
                for score in layer["scores"]
            ),
        ),
        "tables/converters.csv": _csv(
            ("layer", "bits", "full_scale_v", "input_gain", "built_inputs"),
            (
                (
                    layer["layer"],
                    "" if layer["converter"]["bits"] is None else layer["converter"]["bits"],
                    layer["converter"]["full_scale"]["achieved"],
                    layer["input_gain"]["achieved"],
                    sum(layer["converter"]["built"]),
                )
                for layer in built
            ),
        ),
    }
    width = np.shape(bundle.design.projection)[-1]
    for layer in (one["layer"] - 1 for one in built):
        rows = np.asarray(bundle.design.projection[layer]).tolist()
        tables[f"tables/projection_layer{layer + 1}.csv"] = _csv(
            ("input", *(f"x{number}" for number in range(width))),
            ((number, *row) for number, row in enumerate(rows)),
        )
    return tables


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    return "\n".join([",".join(head), *(",".join(map(_cell, row)) for row in rows)]) + "\n"


def _cell(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)
