"""What a person follows in AnadigmDesigner 2 to build a score: chips, CAMs, wires, gains, clocks."""

from __future__ import annotations

from collections.abc import Sequence

from atis_jax.export.an231 import (
    CABS,
    CONSTANT_V,
    IO_CELLS,
    NOT_MADE,
    POWER_NOTE,
    ChipPlan,
    Plan,
    SumDiff,
    realised,
    serial_frames,
)

CLOCK = "Clock 3 (250 kHz)"
UPDATE_S = 1e-3
"""Of one reconfiguration of a few capacitors over SPI, as a user of the part measured it."""


def guide_text(name: str, layer: int, plans: Sequence[Plan], otherwise: Sequence[str] = ()) -> str:
    """The guide of one layer in Markdown; ``otherwise``: what is built otherwise than designed, a sentence each."""
    lines = [
        f"# Layer {layer + 1} of {name} on AN231E04",
        "",
        f"{len(plans)} score{'s' if len(plans) > 1 else ''}, {sum(len(made.chips) for made in plans)} chips; scores, "
        "inputs and chips are numbered from 0, as in the CSV files. Not built "
        "and not simulated in AnadigmDesigner 2: the gains below are ratios of integers checked in arithmetic, and the "
        "tool chooses its own integers for the gains you enter; read back what it realises.",
        "",
        POWER_NOTE,
        "",
        *(line for sentence in otherwise for line in (sentence, "")),
        "Not made here, for nobody outside can make it honestly: " + "; ".join(NOT_MADE) + ".",
        "",
    ]
    for score, made in enumerate(plans):
        gains, constant_v = realised(made, len(made.wanted))
        lines += [
            f"## Score {score}",
            "",
            f"- Converters on the board: differential, {made.full_scale_v:g} V at full scale about 1.5 V (VMR).",
            f"- A volt of the design's score is {made.volts_per_volt:.4g} V at the comparator; the threshold is "
            f"{1e3 * made.threshold_v:.2f} mV of the design, {-constant_v:.4f} V there.",
            f"- Largest error of a gain against the one wanted: {abs(gains - made.wanted).max():.2g}; the largest gain "
            f"is {abs(made.wanted).max():.3g}.",
            "",
        ]
        for number, chip in enumerate(made.chips):
            lines += _chip_lines(number, chip, len(made.chips))
        lines += _serial_lines(made)
    return "\n".join(lines)


def _chip_lines(number: int, chip: ChipPlan, chips: int) -> list[str]:
    outside = [b.source for one in chip.sums for b in one.branches if b.source.startswith(("input", "chip"))]
    cells = [f"cell {n + 1}: {_words(source)}" for n, source in enumerate(outside)]
    if not chip.compares:
        cells.append(f"cell {len(cells) + 1}: output, to chip {number + 1}")
    lines = [
        f"### Chip {number} (of {chips})",
        "",
        f"1. New circuit, AN231E04. I/O cells ({chip.io_cells} of {IO_CELLS}): {'; '.join(cells)}. Inputs in bypass "
        "mode, differential.",
    ]
    step = 2
    for one in chip.sums:
        lines.append(f"{step}. CAM *SumDiff* (name it {one.name}), {CLOCK}; inputs used: {len(one.branches)}.")
        lines += ["", *_table(one), ""]
        step += 1
    if any(b.source == "constant" for one in chip.sums for b in one.branches):
        lines.append(f"{step}. CAM *Voltage*, +{CONSTANT_V:g} V, to the input called constant above.")
        step += 1
    last = chip.sums[-1].name
    if chip.compares:
        lines.append(
            f"{step}. CAM *Comparator*, {CLOCK}: input from {last}, compare with signal ground, sampled in the phase "
            f"in which {last} is valid; output to a digital output: high is keep."
        )
    else:
        lines.append(
            f"{step}. CAM *Hold*, {CLOCK}, from {last} to the output cell: a SumDiff is valid half the time, the hold "
            "bridges the other half."
        )
    lines += [f"{step + 1}. {len(chip.sums) + 1} CAMs with an op-amp or a comparator, on {CABS} CABs.", ""]
    return lines


def _table(one: SumDiff) -> list[str]:
    rows = ["| input | from | sign | gain to enter | C_in / C_out |", "|---|---|---|---|---|"]
    for place, branch in enumerate(one.branches):
        sign = "non-inverting" if branch.sign > 0 else "inverting"
        gain = branch.units / one.shared_units
        cells = ("ABCD"[place], _words(branch.source), sign, f"{gain:.4f}", f"{branch.units} / {one.shared_units}")
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _words(source: str) -> str:
    kind, _, which = source.partition(" ")
    if kind == "input":
        return source
    if kind == "chip":
        return f"the sum from chip {which}"
    return f"SumDiff {which}" if kind == "sum" else "constant"


def _serial_lines(made: Plan) -> list[str]:
    frames = serial_frames(made, len(made.wanted))
    return [
        "### Or one chip in turns",
        "",
        f"A single chip can add the inputs four at a time ({len(frames)} frames a token): SumDiff into "
        "*IntegratorHold*, capacitors rewritten between frames (`serial.csv`), integrator reset at each token. At "
        f"about {1e3 * UPDATE_S:g} ms an update that is {1e3 * UPDATE_S * len(frames):g} ms a token.",
        "",
    ]


def serial_csv(plans: Sequence[Plan]) -> str:
    """The frames of the single chip: score, frame, input, sign, units, shared units."""
    rows = ["score,frame,input,sign,units,shared_units"]
    for score, made in enumerate(plans):
        for number, branches, shared in serial_frames(made, len(made.wanted)):
            rows += [f"{score},{number},{j},{sign},{units},{shared}" for j, sign, units in branches]
    return "\n".join(rows) + "\n"
