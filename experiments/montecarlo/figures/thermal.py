"""Temperature sweep: transconductance, accuracy and kept tokens from cold to hot."""

from __future__ import annotations

from matplotlib.ticker import LogLocator

from atis_jax.report.errors import Absent
from atis_jax.report.formatting import count, percent, points, signed_points, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLACK, LINES, new_figure, panels_of, plain_log_ticks

BIAS_WORDS = {
    "fixed_charge": "fixed charge",
    "constant": "constant current",
    "ptat": "PTAT",
    "ctat": "CTAT",
}


_EXPLAINED = {
    "threshold": "'threshold' sets each chip's thresholds once{where}.",
    "table": "'table' looks them up by a noisy sensor.",
    "periodic": "'periodic' measures them anew at each temperature.",
}


def transconductance(run: RunFiles) -> Section:
    """Gm over its nominal value against temperature, a panel a bias, a line a current; change per 10 C as a table."""
    found = run.summary.get("gm_change_per_10c")
    if not found:
        raise Absent("summary.json has no 'gm_change_per_10c'")
    ratio, temperature, current = run.array("gm_ratio"), run.array("gm_c"), run.array("gm_current_a")
    biases = list(dict.fromkeys(entry["bias"] for entry in found))
    figure = new_figure(2.7)
    panels = panels_of(figure, 1, len(biases), sharey=True)
    for axes, bias, curves in zip(panels, biases, ratio, strict=True):
        for (color, dash, *_), one, amperes in zip(LINES, curves, current, strict=False):
            axes.plot(temperature, one, color=color, linestyle=dash, label=f"{1e9 * amperes:g} nA")
        axes.set_title(BIAS_WORDS.get(bias, bias))
        axes.set_xlabel("temperature (°C)")
    if ratio.max() > 3:
        panels[0].set_yscale("log")
        panels[0].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        plain_log_ticks(panels[0].yaxis)
    panels[0].set_ylabel("gm over its nominal value")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=len(current))
    rows = [
        (
            BIAS_WORDS.get(bias, bias),
            *(f"{100 * entry['change']:+.1f} %".replace("-", "−") for entry in found if entry["bias"] == bias),
        )
        for bias in biases
    ]
    fixed = [entry for entry in found if entry["bias"] == "fixed_charge"]
    caption = "How the transconductance of one OTA follows temperature; the table is the change from 20 to 30 °C."
    if fixed:
        inside = [entry for entry in fixed if 0.30 <= entry["change"] <= 0.40]
        low, high = (f(entry["change"] for entry in fixed) for f in (min, max))
        where = " and ".join(f"{1e9 * entry['current_a']:g} nA" for entry in inside)
        caption += (
            f" The paper's 30 to 40 % for 10 °C is a floating gate that holds its charge, and there it is "
            f"{percent(low, 0)} to {percent(high, 0)} from {1e9 * fixed[-1]['current_a']:g} to "
            f"{1e9 * fixed[0]['current_a']:g} nA" + (f" (30 to 40 % at {where})." if inside else ".")
        )
    heads = ("bias", *(f"{1e9 * amperes:g} nA" for amperes in current))
    picture = Picture("gm_temperature", figure, "gm against temperature.", caption, table=(heads, *rows))
    return Section("Transconductance against temperature", (picture,))


def temperature_sweep(run: RunFiles) -> Section:
    """Change of accuracy and kept fraction against temperature, a column a bias, a line a compensation."""
    found = run.summary.get("temperature")
    if not isinstance(found, list) or not found:
        raise Absent("summary.json has no 'temperature'")
    temperature = run.array("thermal_c")
    change, kept = run.array("thermal_change").mean(axis=1), run.array("thermal_kept").mean(axis=1)
    arms = list(dict.fromkeys((entry["bias"], entry["compensation"]) for entry in found))
    biases = list(dict.fromkeys(bias for bias, _ in arms))
    compensations = list(dict.fromkeys(name for _, name in arms))
    figure = new_figure(4.4)
    drawn = panels_of(figure, 2, len(biases), sharex=True, sharey="row")
    upper, lower = drawn[: len(biases)], drawn[len(biases) :]
    for index, (bias, compensation) in enumerate(arms):
        color, dash, *_ = LINES[compensations.index(compensation)]
        column = biases.index(bias)
        label = "as fabricated" if compensation == "none" else compensation
        upper[column].plot(temperature, 100 * change[index], ".", color=color, linestyle=dash, label=label)
        lower[column].plot(temperature, 100 * kept[index], ".", color=color, linestyle=dash)
        upper[column].set_title(BIAS_WORDS.get(bias, bias))
        lower[column].set_xlabel("temperature (°C)")
    for axes in upper:
        axes.axhline(0.0, color=BLACK, linewidth=0.8)
    upper[0].set_ylabel("change of accuracy (points)")
    lower[0].set_ylabel("tokens kept (%)")
    figure.legend(*upper[0].get_legend_handles_labels(), loc="outside upper left", ncols=len(compensations))
    chips = run.array("thermal_change").shape[1]
    worst = min(found, key=lambda entry: entry["change_mean"])
    caption = (
        f"Mean over {count(chips, 'chip')} of the difference to the perfect chip at its nominal temperature, on "
        "the same inputs. "
        f"The largest loss is {points(worst['change_mean'])} ({points(worst['change_low'])} to "
        f"{points(worst['change_high'])}, chips and inputs) at {significant(worst['temperature_c'])} °C with "
        f"{BIAS_WORDS.get(worst['bias'], worst['bias'])} and compensation '{worst['compensation']}'. "
        + " ".join(_EXPLAINED[name].format(where=_where(run)) for name in compensations if name in _EXPLAINED)
    )
    heads = ("change in points", *(f"{t:g} °C" for t in temperature))
    rows = [
        (f"{BIAS_WORDS.get(bias, bias)}, {name}", *(signed_points(float(value)) for value in change[index]))
        for index, (bias, name) in enumerate(arms)
    ]
    picture = Picture("temperature_sweep", figure, "Accuracy against temperature.", caption, table=(heads, *rows))
    return Section("Accuracy from cold to hot", (picture,))


def _where(run: RunFiles) -> str:
    """Where thresholds are set once, if the configuration says it."""
    settings = run.config.get("calibration")
    return f" at {float(settings['temperature_c']):g} °C" if isinstance(settings, dict) else ""
