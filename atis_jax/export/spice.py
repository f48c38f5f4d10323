"""One layer's scorer as a netlist of transistors, with a bench that plays tokens; and the netlist read back."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from atis_jax.cells.library import COMMON_MODE_V, COMPARATOR, COMPARATOR_CURRENT_A, SUPPLY_V
from atis_jax.circuits.tia import has_amplifier
from atis_jax.export.bundle import Bundle
from atis_jax.export.errors import ExportError
from atis_jax.export.parsed import number, whole
from atis_jax.export.quantities import Achieved, achieved, thresholds_v
from atis_jax.export.structure import built_otherwise, check_exportable
from atis_jax.formatting import si
from atis_jax.spice.cells import OPTIONS, TRANSIENT_OPTIONS, cells_text
from atis_jax.spice.models import Process
from atis_jax.spice.netlist import (
    Amplifier,
    comparator_line,
    continued,
    ota_line,
    token_ends,
    token_sources,
    token_waveforms,
)
from atis_jax.spice.simulator import Analysis, Deck

CELLS, SCORER, STATIC, TRANSIENT, TOKENS, README = (
    "cells.spice",
    "scorer.spice",
    "static.cir",
    "transient.cir",
    "tokens.csv",
    "README.md",
)
STEPS_A_TOKEN = 100
"""At least; a score at a token's end is then within 0.1 mV of one with many more."""
SUPPLY_CURRENT = "i(vdd)"


@dataclasses.dataclass(frozen=True)
class BenchTokens:
    """Tokens for the bench. C comparators, ``Bundle.comparators``.

    Attributes:
        voltages_v: (t, N) differential input voltages, as the converters give them, V.
        scores_v: (t, C) what the model expects at the comparators, V.
        keep: (t, C) the model's decisions.
    """

    voltages_v: Float[np.ndarray, "t n"]
    scores_v: Float[np.ndarray, "t c"]
    keep: Bool[np.ndarray, "t c"]


def amplifiers(bundle: Bundle, found: Achieved) -> list[Amplifier]:
    """The TIA of each row of the array: of each score, and for a differential scorer of each half."""
    return [
        Amplifier(float(ohm), float(np.sum(np.abs(row))), float(bundle.hardware.tia.bandwidth_hz))
        for ohm, row in zip(found.feedback_ohm, found.signed_current_a, strict=True)
    ] * bundle.spec.halves


def scorer_text(bundle: Bundle, layer: int) -> str:
    """The subcircuit ``scorer``: input pairs, supply and common mode in; scores and keep bits out.

    Ports: p0 n0 .. pN-1 nN-1, vdd, cm, y0 .. (a TIA's output each row), keep0 .. (a bit each comparator: each score
    with its own threshold, or with that of every layer it serves, layer by layer).

    Args:
        bundle: the design; its calibration is in it.
        layer: from 0; must be scored.

    Raises:
        ExportError: the layer has no scorer, an array draws nothing, or the comparator remembers its last decision.
    """
    if layer not in bundle.scored:
        raise ExportError(f"layer {layer + 1} has no scorer; scored are {[one + 1 for one in bundle.scored]}")
    check_exportable(bundle.spec)
    if layer not in bundle.arrays:
        raise ExportError(
            f"layer {layer + 1} has no array of its own (scorer.reads = {bundle.spec.reads!r}); its comparators are in "
            f"the netlist of layer {bundle.arrays[0] + 1}"
        )
    found, groups, inputs = achieved(bundle, layer), bundle.spec.groups, bundle.spec.inputs
    if not np.all(np.any(found.signed_current_a != 0, axis=1)):
        raise ExportError(f"layer {layer + 1}: a score has no OTA that is on; train it or export another layer")
    rows = np.concatenate([found.signed_current_a, -found.signed_current_a][: bundle.spec.halves])
    ports = [f"{sign}{j}" for j in range(inputs) for sign in "pn"] + ["vdd", "cm"]
    ports += [f"y{row}" for row in range(len(rows))] + [f"keep{number}" for number in range(bundle.comparators)]
    amplified = has_amplifier(bundle.hardware.tia.readout)
    lines = [f"* scorer of layer {layer + 1} of {bundle.name}: bias currents and resistors as achieved, SI units"]
    lines.append(continued(".subckt scorer", ports))
    for row, currents_a in enumerate(rows):
        for j, current_a in enumerate(currents_a.tolist()):
            if current_a != 0:
                lines.append(ota_line(f"{row}_{j}", current_a, f"{'s' if amplified else 'y'}{row}", f"{j}").rstrip())
        if amplified:
            lines.append(amplifiers(bundle, found)[row].lines(f"s{row}", f"y{row}", f"{row}").rstrip())
        else:
            lines.append(f"Rf{row} y{row} cm {found.feedback_ohm[row % groups]:.9e}")
    for place, threshold_v in enumerate(thresholds_v(bundle, layer).tolist()):
        score = place % groups
        if bundle.spec.differential:
            # Half the difference of the halves against theta: y- against y+ raised by 2 theta; a TIA inverts.
            raised, other = (score, groups + score) if amplified else (groups + score, score)
            lines.append(f"Vref{place} ref{place} y{raised} {2 * threshold_v:.9e}")
            lines.append(f"Ic{place} vdd bc{place} {COMPARATOR_CURRENT_A:.6e}")
            lines.append(f"XC{place} y{other} ref{place} keep{place} bc{place} vdd {COMPARATOR.name}")
        else:
            comparator = comparator_line(
                threshold_v, COMPARATOR_CURRENT_A, f"y{score}", f"keep{place}", f"{place}", inverted=amplified
            )
            lines.append(comparator.rstrip())
    return "\n".join([*lines, ".ends", ""])


def spice_files(
    bundle: Bundle, layer: int, process: Process, tokens: BenchTokens, token_s: float, temperature_c: float
) -> dict[str, str]:
    """Every file of the layer's folder, by name. Each ``.cir`` runs by itself: ``ngspice static.cir``.

    Args:
        bundle: the design.
        layer: from 0.
        process: of the transistors.
        tokens: what the benches play.
        token_s: time of a token in the transient bench, s.
        temperature_c: degrees Celsius.
    """
    return {
        CELLS: cells_text(process),
        SCORER: scorer_text(bundle, layer),
        STATIC: _bench(bundle, layer, token_sources(tokens.voltages_v), temperature_c, static_control(bundle, tokens)),
        TRANSIENT: transient_bench(bundle, layer, tokens, token_s, temperature_c),
        TOKENS: _tokens_csv(tokens),
        README: _readme(bundle, layer, process, tokens, token_s),
    }


def transient_bench(bundle: Bundle, layer: int, tokens: BenchTokens, token_s: float, temperature_c: float) -> str:
    """The bench that plays the tokens one after the other, ``token_s`` each."""
    control = [transient_run(len(tokens.voltages_v), token_s), "plot v(keep0) v(y0)"]
    waveforms = token_waveforms(tokens.voltages_v, token_s)
    return _bench(bundle, layer, waveforms, temperature_c, control, TRANSIENT_OPTIONS)


def static_control(bundle: Bundle, tokens: BenchTokens) -> list[str]:
    """The control lines of the static bench: every token in turn, keep bits and scores to a file."""
    names = " ".join(static_vectors(bundle))
    output = ("set wr_singlescale", "set wr_vecnames", f"wrdata static.txt {names}")
    return [static_sweep(len(tokens.voltages_v)), *output]


def static_sweep(tokens: int) -> str:
    """The analysis of the static bench."""
    return f"dc Vtok 0 {tokens - 0.99:.9g} 1"


def static_vectors(bundle: Bundle) -> tuple[str, ...]:
    """What the static bench records: every TIA, every keep bit."""
    rows, bits = range(bundle.spec.halves * bundle.spec.groups), range(bundle.comparators)
    return (*(f"v(y{row})" for row in rows), *(f"v(keep{one})" for one in bits))


def static_deck(bundle: Bundle, files: Mapping[str, str], tokens: int) -> Deck:
    """The exported static bench as the simulator runs it: the files themselves, control lines replaced."""
    text = files[STATIC].partition(".control")[0]
    analysis = Analysis(static_sweep(tokens), (*static_vectors(bundle), SUPPLY_CURRENT), points=tokens)
    return Deck(text, (analysis,), {CELLS: files[CELLS], SCORER: files[SCORER]})


def supply_power_w(result: Mapping[str, np.ndarray]) -> float:
    """Mean power that the scorer draws from its supply over the static bench's tokens, W."""
    return float(-SUPPLY_V * np.mean(result[SUPPLY_CURRENT]))


def transient_run(tokens: int, token_s: float) -> str:
    """The analysis of the transient bench."""
    return f"tran {token_s / STEPS_A_TOKEN:.6e} {tokens * token_s:.6e}"


def transient_deck(bundle: Bundle, files: Mapping[str, str], bench: str, tokens: int, token_s: float) -> Deck:
    """A ``transient_bench`` beside the exported files, its first tokens alone."""
    text = bench.partition(".control")[0]
    analysis = Analysis(transient_run(tokens, token_s), static_vectors(bundle))
    return Deck(text, (analysis,), {CELLS: files[CELLS], SCORER: files[SCORER]})


def at_token_ends(result: Mapping[str, np.ndarray], tokens: int, token_s: float) -> dict[str, np.ndarray]:
    """Each vector of a transient at the end of each token, when a clocked receiver would take the bits."""
    ends = token_ends(result["sweep"], tokens, token_s)
    return {name: values[ends] for name, values in result.items()}


def simulated_scores(bundle: Bundle, result: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Scores (t, C) in V as the comparators see them, and keep bits (t, C), from the static bench's vectors."""
    groups = bundle.spec.groups
    sign = -1.0 if has_amplifier(bundle.hardware.tia.readout) else 1.0
    rows = np.stack(
        [sign * (result[f"v(y{row})"] - COMMON_MODE_V) for row in range(bundle.spec.halves * groups)], axis=1
    )
    scores_v = 0.5 * (rows[:, :groups] - rows[:, groups:]) if bundle.spec.differential else rows
    keep = np.stack([result[f"v(keep{one})"] > 0.5 * SUPPLY_V for one in range(bundle.comparators)], axis=1)
    return np.tile(scores_v, bundle.comparators // groups), keep


def _bench(
    bundle: Bundle, layer: int, sources: str, temperature_c: float, control: list[str], options: str = OPTIONS
) -> str:
    inputs = [f"{sign}{j}" for j in range(bundle.spec.inputs) for sign in "pn"]
    rows, bits = range(bundle.spec.halves * bundle.spec.groups), range(bundle.comparators)
    ports = [*inputs, "vdd", "cm", *(f"y{row}" for row in rows), *(f"keep{one}" for one in bits), "scorer"]
    return "\n".join(
        [
            f"* layer {layer + 1} of {bundle.name}",
            f".include {CELLS}",
            f".include {SCORER}",
            options,
            f".temp {temperature_c:g}",
            f"Vdd vdd 0 {SUPPLY_V}",
            f"Vcm cm 0 {COMMON_MODE_V}",
            "Vtok tok 0 0",
            sources.rstrip("\n"),
            continued("Xscorer", ports),
            ".control",
            *control,
            ".endc",
            ".end",
            "",
        ]
    )


def _tokens_csv(tokens: BenchTokens) -> str:
    inputs, groups = tokens.voltages_v.shape[1], tokens.scores_v.shape[1]
    head = [
        "token",
        *(f"input{j}_v" for j in range(inputs)),
        *(f"model_score{g}_v" for g in range(groups)),
        *(f"model_keep{g}" for g in range(groups)),
    ]
    rows = [
        ",".join([str(t), *(f"{v:.9e}" for v in (*volts, *scores)), *(str(int(bit)) for bit in keep)])
        for t, (volts, scores, keep) in enumerate(
            zip(tokens.voltages_v.tolist(), tokens.scores_v.tolist(), tokens.keep.tolist(), strict=True)
        )
    ]
    return "\n".join([",".join(head), *rows, ""])


def _readme(bundle: Bundle, layer: int, process: Process, tokens: BenchTokens, token_s: float) -> str:
    otherwise = "".join(f"\n{sentence}\n" for sentence in built_otherwise(bundle.spec))
    amplified = has_amplifier(bundle.hardware.tia.readout)
    score = f"{COMMON_MODE_V} V - v(yr)" if amplified else f"v(yr) - {COMMON_MODE_V} V"
    several = "One array serves {} layers: keep bits are those of their thresholds, layer by layer. "
    bits = several.format(len(bundle.scored)) if bundle.spec.reads_once else ""
    warning = "\nThe transistors are those of a generic card, of no real process.\n" if process.generic else ""
    return f"""# Layer {layer + 1} of {bundle.name} in SPICE

    ngspice {STATIC}       # every one of {len(tokens.keep)} tokens, settled; writes static.txt
    ngspice {TRANSIENT}    # the same tokens, {si(token_s, "s")} each
{warning}{otherwise}
- `{SCORER}`: the layer's scorer. OTAs, op-amps and comparators are transistors ({process.name}). Ideal: resistors, the
  current sources that set each bias (what programs them, floating gates or converters, is not in it), the reference,
  and for a differential scorer the source that adds it.
- `{CELLS}`: models and cells. `{TOKENS}`: what is played, and the model's score and decision of each token.
- The score of row r is {score}. {bits}keep is the supply for a token that is kept.
"""


def read_scorer(
    text: str,
    inputs: int,
    groups: int,
    differential: bool,
    readout: str = "amplifier",
    comparators: int | None = None,
) -> Achieved:
    """The numbers in a ``scorer.spice``: what this netlist will do, whatever it was made from.

    Args:
        text: of the file.
        inputs: N.
        groups: G.
        differential: whether it has halves; the rows of -w must mirror those of w.
        readout: of its rows, one of ``circuits.tia.READOUTS``.
        comparators: behind the array; None: G.

    Returns:
        Currents, resistors and the thresholds of all comparators; converters are not in a netlist (``full_scale_v`` 0,
        ``bits`` None).

    Raises:
        ExportError: a line is missing or contradicts another.
    """
    rows, compared = groups * (2 if differential else 1), groups if comparators is None else comparators
    currents_a = np.zeros((rows, inputs))
    sources = {
        match[1]: number(match[2], f"{SCORER}: Ib{match[1]}")
        for match in re.finditer(r"(?m)^Ib(\d+_\d+) vdd \S+ (\S+)$", text)
    }
    for match in re.finditer(r"(?m)^XO(\d+)_(\d+) ([pn])(\d+) ([pn])(\d+) ", text):
        where = f"{SCORER}: {match[0].split()[0]}"
        row, column = whole(match[1], where, 0, rows - 1), whole(match[2], where, 0, inputs - 1)
        first, plus = match[3], match[4]
        if plus != str(column) or first == match[5]:
            raise ExportError(f"{SCORER}: the OTA XO{row}_{column} is not connected to input pair {column}")
        if f"{row}_{column}" not in sources:
            raise ExportError(f"{SCORER}: the OTA XO{row}_{column} has no bias source Ib{row}_{column}")
        currents_a[row, column] = sources.pop(f"{row}_{column}") * (1 if first == "p" else -1)
    if sources:
        raise ExportError(f"{SCORER}: the bias source Ib{next(iter(sources))} feeds no OTA")
    ohm, volts = (
        {
            whole(match[1], f"{SCORER}: {name}", 0, max(rows, compared)): number(
                match[2], f"{SCORER}: {name}{match[1]}"
            )
            for match in re.finditer(rf"(?m)^{name}(\d+) \S+ \S+ (\S+)$", text)
        }
        for name in ("Rf", "Vref")
    )
    if sorted(ohm) != list(range(rows)) or sorted(volts) != list(range(compared)):
        raise ExportError(
            f"{SCORER}: has {len(ohm)} feedback resistors and {len(volts)} references, not {rows} and {compared}"
        )
    sign = -1.0 if has_amplifier(readout) else 1.0
    threshold_v = [0.5 * volts[g] if differential else sign * (volts[g] - COMMON_MODE_V) for g in range(compared)]
    if differential and not np.allclose(currents_a[:groups], -currents_a[groups:], rtol=1e-6, atol=0):
        raise ExportError(f"{SCORER}: the halves of the differential array do not mirror each other")
    return Achieved(currents_a[:groups], np.array([ohm[g] for g in range(groups)]), np.array(threshold_v), 0.0, None)
