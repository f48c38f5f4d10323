"""The RASP 3.0 target: its files, and what a chip of it would make of them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jax.numpy as jnp
import numpy as np

from atis_jax.export import rasp
from atis_jax.export.blif import HIGHEST_A, LOWEST_A
from atis_jax.export.bundle import Bundle
from atis_jax.export.imported import imported_design
from atis_jax.export.quantities import Achieved, achieved
from atis_jax.export.structure import as_built, built_otherwise
from atis_jax.scoring.atis.analog import read_scores
from atis_jax.scoring.atis.design import Design, layer_design
from experiments.export.target import Target, keeping, on_perfect_chip


def rasp_target(bundle: Bundle, run_inputs: tuple[np.ndarray, np.ndarray]) -> Target:
    """BLIF and targets of every scored layer, thresholds set for the scores of RASP's own OTAs."""
    spec, (inputs, kept) = as_built(bundle.spec, single_ended=True), run_inputs
    numbers = {layer: achieved(bundle, layer) for layer in bundle.scored}
    scale = rasp.common_scale(list(numbers.values()))
    hardware = rasp.rasp_hardware(bundle, scale)

    def read(thresholds: dict[int, np.ndarray]) -> tuple[dict[int, rasp.RaspLayer], dict[int, str], Design]:
        made = {
            layer: rasp.rasp_layer(dataclasses.replace(one, threshold_v=thresholds[layer]), layer, scale)
            for layer, one in numbers.items()
        }
        texts = {layer: rasp.blif_text(bundle.name, layer, one) for layer, one in made.items()}
        back = {
            layer: rasp.read_rasp(text, bundle.spec.inputs, bundle.spec.groups, scale, made[layer].reference_v.tolist())
            for layer, text in texts.items()
        }
        return made, texts, imported_design(bundle, back, hardware)

    # The scores do not depend on the threshold: read once to find it, once with it.
    _, _, design = read({layer: one.threshold_v for layer, one in numbers.items()})
    thresholds = {}
    for layer in bundle.scored:
        realised = on_perfect_chip(bundle, layer, layer_design(design, layer), hardware, spec)
        scores_v = np.asarray(read_scores(realised, spec, jnp.asarray(inputs[layer]), None))
        thresholds[layer] = keeping(scores_v, kept[layer])
    made, texts, design = read(thresholds)
    files: dict[str, bytes] = {}
    budgets = {}
    for layer, text in texts.items():
        name = f"layer{layer + 1}"
        budgets[name] = rasp.budget(text)
        files[f"{name}.blif"] = text.encode()
        files[f"{name}_targets.csv"] = rasp.targets_csv(text).encode()
        files[f"{name}_joins.csv"] = rasp.joins_csv(made[layer]).encode()
    told = {
        "scale": scale,
        "budget": budgets,
        "cabs_all_layers": sum(one["cabs"] for one in budgets.values()),
        "checked": "syntax; not placed, not routed, not programmed",
        "not_made": list(rasp.NOT_MADE),
        "built_otherwise": built_otherwise(bundle.spec, single_ended=True),
        "references_v": {f"layer{layer + 1}": one.reference_v.tolist() for layer, one in made.items()},
    }
    files["rasp.json"] = (json.dumps(told, indent=1) + "\n").encode()
    files["README.md"] = _rasp_readme(bundle, told).encode()
    rounding = max(_grid_error(numbers[i], one, scale) for i, one in made.items())
    return Target(files, design, hardware, spec, told, rounding)


def _grid_error(wanted: Achieved, made: rasp.RaspLayer, scale: float) -> float:
    """Largest |ln(I / wanted)| over half a step of the grid, of weights and of the FGOTAs that are R_f."""
    half = 0.5 * np.log(HIGHEST_A / LOWEST_A) / (2**rasp.BITS - 2)
    on = wanted.signed_current_a != 0
    weights = np.abs(np.log(made.signed_current_a[on] / (scale * wanted.signed_current_a[on])))
    feedback_a = rasp.feedback_current_a(wanted.feedback_ohm / scale)
    return float(max(weights.max(), np.abs(np.log(made.feedback_a / feedback_a)).max()) / half)


def _rasp_readme(bundle: Bundle, told: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {name} | {one['ota']} | {one['fgota']} | {one['cabs']} of {one['cabs_of_chip']} | "
        f"{one['pads']} of {one['pads_of_chip']} | {'yes' if one['fits'] else 'no'} | "
        f"{', '.join(f'{1e3 * v:.2f} mV' for v in told['references_v'][name])} |"
        for name, one in told["budget"].items()
    )
    otherwise = "".join(f"- {sentence}\n" for sentence in told["built_otherwise"])
    return f"""# {bundle.name} on RASP 3.0

Syntax checked, not placed: these files follow the published BLIF of the RASP tools; no tool of theirs was run on them.

| layer | ota | fgota | CABs | pads | fits | comparator reference below vref |
|---|---|---|---|---|---|---|
{rows}

- `layerN.blif`: the blocks. `layerN_targets.csv`: every programming target in amperes, all within 1 nA to 10 µA, and
  the range of the tools it falls in. `layerN_joins.csv`: nets that are one wire. A BLIF net has one driver, so the
  outputs of the weights have names of their own; join them when routing. `in_J` is input J of the bundle's tables,
  `vth_G` and `keep_G` are of score G, from 0.
- All weight currents are the design's times {told["scale"]:.4g}, so that none is below 1 nA; R_f is divided by it.
- R_f is an FGOTA of input attenuation {rasp.ATTENUATION} (chosen, not published): calibrate it on the chip.
- The tools place one `ota` and one `fgota` in a CAB. Together the layers take {told["cabs_all_layers"]} CABs.
{otherwise}
Not made here: {"; ".join(rasp.NOT_MADE)}.
"""
