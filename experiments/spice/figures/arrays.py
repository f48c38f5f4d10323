"""Many OTAs in SPICE beside our model: signed sums that nothing was fitted to, and the spread from mismatch."""

from __future__ import annotations

import numpy as np

from atis_jax.report.errors import ReportError
from atis_jax.report.formatting import count, percent, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLACK, LINES, SKY, VERMILLION, new_figure, panels_of
from experiments.spice.figures.ota import bias_words, biases_a, gates_by_name
from experiments.spice.words import process_note

COLUMNS = 4
SAME_DEVICES = 0.95
"""From which correlation of their offsets on the devices at two biases are taken for the same ones."""
QUANTITIES = (("offset_sigma_v", "offset", 1e3, "mV"), ("log_current_sigma", "ln I_b", 100.0, "%"))


def array_sums(run: RunFiles) -> Section:
    """A panel an array size: what the model's sums leave of SPICE's, against SPICE's."""
    inputs, spice, ours = (run.array(name) for name in ("spice_sum_inputs", "spice_sum", "spice_sum_model"))
    left = 100 * (ours - spice)
    rms = np.sqrt(np.mean(left**2, axis=1))
    at = _temperature_words(run, inputs, rms)
    columns = min(COLUMNS, len(inputs))
    rows = -(-len(inputs) // columns)
    figure = new_figure(0.6 + 2.1 * rows)
    panels = panels_of(figure, rows, columns, sharex=True, sharey=True)
    for axes in panels[len(inputs) :]:
        axes.set_axis_off()
    for number, axes in enumerate(panels[: len(inputs)]):
        axes.plot(spice[number], left[number], "o", color=LINES[number % len(LINES)][0], markersize=3.2, alpha=0.6)
        axes.axhline(0.0, color=BLACK, linewidth=0.8)
        axes.set_title(f"{inputs[number]} OTAs, RMS {rms[number]:.3f} %", fontsize=8.8)
        axes.set_xlabel("SPICE: sum over the sum of I_b", fontsize=8.8)
        if number % columns == 0:
            axes.set_ylabel("model less SPICE\n(% of the sum of I_b)")
    reads = count(spice.shape[1], "set")
    caption = (
        f"Currents of arrays of OTAs with random biases, signs and inputs{at}, {reads} of inputs each: nothing was "
        "fitted to any array. The model's sum is farthest from SPICE's by "
        f"{percent(float(np.abs(left).max()) / 100, 2)} of the sum of the bias currents "
        f"({inputs[np.abs(left).max(axis=1).argmax()]} OTAs)"
    )
    if len(inputs) > 1 and rms[np.argsort(inputs)[-1]] < rms[np.argsort(inputs)[0]]:
        caption += "; it shrinks with the size, for errors of different sign average out"
    alt = "Difference of the model's sum from SPICE's against SPICE's sum, a panel an array size."
    picture = Picture("spice_sums", figure, alt, f"{caption}.")
    return Section("Arrays, predicted and simulated", (*process_note(run, "spice_sums"), picture))


def _temperature_words(run: RunFiles, inputs: np.ndarray, rms: np.ndarray) -> str:
    """At which temperature the arrays were read, by the gates that have these very errors."""
    gates = gates_by_name(run)
    of_sums = {tuple(name.split("_")[1:]): gate.value for name, gate in gates.items() if name.startswith("sum_")}
    if not of_sums:
        return ""
    at = [
        celsius
        for celsius in dict.fromkeys(celsius for _, celsius in of_sums)
        if all(
            np.isclose(of_sums.get((str(size), celsius), np.nan), error, rtol=1e-3)
            for size, error in zip(inputs.tolist(), rms.tolist(), strict=True)
        )
    ]
    if not at:
        raise ReportError(
            "artifacts.npz: the errors of 'spice_sum_model' are those of no temperature in the gates of summary.json; "
            "take both files from one run"
        )
    return f" at {at[0]} °C"


def spread(run: RunFiles) -> Section:
    """A panel a bias: offset against ln I_b of SPICE's mismatched OTAs and of those of sampled chips."""
    devices, chips = run.array("spice_devices").astype(float), run.array("spice_chips").astype(float)
    asked_a = biases_a(run)
    table = _spreads(run, asked_a, devices, chips)
    columns = min(COLUMNS, len(asked_a))
    rows = -(-len(asked_a) // columns)
    figure = new_figure(0.7 + 2.3 * rows)
    panels = panels_of(figure, rows, columns, sharex=True, sharey=True)
    for axes in panels[len(asked_a) :]:
        axes.set_axis_off()
    for axes, bias_a, found, drawn in zip(panels, asked_a, devices, chips, strict=False):
        for points, color, marker, label, alpha in (
            (drawn, SKY, ".", "OTAs of sampled chips", 0.5),
            (found, VERMILLION, "x", "SPICE", 0.9),
        ):
            about = points - points.mean(axis=0)
            axes.plot(
                1e3 * about[:, 0],
                100 * about[:, 1],
                marker,
                color=color,
                alpha=alpha,
                markersize=3.5,
                markeredgewidth=0.9,
                label=label,
            )
        axes.set_title(bias_words(bias_a), fontsize=8.8)
        axes.set_xlabel("offset (mV)")
    for axes in panels[::columns]:
        axes.set_ylabel("ln I_b (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=2, markerscale=1.8)
    caption = (
        f"Offset and current of OTAs about their mean: {count(devices.shape[1], 'OTA')} a bias whose transistors drew "
        f"their mismatch in SPICE, and {count(chips.shape[1], 'OTA')} of chips sampled with a spread that was fitted "
        "to other devices. The table has the standard deviations; in brackets the interval that the gates are about."
    )
    if _same(devices) and len(asked_a) > 1:
        caption += " The devices are the same at every bias, so the biases are one experiment, not several."
    picture = Picture("spice_spread", figure, "Offset against ln I_b, SPICE and sampled chips.", caption, table=table)
    return Section("Spread from mismatch", (*process_note(run, "spice_spread"), picture))


def _same(devices: np.ndarray) -> bool:
    return bool((np.corrcoef(devices[:, :, 0]) > SAME_DEVICES).all())


def _spreads(run: RunFiles, asked_a: np.ndarray, devices: np.ndarray, chips: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Standard deviations of both; the interval and the chips' own value are the gates' where there are gates."""
    gates = gates_by_name(run)
    rows: list[tuple[str, ...]] = []
    for leaf, (name, what, scale, unit) in enumerate(QUANTITIES):
        of_spice, of_chips = [f"{what}, SPICE"], [f"{what}, sampled chips"]
        for number, bias_a in enumerate(asked_a):
            found = scale * float(devices[number, :, leaf].std(ddof=1))
            drawn = scale * float(chips[number, :, leaf].std(ddof=1))
            gate = gates.get(f"{name}_{bias_a:g}")
            text = f"{significant(found)} {unit}"
            if gate is not None and gate.low is not None and gate.high is not None:
                if not gate.low <= found <= gate.high:
                    raise ReportError(
                        f"artifacts.npz: the spread of {what} of SPICE's devices at {bias_words(bias_a)} is "
                        f"{found:.3g} {unit}, outside the interval {gate.low:.3g} to {gate.high:.3g} that the gates of "
                        "summary.json give it; take both files from one run"
                    )
                text += f" ({significant(gate.low)} to {significant(gate.high)})"
                drawn = gate.value
            of_spice.append(text)
            of_chips.append(f"{significant(drawn)} {unit}")
        rows += [tuple(of_spice), tuple(of_chips)]
    return (("standard deviation", *(bias_words(one) for one in asked_a)), *rows)
