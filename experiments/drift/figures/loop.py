"""The adaptive loop, the dead band and the moving-average prototype, each by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, PercentFormatter

from atis_jax.report.errors import Absent
from atis_jax.report.formatting import count, percent, si, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLACK, BLUE, GREY, LINES, VERMILLION, new_figure, plain_log_ticks
from experiments.drift.figures.changes import SHIFT_WORDS, DriftRun, drift_run

DRAWN_RATES = 4
"""Responses drawn; the table has them all."""


def step_response(run: RunFiles) -> Section:
    """The threshold after a step of the images, measured and expected, for several rates; and what each rate costs."""
    drift = drift_run(run)
    table = drift.table.get("step_response") or {}
    rates, tokens = run.array("drift_loop_rate_v").astype(float), run.array("drift_loop_tokens")
    measured, expected = run.array("drift_loop_measured"), run.array("drift_loop_expected")
    rows: list[dict[str, Any]] = table.get("rates") or []
    if len(rows) != len(rates):
        raise Absent("summary.json and artifacts.npz list different rates")
    figure = new_figure(3.2)
    left, right = figure.subplots(1, 2, width_ratios=[1.7, 1])
    drawn = np.unique(np.linspace(0, len(rates) - 1, min(DRAWN_RATES, len(rates))).round().astype(int))
    left.axhspan(0.9, 1.1, color="#e3edf7", zorder=0)
    for place, number in enumerate(drawn):
        color, _ = LINES[place]
        left.plot(
            tokens / 1e3, measured[number], color=color, linewidth=1.1, label=f"{si(rates[number], 'V', 1)} a token"
        )
        left.plot(tokens / 1e3, expected[number], color=color, linestyle="--", linewidth=1.5)
        settled = rows[number].get("settling_tokens")
        if settled is not None:
            left.plot(settled / 1e3, 1.0, "v", color=color, markersize=7, markeredgecolor="white", zorder=6)
    left.set_ylim(min(-0.2, float(measured[drawn].min()) - 0.05), min(2.5, float(measured[drawn].max()) + 0.1))
    left.set_xlabel("tokens after the step (1,000)")
    left.set_ylabel("threshold, in steps")
    left.legend(loc="lower right", title=None)
    settling = np.array([row.get("settling_tokens") or np.nan for row in rows], float)
    theory = np.array([row.get("expected_settling_tokens") or np.nan for row in rows], float)
    hunting = np.array([row["hunting_v"] for row in rows], float)
    right.loglog(1e6 * rates, settling, "o-", color=BLUE, label="settling, measured")
    right.loglog(1e6 * rates, theory, "s--", color=BLUE, markerfacecolor="white", label="settling, expected")
    right.set_xlabel("rate (µV a token)")
    right.set_ylabel("settling (tokens)", color=BLUE)
    other = right.twinx()
    other.loglog(1e6 * rates, 1e3 * hunting, "^:", color=VERMILLION, label="hunting")
    other.set_ylabel("hunting, RMS (mV)", color=VERMILLION)
    other.grid(visible=False)
    other.spines["right"].set_visible(True)
    for axis in (right.xaxis, right.yaxis, other.yaxis):
        plain_log_ticks(axis)
    for axis in (right.yaxis, other.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    name = SHIFT_WORDS.get(str(table.get("shift")), "the images")
    caption = " ".join([_response_words(rows, name, int(drift.table["hold_tokens"])), _cycle_words(rows, drift)])
    heads = ("rate", "step", "settling, tokens", "expected", "overshoot", "hunting, RMS", "kept: off by", "cycle")
    body = [heads, *(_response_row(row) for row in rows)]
    alt = "Threshold after a step of the images against time, and settling time against the rate of the feedback."
    return Section(
        "Step response of the adaptive threshold",
        (Picture("drift_response", figure, alt, caption, table=tuple(body)),),
    )


def _response_words(rows: list[dict[str, Any]], name: str, hold: int) -> str:
    chips, after = int(rows[0]["chips"]), int(rows[0]["tokens_after"])
    done = [row for row in rows if row.get("settling_tokens") is not None]
    text = (
        f"First scored layer by itself, token by token, {count(chips, 'chip')}, after the change of {name}; one is the "
        "shift that keeps the wanted share (shaded: within 10 %). Solid: measured, mean of chips; dashed: the same law "
        "with the keep bit replaced by its mean; triangles: settled, "
        f"that is, within 10 % for the next {hold:,} tokens."
    )
    if done:
        fastest = min(done, key=lambda row: row["settling_tokens"])
        text += (
            f" The fastest that settles on every chip is {si(float(fastest['rate_v']), 'V', 1)} a token, in "
            f"{fastest['settling_tokens']:,.0f} tokens."
        )
    missed = [row for row in rows if row.get("settling_tokens") is None]
    if missed:
        text += f" {len(missed)} of {len(rows)} rates do not settle within 10 % on every chip: too slow, or hunting."
    calm, wild = (f(rows, key=lambda row: row["hunting_v"]) for f in (min, max))
    return text + (
        f" Over the last {after:,} tokens the threshold moves least at {si(float(calm['rate_v']), 'V', 1)} a token, by "
        f"{si(float(calm['hunting_v']), 'V', 2)} RMS, and most at {si(float(wild['rate_v']), 'V', 1)}, by "
        f"{si(float(wild['hunting_v']), 'V', 2)}."
    )


def _cycle_words(rows: list[dict[str, Any]], drift: DriftRun) -> str:
    cycling = [row for row in rows if row.get("cycle_chips")]
    if not cycling:
        return "No rate shows a limit cycle: the threshold's autocorrelation does not return."
    row = cycling[-1]
    text = (
        f"{count(len(cycling), 'rate')} of {len(rows)} show a repeating motion; at "
        f"{si(float(row['rate_v']), 'V', 1)} a token its period is {row['cycle_period_tokens']:,.0f} tokens and its "
        f"amplitude {si(float(row['cycle_amplitude_v']), 'V')}."
    )
    if abs(row["cycle_period_tokens"] / drift.tokens - 1) < 0.02:
        text += f" That is the length of an image ({drift.tokens} tokens): the raster drives it, the loop does not."
    return text


def _response_row(row: dict[str, Any]) -> tuple[str, ...]:
    def tokens(name: str) -> str:
        return "not settled" if row.get(name) is None else f"{row[name]:,.0f}"

    cycle = "none"
    if row.get("cycle_chips"):
        amplitude, period = si(float(row["cycle_amplitude_v"]), "V", 2), float(row["cycle_period_tokens"])
        cycle = f"{amplitude}, {period:,.0f} tokens ({row['cycle_chips']} of {row['chips']} chips)"
    return (
        si(float(row["rate_v"]), "V", 1),
        si(float(row["step_v"]), "V"),
        tokens("settling_tokens"),
        tokens("expected_settling_tokens"),
        percent(float(row["overshoot"]), 0),
        si(float(row["hunting_v"]), "V", 2),
        f"{100 * float(row['kept_error']):+.1f} points".replace("-", "\u2212"),
        cycle,
    )


def hysteresis(run: RunFiles) -> Section:
    """Keep-bit changes of every layer without and with the dead band, and against its width at the first layer."""
    drift = drift_run(run)
    width = run.array("drift_band_fraction").astype(float)
    toggles, kept, changed = (
        run.array(f"drift_band_{n}").astype(float) for n in ("toggles_per_token", "kept", "changed_decisions")
    )
    still = {drift.arms[n]["mode"]: drift.arms[n] for n in drift.of("steady")}
    pair = [still[mode] for mode in ("fixed", "hysteresis") if mode in still]
    if len(pair) < 2:
        raise Absent("the steady sequence was not run without and with hysteresis")
    figure = new_figure(2.9)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.3])
    layers = np.arange(1, len(pair[0]["toggles_per_token"]) + 1)
    for place, (arm, color, hatch, label) in enumerate(
        zip(pair, (BLUE, "#f0c36d"), ("", "////"), ("no hysteresis", "hysteresis"), strict=True)
    ):
        left.bar(
            layers + 0.4 * (place - 0.5),
            arm["toggles_per_token"],
            0.38,
            color=color,
            hatch=hatch,
            edgecolor=BLACK,
            linewidth=0.6,
            label=label,
        )
    left.set_xticks(layers)
    left.set_xlabel("layer")
    left.set_ylabel("keep-bit changes a token")
    left.grid(axis="x", visible=False)
    left.set_ylim(0, 1.3 * max(max(arm["toggles_per_token"]) for arm in pair))
    left.legend(loc="upper right")
    for values, (color, dash), marker, label in (
        (toggles, LINES[0], "o", "keep-bit changes a token"),
        (changed, LINES[1], "s", "decisions changed"),
        (kept, LINES[2], "^", "kept fraction"),
    ):
        right.plot(width, values, color=color, linestyle=dash, marker=marker, markersize=4.5, label=label)
    right.set_xlabel("dead band, share of the comparator's span")
    right.set_ylabel("first scored layer")
    right.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    right.set_ylim(0, 1.35 * max(float(v.max()) for v in (toggles, changed, kept)))
    right.legend(loc="upper left", ncols=2)
    rows = drift.table.get("hysteresis") or [{}]
    fewer = [1 - b / a if a else 0.0 for a, b in zip(*(arm["toggles_per_token"] for arm in pair), strict=True)]
    per_layer = ", ".join(f"layer {n + 1} {percent(value, 0)}" for n, value in enumerate(fewer))
    cost = 100 * (float(pair[1]["accuracy_after"]) - float(pair[0]["accuracy_after"]))
    caption = (
        f"Left: how often the keep bit changes from a patch to the next one that reaches the comparator, "
        f"{count(int(pair[0]['images']), 'image')} on {count(int(pair[0]['chips']), 'chip')} with nothing drifting; "
        f"hysteresis makes changes rarer by {per_layer}, and accuracy at the end differs by {cost:+.2f} points. "
        f"Right: at the first scored layer a dead band of {percent(width[-1], 0)} of the span changes "
        f"{percent(changed[-1])} of the decisions ({count(int(rows[-1].get('tokens', 0)), 'decision')}) and leaves "
        f"{percent(toggles[-1] / toggles[0] if toggles[0] else 0.0, 0)} of the bit changes."
    ).replace("-", "\u2212")
    alt = "Keep-bit changes a token by layer, and against the width of the dead band."
    return Section("Hysteresis", (Picture("drift_hysteresis", figure, alt, caption),))


def moving_prototype(run: RunFiles) -> Section:
    """Where the filtered query stands between what it was before and after the change, layer by layer."""
    drift = drift_run(run)
    query, wanted = run.array("drift_query").astype(float), run.array("drift_query_filter")
    rows: list[dict[str, Any]] = drift.table.get("query") or []
    shifts = list(dict.fromkeys(row["shift"] for row in rows))
    if len(shifts) != len(query) or not np.isfinite(query).any():
        raise Absent("no layer's query made a step that stands out")
    images = np.arange(query.shape[-1]) - int(drift.table["change_image"])
    figure = new_figure(2.7)
    panels = np.ravel(figure.subplots(1, len(shifts), squeeze=False, sharey=True))
    for axes, name, curves in zip(panels, shifts, query, strict=True):
        for layer, curve in enumerate(curves):
            if np.isfinite(curve).all():
                color, dash = LINES[layer % len(LINES)]
                axes.plot(images, curve, color=color, linestyle=dash, linewidth=1.3, label=f"layer {layer + 1}")
        axes.plot(images, wanted, color=BLACK, linestyle=(0, (1, 1.5)), linewidth=1.4, label="RC filter", zorder=5)
        axes.axvline(0, color=GREY, linestyle="--", linewidth=0.9)
        axes.set_title(SHIFT_WORDS.get(name, name), fontsize=8.8)
        axes.set_xlabel("images after the change")
        axes.locator_params(axis="x", nbins=5)
    panels[0].set_ylabel("filtered query, in steps")
    handles: dict[str, Any] = {}
    for axes in panels:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(list(handles.values()), list(handles), loc="outside upper left", ncols=6)
    measured = [row for row in rows if row.get("rms_from_filter") is not None]
    settled = [float(row["settling_images"]) for row in measured if row.get("settling_images") is not None]
    lost = sorted({row["layer"] for row in rows} - {row["layer"] for row in measured})
    chips = count(int(rows[0]["chips"]), "chip")
    sentences = [
        f"The moving average of the CLS query, mean of {chips}: 0 is its mean before the change, 1 after. An RC filter "
        f"at this rate needs {rows[0]['expected_settling_images']} images to come within 10 %; measured "
        + (
            f"{min(settled):.0f} to {max(settled):.0f} images on {len(settled)} of {len(measured)} curves, others hunt"
            if settled
            else "it hunts beyond 10 % throughout"
        )
        + f", and the curves lie {significant(min(row['rms_from_filter'] for row in measured), 2)} to "
        f"{significant(max(row['rms_from_filter'] for row in measured), 2)} of a step (RMS) from the filter's."
    ]
    if lost:
        where = f"layer {lost[0]}" if len(lost) == 1 else f"layers {', '.join(map(str, lost))}"
        why = " there CLS has not yet seen a patch, so its query is the same for every image" if lost == [1] else ""
        sentences.append(f"In {where} the query makes no step that stands out{':' if why else ''}{why}.")
    using = [arm for arm in drift.arms if arm["mode"] == "adaptive + ema"]
    for arm in using:
        if arm["scenario"] == "steady":
            sentences.append(
                f"Used as the prototype of a network trained with a learned one, with nothing drifting, it gives "
                f"{percent(float(arm['accuracy_after']))} accuracy at the end."
            )
    alt = "Filtered query against time after a change of the images."
    return Section(
        "Prototype that follows the sequence", (Picture("drift_prototype", figure, alt, " ".join(sentences)),)
    )


__all__ = ["hysteresis", "moving_prototype", "step_response"]
