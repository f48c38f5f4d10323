"""The two FPAA targets: their files, and what a chip of each would make of them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax import rng
from atis_jax.circuits.chip import nominal_chip, nominal_environment
from atis_jax.circuits.frontend import Realised, converted_v
from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.circuits.ota import transfer
from atis_jax.export import an231, an231_guide, rasp
from atis_jax.export.bundle import Bundle
from atis_jax.export.imported import imported_design, imported_spec
from atis_jax.export.quantities import Achieved, achieved, calibrated_layer
from atis_jax.scoring.analog import read_scores, realise_design
from atis_jax.scoring.design import Design, layer_design
from atis_jax.units import thermal_voltage_v
from experiments.export.read_back import recorded
from experiments.trained_run import TrainedRun

TRAIN_IMAGES, TRAIN_TOKENS = 256, 1024
"""Training images and tokens a layer from which slopes and thresholds of a target are set."""
MARGIN = 1.25
"""The signal range planned for, over the largest score of these tokens."""
FULL_CURRENT_A = 50e-9
"""What the largest gain of an imported linear design becomes."""


@dataclasses.dataclass(frozen=True)
class Target:
    """One target made and read back.

    Attributes:
        files: by name, for its folder.
        design: read back, leaves (L, ...).
        hardware: what a chip of it is.
        told: what the summary says of it.
        rounding: largest error of a number read back over what rounding allows it.
    """

    files: dict[str, bytes]
    design: Design
    hardware: Hardware
    told: dict[str, Any]
    rounding: float


def training_inputs(run: TrainedRun, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Array inputs (L, t, N) of training tokens, and the shares (L, G) of them that the perfect chip keeps."""
    found = recorded(run, run.train, TRAIN_IMAGES, TRAIN_TOKENS, rng.stream(jax.random.key(seed), "data"))
    return np.asarray(found.inputs), np.asarray(found.kept_fraction)


def _realised(bundle: Bundle, design: Design, hardware: Hardware, layer: int, static: bool) -> Realised:
    spec = imported_spec(bundle.spec) if static else bundle.spec
    chip, environment = nominal_chip(hardware, spec.geometry), nominal_environment(hardware)
    query = jnp.asarray(bundle.query[layer])
    return realise_design(layer_design(design, layer), spec, hardware, query, chip, environment)


def _keeping(scores_v: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Thresholds (G,) above which the shares ``kept`` of the scores lie: half-way between neighbours."""
    ordered = -np.sort(-scores_v, axis=0)
    found = []
    for score, share in enumerate(kept.tolist()):
        count = int(round(share * len(ordered)))
        inside = min(max(count, 1), len(ordered) - 1)
        found.append(0.5 * (ordered[inside - 1, score] + ordered[inside, score]))
    return np.array(found)


def rasp_target(bundle: Bundle, run_inputs: tuple[np.ndarray, np.ndarray]) -> Target:
    """BLIF and targets of every scored layer, thresholds set for the scores of RASP's own OTAs."""
    rasp.check_spec(bundle.spec)
    inputs, kept = run_inputs
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
        realised = _realised(bundle, design, hardware, layer, True)
        scores_v = np.asarray(read_scores(realised, imported_spec(bundle.spec), jnp.asarray(inputs[layer]), None))
        thresholds[layer] = _keeping(scores_v, kept[layer])
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
        "references_v": {f"layer{layer + 1}": one.reference_v.tolist() for layer, one in made.items()},
    }
    files["rasp.json"] = (json.dumps(told, indent=1) + "\n").encode()
    files["README.md"] = _rasp_readme(bundle, told).encode()
    return Target(files, design, hardware, told, max(_grid_error(numbers[i], one, scale) for i, one in made.items()))


def _grid_error(wanted: Achieved, made: rasp.RaspLayer, scale: float) -> float:
    """Largest |ln(I / wanted)| over half a step of the grid, of weights and of the FGOTAs that are R_f."""
    half = 0.5 * np.log(rasp.HIGHEST_A / rasp.LOWEST_A) / (2**rasp.BITS - 2)
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
    return f"""# {bundle.name} on RASP 3.0

Syntax checked, not placed: these files follow the published BLIF of the RASP tools; no tool of theirs was run on them.

| layer | ota | fgota | CABs | pads | fits | comparator reference below vref |
|---|---|---|---|---|---|---|
{rows}

- `layerN.blif`: the blocks. `layerN_targets.csv`: every programming target in amperes, all within 1 nA to 10 uA, and
  the range of the tools it falls in. `layerN_joins.csv`: nets that are one wire. A BLIF net has one driver, so the
  outputs of the weights have names of their own; join them when routing.
- All weight currents are the design's times {told["scale"]:.4g}, so that none is below 1 nA; R_f is divided by it.
- R_f is an FGOTA of input attenuation {rasp.ATTENUATION} (chosen, not published): calibrate it on the chip.
- The tools place one `ota` and one `fgota` in a CAB. Together the layers take {told["cabs_all_layers"]} CABs.

Not made here: {"; ".join(rasp.NOT_MADE)}.
"""


def an231_target(bundle: Bundle, run_inputs: tuple[np.ndarray, np.ndarray]) -> Target:
    """Capacitors and build guides of every scored layer, thresholds set for the linear scores."""
    rasp.check_spec(bundle.spec)
    inputs, kept = run_inputs
    files: dict[str, bytes] = {}
    back: dict[int, Achieved] = {}
    told_layers = {}
    smallest, rounding = np.inf, 0.0
    for layer in bundle.scored:
        realised = _realised(
            bundle, jax.tree.map(jnp.asarray, _with_calibration(bundle)), bundle.hardware, layer, False
        )
        voltages_v = np.asarray(jax.vmap(converted_v, (None, 0))(realised, jnp.asarray(inputs[layer])))
        slopes = _slopes(realised, voltages_v)
        scores_v = voltages_v @ slopes.T
        thresholds_v = _keeping(scores_v, kept[layer])
        full_scale_v = float(realised.full_scale_v)
        plans = []
        for score in range(bundle.spec.groups):
            partial = np.abs(np.cumsum(voltages_v * slopes[score], axis=1)).max()
            plans.append(an231.plan(slopes[score], MARGIN * float(partial), float(thresholds_v[score]), full_scale_v))
        table = an231.capacitors_csv(plans)
        name = f"layer{layer + 1}"
        files[f"{name}_capacitors.csv"] = table.encode()
        files[f"{name}_guide.md"] = an231_guide.guide_text(bundle.name, layer, plans).encode()
        files[f"{name}_serial.csv"] = an231_guide.serial_csv(plans).encode()
        read = an231.read_capacitors(table, plans)
        back[layer] = _as_currents(read, bundle.spec.inputs)
        for one in read:
            gains, _ = an231.realised(one, bundle.spec.inputs)
            allowed = an231.rounding_bound(one, bundle.spec.inputs)
            rounding = max(rounding, float(np.max(np.abs(gains - one.wanted) / allowed)))
        smallest = min(smallest, *(one.volts_per_volt for one in plans))
        told_layers[name] = {
            "chips": [len(one.chips) for one in plans],
            "gain_rms_error": [_gain_error(one, bundle.spec.inputs) for one in read],
        }
    hardware = an231_hardware(bundle, float(smallest))
    told = {"layers": told_layers, "power": an231.POWER_NOTE, "not_made": list(an231.NOT_MADE)}
    return Target(files, imported_design(bundle, back, hardware), hardware, told, rounding)


def _with_calibration(bundle: Bundle) -> Design:
    layers = [calibrated_layer(bundle, layer) for layer in range(bundle.layers)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)


def _slopes(realised: Realised, voltages_v: np.ndarray) -> np.ndarray:
    """(G, N) V/V: of each OTA the line through the origin that fits its curve best over the tokens' own voltages."""
    volts = jnp.asarray(voltages_v)
    power = jnp.mean(volts**2, axis=0)
    rows = []
    for score in range(realised.weight_v.shape[0]):
        curve = transfer(realised.law, realised.slope_per_v[score] * volts, realised.inversion[score])
        slope = jnp.mean(curve * volts, axis=0) / jnp.where(power > 0, power, 1.0)
        rows.append(realised.weight_v[score] * slope)
    return np.asarray(jnp.stack(rows), np.float64)


def _gain_error(made: an231.Plan, inputs: int) -> float:
    """RMS error of the realised gains over their RMS."""
    gains, _ = an231.realised(made, inputs)
    return float(np.sqrt(np.mean((gains - made.wanted) ** 2) / np.mean(made.wanted**2)))


def _as_currents(plans: list[an231.Plan], inputs: int) -> Achieved:
    """The currents of linear OTAs that give the same gains, and the thresholds, in the design's scale."""
    kappa, unit_v = AN231_KAPPA, 2.0 * float(thermal_voltage_v(300.15))
    currents, ohms, thresholds = [], [], []
    for made in plans:
        gains, constant_v = an231.realised(made, inputs)
        slopes = gains / made.volts_per_volt * made.full_scale_v / made.design_full_scale_v
        ohm = float(np.max(np.abs(slopes))) * unit_v / kappa / FULL_CURRENT_A
        currents.append(slopes * unit_v / kappa / ohm)
        ohms.append(ohm)
        thresholds.append(-constant_v / made.volts_per_volt)
    return Achieved(np.array(currents), np.array(ohms), np.array(thresholds), 0.0, None)


AN231_KAPPA = 0.7
"""Scales the linear law of the imported design; cancels out."""


def an231_hardware(bundle: Bundle, volts_per_volt: float) -> Hardware:
    """A linear array with the imperfections of switched capacitors, in the design's volts.

    Chosen, for the data sheet was not at hand: capacitor ratios within 1 %, 5 mV of offset and 1 mV of noise at the
    comparator.
    """
    return with_fields(
        bundle.hardware,
        {
            "name": "an231e04",
            "ota.law": "linear",
            "ota.kappa": AN231_KAPPA,
            "ota.kappa_per_k": 0.0,
            "ota.kappa_per_decade": 0.0,
            "ota.systematic": None,
            "ota.kappa_sigma": 0.0,
            "ota.kappa_chip_sigma": 0.0,
            "ota.offset_sigma_v": 0.0,
            "ota.additive_sigma": 0.0,
            "ota.log_current_sigma": 0.0,
            "ota.early_voltage_v": np.inf,
            "floating_gate.bits": None,
            "floating_gate.used_bits": None,
            "floating_gate.min_current_a": 0.0,
            "floating_gate.max_current_a": np.inf,
            "floating_gate.error_sigma": 0.01,
            "thermal.bias": "ptat",
            "thermal.current_per_k": 0.0,
            "tia.swing_v": 3.0 / volts_per_volt,
            "tia.rail_sharpness": 8,
            "tia.gain_sigma": 0.0,
            "tia.offset_sigma_v": 0.0,
            "tia.open_loop_gain": np.inf,
            "tia.bandwidth_hz": 0.0,
            "comparator.reference_bits": None,
            "comparator.trim_bits": None,
            "comparator.offset_sigma_v": 5e-3 / volts_per_volt,
            "comparator.noise_v": 1e-3 / volts_per_volt,
            "dac.unit_sigma": 0.0,
        },
    )
