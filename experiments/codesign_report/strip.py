"""The strip of a training run: accuracy as dots, energy as bars, one input with what was kept, who wins and loses."""

from __future__ import annotations

import math

import numpy as np

from atis_jax.report.charts import Bar, Dot, bars, dots
from atis_jax.report.circuits import CIRCUITS, name_of
from atis_jax.report.formatting import count, si_scale, significant
from atis_jax.report.run_files import RunFiles, kind_of
from atis_jax.report.sampling import (
    Sample,
    calibration_words,
    chips_of,
    percent_to,
    place_words,
    points_to,
    sample_of,
)
from atis_jax.report.section import Number, Picture, Strip
from atis_jax.report.standing import Claim, accuracy_standing, energy_standing, scoring_standing, sentence
from atis_jax.report.style import DENSE, DIGITAL, KINDS, STRIP_WIDTH_IN, new_figure
from experiments.codesign_report.language import bits, losses, says_words
from experiments.codesign_report.patches import patch_grid, shape_drawn, tile
from experiments.codesign_report.sentences import Row, drawn, words_kept

_SPACE = "\u00a0"


def codesign_strip(run: RunFiles) -> Strip:
    """Accuracy, energy and an input of a co-design run; of what was not measured nothing is drawn."""
    shown = [figure for figure in (bits(run) or _accuracy(run), _energy(run), _input(run)) if figure is not None]
    return Strip(_sentence(run), tuple(shown), tuple(_numbers(run)), " ".join(_note(run)))


def dense_strip(run: RunFiles) -> Strip:
    """The one number of a run that trained a network and compared it with nothing."""
    sample, accuracy = sample_of(run), run.fraction("accuracy.dense")
    if accuracy is None:
        return Strip(_unfinished(run))
    if says_words(run):
        found = losses(run)
        told = " and ".join(f"{loss} on the {split} text" for split, loss in found.items())
        return Strip(
            f"The dense network's loss is {told}, nats a token; nothing was pruned, nothing compared.",
            numbers=tuple(Number(loss, f"nats a token, {split} text") for split, loss in found.items()),
        )
    where = "" if sample.examples is None else f" on {count(sample.examples, run.evaluated(plural=False))}"
    return Strip(
        f"The dense network reaches {sample.words(accuracy)} accuracy{where}; nothing was pruned, nothing compared.",
        numbers=(Number(sample.words(accuracy), f"accuracy, dense{_plus_minus(sample, accuracy)}"),),
    )


def _unfinished(run: RunFiles) -> str:
    reason = run.missing.get("summary.json", "summary.json holds no accuracy")
    return f"Not measured yet: {reason}."


def _sentence(run: RunFiles) -> str:
    """The run's scorer against the dense network and against the digital one; a random choice that does as well."""
    sample, kind, ours = sample_of(run), kind_of(run), run.fraction("accuracy.hardware_mean")
    dense, digital, random = (run.fraction(f"accuracy.{name}") for name in ("dense", "digital", "random"))
    total, scoring = run.number("energy.total_j"), run.number("energy.scoring_j")
    against_dense = accuracy_standing(sample, ours, dense), energy_standing(total, _joules(run, "dense"))
    claims = [Claim("the dense network", *against_dense)]
    if kind in CIRCUITS:
        claims.append(
            Claim(
                "folded digital scoring" if _folds(run) else "digital scoring",
                accuracy_standing(sample, ours, digital),
                energy_standing(total, _digital(run)),
                scoring_standing(scoring, _digital(run, "_scoring")),
            )
        )
    ours_is = name_of(kind).capitalize()
    found = sentence(f"{ours_is} pruning", claims)
    if not found:
        reached = "" if ours is None else f"{ours_is} pruning reaches {sample.words(ours)} accuracy."
        return reached or _unfinished(run)
    chance = accuracy_standing(sample, ours, random)
    if kind != "random" and chance is not None and chance.sign == 0:
        found += f" A random choice of {run.words.tokens} is as accurate."
    if kind != "random" and chance is not None and chance.sign == -1:
        found += f" It loses to a random choice of {run.words.tokens} ({chance.words})."
    return found


def _joules(run: RunFiles, name: str) -> float | None:
    """Energy of a pass; None where there is none or it is no energy."""
    value = run.number(f"energy.{name}_j")
    return value if value is not None and math.isfinite(value) and value > 0 else None


def _folds(run: RunFiles) -> bool:
    return _joules(run, "digital_folded") is not None


def _digital(run: RunFiles, part: str = "") -> float | None:
    """The cheapest digital rival that was worked out: folded where the score can be folded."""
    return _joules(run, f"digital_folded{part}" if _folds(run) else f"digital{part}")


def _accuracy(run: RunFiles) -> Picture | None:
    sample, kind = sample_of(run), kind_of(run)
    keys = {"dense": "dense", kind: "hardware_mean", "digital": "digital", "random": "random"}
    keys[kind] = "hardware_mean"  # a digital or random run has no control of its own kind beside it
    measured = {name: run.fraction(f"accuracy.{key}") for name, key in keys.items()}
    found = {name: value for name, value in measured.items() if value is not None and math.isfinite(value)}
    if not found:
        return None
    cloud = run.optional("chip_accuracy")
    rows = []
    for name, value in found.items():
        error = sample.error(value)
        rows.append(
            Dot(
                label=name_of(name),
                value=100 * value,
                words=sample.words(value),
                color=KINDS.get(name, DENSE),
                band=None if error is None else (100 * (value - error), 100 * (value + error)),
                cloud=100 * cloud.astype(float) if name == kind and cloud is not None else None,
                may_leave=name not in ("dense", kind) and len(found) > 1,
            )
        )
    on = "" if sample.examples is None else f" on {sample.examples:,} {run.evaluated()}"
    compared = next((row for row, name in enumerate(found) if name == "dense"), None)
    figure = dots(rows, f"accuracy{on} (%)", compared)
    chips = ", ticks single chips" if cloud is not None and len(cloud) > 1 else ""
    return Picture(
        "strip_accuracy",
        figure,
        "Dots of accuracy, each over its error.",
        f"Accuracy: bands are one standard error{chips}. Right is better.",
    )


def _energy(run: RunFiles) -> Picture | None:
    kind, rows = kind_of(run), []
    dense, total = _joules(run, "dense"), _joules(run, "total")
    folded = "digital,\nfolded" if _folds(run) else "digital"
    ours = name_of(kind), total, run.number("energy.scoring_j"), KINDS.get(kind, DENSE)
    named = [("dense", dense, None, DENSE), ours]
    if kind in CIRCUITS:
        named.append((folded, _digital(run), _digital(run, "_scoring"), DIGITAL))
    found = [one for one in named if one[1] is not None]
    if not found:
        return None
    factor, prefix = si_scale([value for _, value, _, _ in found if value is not None])
    for label, value, part, color in found:
        assert value is not None
        words = f"{significant(value / factor)}{_SPACE}{prefix}J"  # one unit for all: they are to be compared
        if dense and label != "dense":
            words += f" ({100 * value / dense:.0f}{_SPACE}%)"
        rows.append(Bar(label, value / factor, words, color, min(part or 0.0, value) / factor))
    figure = bars(rows, f"energy of one {run.words.unit} ({prefix}J)")
    hatched = "; hatched, its scoring" if any(one.part > 0 for one in rows) else ""
    share = ": in brackets its share of dense" if dense and len(rows) > 1 else ""
    alt = f"Bars of the energy of one {run.words.unit}."
    return Picture("strip_energy", figure, alt, f"Energy{share}{hatched}. Shorter is better.")


def _input(run: RunFiles) -> Picture | None:
    """The first stored example, before pruning and after the first layer that prunes and the last one."""
    return _picture(run) if run.optional("words") is None else _words(run)


def _words(run: RunFiles) -> Picture | None:
    """A sentence with the words struck out that are gone."""
    if run.optional("kept") is None or run.optional("real") is None:
        return None
    words, masks = words_kept(run)[0]
    if not words:
        return None
    everything = np.ones(len(words), bool)
    shown = [Row(words, everything, everything, "one input")]
    shown += [
        Row(words, masks[layer], everything, f"layer {layer + 1}: {masks[layer].sum()}/{len(words)}")
        for layer in first_and_last(masks)
    ]
    figure = drawn(shown, STRIP_WIDTH_IN)
    return Picture("strip_input", figure, "One input and what was kept of it.", "Struck out: dropped.", vector=False)


def first_and_last(masks: np.ndarray) -> list[int]:
    """The first layer that prunes, and the last one; ``masks`` (L, T)."""
    pruning = np.flatnonzero(~masks.all(axis=1))
    return sorted({int(pruning[0]) if pruning.size else 0, len(masks) - 1})


def _picture(run: RunFiles) -> Picture | None:
    images, kept = run.optional("images"), run.optional("kept")
    if images is None or kept is None or images.shape[-1] not in (1, 3):
        return None
    image, masks = np.clip(np.asarray(images[0], float), 0, 1), kept[0].astype(bool)
    tokens, grid = masks.shape[1], patch_grid(run)
    layers = first_and_last(masks)
    figure = new_figure(0.27 + 1.35 * shape_drawn(grid), STRIP_WIDTH_IN)
    panels = figure.subplots(1, 3, squeeze=False)[0]
    titles = ["one input", *(f"layer {layer + 1}: {masks[layer].sum()} of {tokens}" for layer in layers)]
    pictures = [tile(image, None, grid), *(tile(image, masks[layer].reshape(grid), grid) for layer in layers)]
    for axes in panels:
        axes.set_axis_off()
    for axes, title, picture in zip(panels, titles, pictures, strict=False):
        axes.imshow(picture)
        axes.set_title(title, fontsize=9.5, fontweight="normal", loc="center", pad=3)
    return Picture(
        "strip_input", figure, "One input and what was kept of it.", "Hatched patches were dropped.", vector=False
    )


def _numbers(run: RunFiles) -> list[Number]:
    found = []
    average, final = (run.fraction(f"tokens.pruned_fraction{end}") for end in ("", "_final_layer"))
    if average is not None:
        last = "" if final is None else f" ({percent_to(final, 0.01)} in the last)"
        found.append(Number(percent_to(average, 0.01), f"of the {run.words.tokens} dropped, mean of the layers{last}"))
    number, worst = chips_of(run), run.fraction("accuracy.hardware_worst")
    if number is not None and kind_of(run) in CIRCUITS:
        degrees = place_words(run)
        label = "sampled" + (f" at {degrees}" if degrees else "")
        label += f", {set_first}" if (set_first := calibration_words(run)) else ""
        if worst is not None:
            label += f"; the worst reaches {sample_of(run).words(worst)}"
        found.append(Number(count(number, "chip"), label))
    return found


def _plus_minus(sample: Sample, accuracy: float) -> str:
    error = sample.error(accuracy)
    return "" if error is None else f"; one standard error is {points_to(error, error)}"


def _note(run: RunFiles) -> list[str]:
    sample, dense = sample_of(run), run.fraction("accuracy.dense")
    texts = []
    error = None if dense is None else sample.error(dense)
    if error is not None:
        texts.append(
            f"One standard error of an accuracy is {points_to(error, error)}; accuracies whose bands overlap do not "
            "differ."
        )
    if _joules(run, "total") is not None:
        preset = run.table("energy").get("preset")
        texts.append(f"Energy is worked out from the prices '{preset}', not measured." if preset else "")
    if _folds(run):
        texts.append("Folded: the same score in digital, its weights multiplied out beforehand.")
    return [text for text in texts if text]
