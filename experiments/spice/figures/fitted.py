"""A fit: curves under the one law, what the law costs against a fit of each curve alone, and the numbers found."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.formatting import count, join, or_below, percent, si, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section, Table
from atis_jax.report.style import BLACK, LINES, new_figure, panels_of, plain_log_ticks
from experiments.spice.figures.curve_residuals import curves_and_residuals, worst_residuals
from experiments.spice.figures.ota import bias_words
from experiments.spice.words import process_note

FIELDS = {
    "ota.kappa": ("gate coupling κ at the nominal temperature and its stated current", 1.0, ""),
    "ota.kappa_per_k": ("its change", 1e3, "× 10⁻³ per K"),
    "ota.kappa_per_decade": ("its change", 1.0, "per decade of current"),
    "thermal.current_per_k": ("relative change of the current", 100.0, "% per K"),
    "ota.log_current_sigma": ("spread of ln I_b", 100.0, "%"),
    "ota.kappa_sigma": ("relative spread of κ", 100.0, "%"),
    "ota.offset_sigma_v": ("spread of the offset", 1e3, "mV"),
    "ota.additive_sigma": ("spread of the additive current", 100.0, "% of I_b"),
    "ota.log_current_kappa_correlation": ("correlation of ln I_b and κ", 1.0, ""),
    "ota.offset_additive_correlation": ("correlation of offset and additive current", 1.0, ""),
}
"""Fields of the preset in words, with the factor and the unit they are shown with."""
_FLOOR = 1e-4
"""In those units: a fit leaves 1e-15 where there is nothing to find."""
_OFFSET_FLOOR_V = 1e-9


def _told(run: RunFiles) -> dict[str, Any]:
    found = run.table("fit")
    if not found:
        raise Absent(run.missing.get("summary.json", "summary.json has no 'fit'"))
    return found


def fitted_curves(run: RunFiles) -> Section:
    """Some of the curves with the law through all of them, and what it leaves."""
    told = _told(run)
    voltage_v, curves, models = (run.array(name) for name in ("fit_v", "fit_curve", "fit_model"))
    labels = [
        f"{bias_words(bias_a)}, {celsius:g} °C"
        for bias_a, celsius in zip(run.array("fit_bias_a"), run.array("fit_c"), strict=True)
    ]
    figure = curves_and_residuals(voltage_v, curves, models, labels, "curve")
    rms, largest = worst_residuals(curves, models)
    caption = (
        f"{len(curves)} of the {count(int(told['curves']), 'curve')} of {told['source']}. Points are the curves, lines "
        "the one law that is fitted to all of them. Below, what it leaves of these: "
        f"{_at_most(percent(largest, 2))} of the bias current, RMS of the worst {percent(rms, 3)}."
    )
    alt = "Output current against differential input, curves and law, and the difference of both."
    picture = Picture("fit_curves", figure, alt, caption)
    return Section("Curves and the law through them", (*process_note(run, "fit_curves"), picture))


def _at_most(text: str) -> str:
    return text if text.startswith("below") else f"at most {text}"


def law_residuals(run: RunFiles) -> Section:
    """RMS of every curve fitted by itself and under the one law, against the bias; the fits as a table."""
    told, residual = _told(run), 100 * run.array("fit_residual").astype(float)
    fits = told["parameters"]
    if len(fits) != len(residual) or not np.allclose([100 * one["law_rms"] for one in fits], residual[:, 1], rtol=1e-6):
        raise ReportError(
            "summary.json and artifacts.npz ('fit_residual') tell of different fits; take both files from one run"
        )
    celsius = np.array([one["temperature_c"] for one in fits])
    bias_a = np.array([one["bias_a"] for one in fits])
    figure = new_figure(2.9)
    (axes,) = panels_of(figure, 1, 1)
    for number, at in enumerate(np.unique(celsius)):
        mine = np.flatnonzero(celsius == at)
        mine = mine[np.argsort(bias_a[mine], kind="stable")]
        color, dash = LINES[number % len(LINES)]
        alone = len(set(bias_a[mine])) == len(mine)  # several devices at a bias make no line
        axes.plot(
            1e9 * bias_a[mine],
            residual[mine, 1],
            ".",
            markersize=7,
            color=color,
            linestyle=dash if alone else "none",
            label=f"{at:g} °C",
        )
        axes.plot(1e9 * bias_a[mine], residual[mine, 0], "o", color=color, markersize=6, markerfacecolor="none")
    axes.set(xscale="log", xlabel="bias current (nA)", ylabel="RMS residual (% of I_b)")
    axes.set_ylim(0.0, max(1.1 * float(residual.max()), _FLOOR))
    plain_log_ticks(axes.xaxis)
    handles, labels = axes.get_legend_handles_labels()
    keys = [
        Line2D([], [], color=BLACK, marker="o", linestyle="none", markersize=6, markerfacecolor="none"),
        Line2D([], [], color=BLACK, marker=".", linestyle="none", markersize=7),
    ]
    figure.legend([*keys, *handles], ["fitted alone", "under the one law", *labels], loc="outside upper left", ncols=4)
    caption = (
        f"What a fit leaves of each curve. Worst alone {percent(told['worst_rms_of_a_fit'], 3)} of the bias current, "
        f"under the one law {percent(told['worst_rms_of_the_law'], 3)}: the law costs "
        f"{_cost_words(residual)}. {_left_words(told)}The table has the fits of the curves alone."
    )
    picture = Picture("fit_residuals", figure, "RMS residuals against the bias.", caption, table=_fits(fits))
    return Section("What the one law costs", (picture,))


def _cost_words(residual: np.ndarray) -> str:
    cost = float((residual[:, 1] - residual[:, 0]).max())
    return f"no curve more than {significant(max(cost, _FLOOR), 2)} points"


def _left_words(told: dict[str, Any]) -> str:
    left = told.get("left_by_the_law")
    if not left:
        return ""
    return (
        f"Its polynomials in current and temperature leave {percent(left['log_current'], 3)} of the current, "
        f"{_shown(left['kappa'], 2)} of κ and {or_below(left['offset_v'], _OFFSET_FLOOR_V, _volts)} of the offset "
        "(RMS). "
    )


def _volts(value: float) -> str:
    return si(value, "V", 2)


def _shown(value: float, digits: int = 3) -> str:
    """A number in its table's unit; nothing is claimed below ``_FLOOR``."""
    return or_below(value, _FLOOR, lambda one: significant(one, 1 if abs(one) == _FLOOR else digits))


def _fits(fits: list[dict[str, Any]]) -> tuple[tuple[str, ...], ...]:
    """A row a bias and temperature, the mean over its curves."""
    groups: dict[tuple[float, float], list[dict[str, Any]]] = {}
    for one in fits:
        groups.setdefault((one["bias_a"], one["temperature_c"]), []).append(one)
    several = len(groups) < len(fits)
    additive = any(one["additive"] for one in fits)
    rows = []
    for (bias_a, celsius), group in groups.items():
        mean = {
            name: float(np.mean([one[name] for one in group]))
            for name in ("current_a", "kappa", "offset_v", "additive", "rms", "law_rms")
        }
        rows.append(
            (
                bias_words(bias_a),
                f"{celsius:g} °C",
                *([str(len(group))] if several else []),
                f"{mean['current_a'] / bias_a:.4f}",
                f"{mean['kappa']:.4f}",
                f"{1e3 * mean['offset_v']:.2f} mV".replace("-", "−"),
                *([percent(mean["additive"], 2)] if additive else []),
                percent(mean["rms"], 3),
                percent(mean["law_rms"], 3),
            )
        )
    heads = (
        "bias",
        "temperature",
        *(["curves, mean of"] if several else []),
        "current over bias",
        "κ",
        "offset",
        *(["additive, of I_b"] if additive else []),
        "RMS alone",
        "RMS, one law",
    )
    return (heads, *rows)


def fitted_preset(run: RunFiles) -> Section:
    """The fields of the preset, and of the spread each number with its interval."""
    told = _told(run)
    rows = []
    for name, value in told["fields"].items():
        words, scale, unit = FIELDS.get(name, ("", 1.0, ""))
        rows.append((name, words, f"{_shown(scale * value)} {unit}".rstrip()))
    caption = (
        f"The preset in {told['preset']}, fields that are single numbers. What the law has beside these, polynomials "
        "in current and temperature, is in the file."
    )
    groups = told.get("spread") or []
    if len(groups) > 1:
        caption += " Spreads are root mean squares over the groups of devices below, correlations their means."
    fields = Table("fit_fields", caption, (("field", "what", "value"), *rows))
    if not groups:
        absent = (("Spread of the fitted devices", "there were too few devices at each bias and temperature"),)
        return Section("The preset", (fields,), absent)
    return Section("The preset", (fields, _spread(groups)))


def _spread(groups: list[dict[str, Any]]) -> Table:
    rows = []
    for name in groups[0]["spread"]:
        words, scale, unit = FIELDS.get(f"ota.{name}", (name, 1.0, ""))
        cells = []
        for group in groups:
            one = group["spread"][name]
            if not one["low"] <= one["value"] <= one["high"]:
                raise ReportError(
                    f"summary.json: the spread '{name}' is {one['value']}, outside its own interval {one['low']} to "
                    f"{one['high']}"
                )
            value, low, high = (_shown(scale * one[part]) for part in ("value", "low", "high"))
            cells.append(value if value.startswith("below") else f"{value} ({low} to {high})")
        rows.append((f"{words}{', ' + unit if unit else ''}", *cells))
    sizes = join(sorted({f"{int(group['devices']):,}" for group in groups}))
    caption = f"Spread of {sizes} devices{' each' if len(groups) > 1 else ''}, with its 95 % interval in brackets."
    return Table("fit_spread", caption, (("", *_group_names(groups)), *rows))


def _group_names(groups: list[dict[str, Any]]) -> list[str]:
    """The groups' biases, with their temperatures where these differ."""
    several = len({group["temperature_c"] for group in groups}) > 1
    return [
        f"{bias_words(group['bias_a'])}, {group['temperature_c']:g} °C" if several else bias_words(group["bias_a"])
        for group in groups
    ]
