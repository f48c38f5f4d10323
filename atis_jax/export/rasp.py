"""The RASP 3.0 target: BLIF with ``ota`` and ``fgota`` blocks, programming targets in amperes, the CAB budget.

Our own writing from the published format (George et al., TVLSI 24(6), 2016; the tools' files as users see them). Syntax
is checked here; nothing is placed or routed, and no programming file is made (see ``NOT_MADE``).

One score is N ``ota`` (in[0] the input, in[1] the common reference, swapped for a negative weight) whose outputs are
one wire; an ``ota`` as op-amp, an ``fgota`` from its output back to the wire as R_f = 1/gm, an ``ota`` as comparator.
An FPAA has no resistor: a floating-gate OTA attenuates its inputs, so that its tanh is straight over the score's range.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.circuits.presets import get_preset
from atis_jax.export.blif import HIGHEST_A, LOWEST_A, block_lines, parse_blif
from atis_jax.export.bundle import Bundle
from atis_jax.export.errors import ExportError
from atis_jax.export.parsed import whole
from atis_jax.export.quantities import Achieved
from atis_jax.units import NOMINAL_TEMPERATURE_K, thermal_voltage_v

CABS, PADS = 98, 39
"""Of a RASP 3.0: 84 CABs and 14 of the second kind, counted in its architecture file; numbered package pads."""
BITS = 9
"""Of a programmed current over four decades: 1.8 % between neighbours (the paper says 8 to 10 bits)."""
ATTENUATION = 0.1
"""Input attenuation of an FGOTA. Chosen: nobody publishes it; calibrate R_f on the chip."""
OP_AMP_A, COMPARATOR_A = 2e-6, 2e-6
"""Bias of the op-amp and of the comparator: settle in a microsecond into a picofarad of routing."""
FG_INPUT_A = 10e-9
"""Default current of an FGOTA's two input gates, equal for no offset."""
NOT_MADE = (
    ".swcs switch addresses (placement and routing by the RASP tools)",
    "target_info_* programming codes (an EKV model of each chip)",
    "pulse-width and Vd tables, .elf programs, the .zip programming file",
)


@dataclasses.dataclass(frozen=True)
class RaspLayer:
    """One layer's scorer as a RASP chip holds it.

    Attributes:
        scale: all weight currents are the design's times this, so that none is below 1 nA; R_f is divided by it.
        signed_current_a: (G, N) targets of the weights, A; zero for an OTA that is left out.
        feedback_a: (G,) targets of the FGOTAs that are R_f, A.
        reference_v: (G,) what the comparator's reference pad is to hold below the common reference, V.
    """

    scale: float
    signed_current_a: np.ndarray
    feedback_a: np.ndarray
    reference_v: np.ndarray


def grid_a(current_a: np.ndarray) -> np.ndarray:
    """The nearest programmable magnitude: ``BITS`` bits, even in ln I from 1 nA to 10 uA; zero stays zero."""
    magnitude = np.abs(np.asarray(current_a, np.float64))
    span, steps = math.log(HIGHEST_A / LOWEST_A), 2**BITS - 2
    code = np.rint(np.log(np.where(magnitude > 0, magnitude, LOWEST_A) / LOWEST_A) / span * steps)
    return np.sign(current_a) * np.where(magnitude > 0, LOWEST_A * np.exp(code / steps * span), 0.0)


def kappa() -> float:
    """Of the chip's OTAs: the median of real chips' files, as the preset has it."""
    return float(get_preset("rasp_350nm").ota.kappa)


def _linear_v() -> float:
    """Voltage scale of an FGOTA, 2 U_T / (kappa C_in/C_T), V."""
    return 2.0 * float(thermal_voltage_v(NOMINAL_TEMPERATURE_K)) / (kappa() * ATTENUATION)


def feedback_current_a(feedback_ohm: np.ndarray) -> np.ndarray:
    """Bias of the FGOTA whose transconductance at zero is 1 / R_f: I = 2 U_T / (kappa C_in/C_T R_f), A."""
    return _linear_v() / np.asarray(feedback_ohm)


def common_scale(layers: Sequence[Achieved]) -> float:
    """What all weight currents are multiplied with: one number for the network, so that no current is below 1 nA.

    Raises:
        ExportError: no OTA is on, or the weights' range does not fit into 1 nA to 10 uA.
    """
    magnitude = np.abs(np.concatenate([found.signed_current_a for found in layers]))
    on = magnitude[magnitude > 0]
    if not len(on):
        raise ExportError("no OTA of any layer is on; train the design first")
    scale = max(1.0, LOWEST_A / float(on.min()))
    if scale * float(on.max()) > HIGHEST_A * (1 + 1e-9):
        raise ExportError(
            f"weights from {on.min():g} to {on.max():g} A span more than the {LOWEST_A:g} to {HIGHEST_A:g} A that RASP "
            "programs; train with a smaller range of currents"
        )
    return scale


def rasp_layer(found: Achieved, layer: int, scale: float) -> RaspLayer:
    """Scale and round one layer's numbers.

    Args:
        found: the design's, the threshold as RASP's own scores want it.
        layer: from 0, for messages.
        scale: of ``common_scale``.

    Raises:
        ExportError: R_f needs a current outside 1 nA to 10 uA, or an array draws nothing.
    """
    if not np.all(np.any(found.signed_current_a != 0, axis=1)):
        raise ExportError(f"layer {layer + 1}: a score has no OTA that is on; train it or export another layer")
    wanted_a = feedback_current_a(found.feedback_ohm / scale)
    for score, current_a in enumerate(wanted_a.tolist()):
        if not LOWEST_A <= current_a <= HIGHEST_A:
            raise ExportError(
                f"layer {layer + 1}, score {score}: R_f = {found.feedback_ohm[score] / scale:g} ohm needs an FGOTA "
                f"of {current_a:g} A, outside {LOWEST_A:g} to {HIGHEST_A:g} A; train with a larger or smaller feedback"
            )
    feedback_a = grid_a(wanted_a)
    # What the FGOTA puts out at the current that the threshold stands for: its tanh, undone.
    linear_v = _linear_v()
    share = found.threshold_v / found.feedback_ohm * scale / feedback_a
    if np.any(np.abs(share) >= 1):
        raise ExportError(f"layer {layer + 1}: the threshold is beyond what the feedback FGOTA can carry")
    return RaspLayer(scale, grid_a(found.signed_current_a * scale), feedback_a, linear_v * np.arctanh(share))


def blif_text(name: str, layer: int, made: RaspLayer) -> str:
    """The BLIF of one layer: a line a block, unique output nets, constants and pads as the tools read them.

    An input that no OTA of the layer reads has no pad.
    """
    groups = len(made.signed_current_a)
    used = np.flatnonzero(np.any(made.signed_current_a != 0, axis=0)).tolist()
    pads_in = [f"in_{j}" for j in used] + ["vref"] + [f"vth_{g}" for g in range(groups)]
    pads_out = [f"keep_{g}" for g in range(groups)]
    lines = [
        f".model {re.sub(r'[^A-Za-z0-9_]', '_', name)}_layer{layer + 1}",
        f".inputs {' '.join(pads_in)}",
        f".outputs {' '.join(pads_out)}",
        f"# {' '.join(str(n + 1) for n in range(len(pads_in)))} pad_in",
        f"# {' '.join(str(len(pads_in) + n + 1) for n in range(groups))} pad_out",
        "",
    ]
    for g in range(groups):
        for j, current_a in enumerate(made.signed_current_a[g].tolist()):
            if current_a == 0:
                continue
            plus, minus = (f"in_{j}", "vref") if current_a > 0 else ("vref", f"in_{j}")
            words = f"weight {j} of score {g}"
            lines += block_lines("ota", (plus, minus), f"sum_{g}_{j}", {"ota_bias": abs(current_a)}, words)
        wire = _wire(made, g)
        lines += block_lines("ota", ("vref", wire), f"y_{g}", {"ota_bias": OP_AMP_A}, f"op-amp of score {g}")
        biases = {"fgota_bias": float(made.feedback_a[g]), "fgota_p_bias": FG_INPUT_A, "fgota_n_bias": FG_INPUT_A}
        lines += block_lines("fgota", (f"y_{g}", "vref"), f"feedback_{g}", biases, f"1/R_f of score {g}")
        lines += block_lines("ota", (f"vth_{g}", f"y_{g}"), f"keep_{g}", {"ota_bias": COMPARATOR_A}, f"comparator {g}")
    return "\n".join([*lines, ".end", ""])


def _wire(made: RaspLayer, score: int) -> str:
    """The net that stands for the summing wire: the first weight's output."""
    first = int(np.flatnonzero(made.signed_current_a[score])[0])
    return f"sum_{score}_{first}"


def joins_csv(made: RaspLayer) -> str:
    """Nets that are one wire. A BLIF net has one driver; the outputs of OTAs are joined when routing."""
    rows = ["wire,net"]
    for g in range(len(made.signed_current_a)):
        nets = [f"sum_{g}_{j}" for j in np.flatnonzero(made.signed_current_a[g])] + [f"feedback_{g}"]
        rows += [f"{_wire(made, g)},{net}" for net in nets]
    return "\n".join(rows) + "\n"


def targets_csv(blif: str) -> str:
    """Every programming target of a BLIF in amperes, with the tools' range for it."""
    rows = ["block,net,parameter,target_a,range"]
    for kind, _, out, parameters in parse_blif(blif):
        rows += [f"{kind},{out},{name},{value:.6e},{_range(value)}" for name, value in parameters.items()]
    return "\n".join(rows) + "\n"


def _range(current_a: float) -> str:
    return "subVt" if current_a <= 1e-7 else "aboveVt"


def budget(blif: str) -> dict[str, Any]:
    """CABs and pads that one layer takes: one ``ota`` and one ``fgota`` to a CAB, as the tools place them."""
    kinds = [kind for kind, *_ in parse_blif(blif)]
    pads = sum(len(line.split()) - 1 for line in blif.splitlines() if line.startswith((".inputs", ".outputs")))
    cabs = max(kinds.count("ota"), kinds.count("fgota"))
    return {
        "ota": kinds.count("ota"),
        "fgota": kinds.count("fgota"),
        "cabs": cabs,
        "cabs_of_chip": CABS,
        "pads": pads,
        "pads_of_chip": PADS,
        "fits": cabs <= CABS and pads <= PADS,
    }


def read_rasp(blif: str, inputs: int, groups: int, scale: float, reference_v: Sequence[float]) -> Achieved:
    """The numbers of a layer read back from its BLIF, in the design's scale.

    Args:
        blif: its text.
        inputs: N.
        groups: G.
        scale: of ``RaspLayer``.
        reference_v: of ``RaspLayer``: voltages on pads are not in a BLIF.

    Raises:
        ExportError: the BLIF is not one of ``blif_text``.
    """
    currents_a, feedback_a = np.zeros((groups, inputs)), np.zeros(groups)
    for kind, ins, out, parameters in parse_blif(blif):
        if match := re.fullmatch(r"sum_(\d+)_(\d+)", out):
            where = f"BLIF: the weight {out!r}"
            g, j = whole(match[1], where, 0, groups - 1), whole(match[2], where, 0, inputs - 1)
            if sorted(ins) != sorted((f"in_{j}", "vref")) or kind != "ota" or out != f"sum_{g}_{j}":
                raise ExportError(f"{where} is not an ota between in_{j} and vref")
            currents_a[g, j] = parameters["ota_bias"] * (1 if ins[0] == f"in_{j}" else -1)
        elif match := re.fullmatch(r"feedback_(\d+)", out):
            g = whole(match[1], f"BLIF: the feedback {out!r}", 0, groups - 1)
            if kind != "fgota" or out != f"feedback_{g}":
                raise ExportError(f"BLIF: the feedback {out!r} is not an fgota")
            feedback_a[g] = parameters["fgota_bias"]
    if np.any(feedback_a == 0):
        raise ExportError("BLIF: a score has no feedback fgota")
    linear_v = _linear_v()
    feedback_ohm = linear_v / feedback_a * scale
    # The threshold stands for a current; through the straight R_f of the model it is R_f times that.
    threshold_v = linear_v * np.tanh(np.asarray(reference_v) / linear_v)
    return Achieved(currents_a / scale, feedback_ohm, threshold_v, 0.0, None)


def rasp_hardware(bundle: Bundle, scale: float) -> Hardware:
    """What a RASP chip makes of layers read back in the design's scale: preset, grid, the bundle's converters."""
    preset, mine = get_preset("rasp_350nm"), bundle.hardware
    return with_fields(
        preset,
        {
            "max_inputs": mine.max_inputs,
            "dac.bits": mine.dac.bits,
            "dac.used_bits": mine.dac.used_bits,
            "dac.full_scale_v": mine.dac.full_scale_v,
            "floating_gate.bits": BITS,
            "floating_gate.min_current_a": LOWEST_A / scale,
            "floating_gate.max_current_a": HIGHEST_A / scale,
            # The pad's voltage comes from a converter off the chip, finer than anything here.
            "comparator.reference_bits": None,
            "comparator.reference_span_v": max(
                float(preset.comparator.reference_span_v), float(mine.comparator.reference_span_v)
            ),
        },
    )
