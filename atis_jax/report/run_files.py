"""Reading a run folder: every file is checked here once, so the figures can trust what they are given.

A file or value that is not there raises ``Absent`` where it is asked for; the page lists the reason. A file
that is there but wrong (broken JSON, contradicting shapes, an accuracy of 95) raises ``ReportError``.
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.metrics import Metrics, parse_metrics
from atis_jax.strict_json import JsonError, read_json

# Letters are sizes; the same letter means the same size in every array of the file, and a number is that size. {n}
# stands for every number that the file has.
ARRAY_SHAPES = {
    "images": "K H W C",
    "labels": "K",
    "predicted": "K",
    "kept": "K L T",
    "score_v": "K L T",
    "kept_per_layer_mean": "L",
    "kept_per_layer_std": "L",
    "kept_target": "L",
    "ota_v": "M",
    "ota_current": "J M",
    "ota_current_nominal": "M",
    "ota_temperature_k": "",
    "dac_code": "D",
    "dac_v": "I D",
    "dac_v_nominal": "D",
    "chip_accuracy": "N",
    "chip_temperature_c": "N",
    "score_hist_v": "L B+1",
    "score_hist_keep": "L B",
    "score_hist_prune": "L B",
    "threshold_v": "L G",
    "agreement_layer_spearman": "L",
    "agreement_recall": "L",
    "yield_change": "yield_a yield_c yield_t",
    "yield_kept": "yield_a yield_c yield_t yield_l",
    "yield_temperature_c": "yield_t",
    "yield_ideal": "yield_a",
    "yield_chip_change": "yield_c",
    "yield_chip_kept": "yield_c yield_l",
    "yield_chip_shift_v": "yield_c yield_l",
    "noise_scale": "noise_s",
    "noise_change": "noise_i noise_s noise_c",
    "noise_kept": "noise_i noise_s noise_c",
    "noise_ideal": "",
    "thermal_c": "thermal_t",
    "thermal_change": "thermal_a thermal_c thermal_t",
    "thermal_kept": "thermal_a thermal_c thermal_t",
    "thermal_ideal": "thermal_a",
    "gm_c": "gm_t",
    "gm_current_a": "gm_i",
    "gm_ratio": "gm_b gm_i gm_t",
    "precision_dac_bits": "precision_d",
    "precision_programming_bits": "precision_p",
    "precision_inputs": "precision_a",
    "precision_pruned": "precision_a",
    "precision_change": "precision_a precision_d precision_p precision_c",
    "precision_kept": "precision_a precision_d precision_p precision_c",
    "precision_kept_more": "precision_a precision_d precision_p",
    "precision_bits": "precision_a precision_d precision_p precision_c",
    "precision_bits_raw": "precision_a precision_d precision_p precision_c",
    "precision_bits_alone": "precision_a precision_d precision_p",
    "precision_change_alone": "precision_a precision_d precision_p",
    "precision_bits_linear": "precision_a precision_d precision_p precision_c",
    "precision_holds": "precision_a precision_d precision_p",
    "precision_fails": "precision_a precision_d precision_p",
    "drift_edges": "drift_w+1",
    "drift_kept_target": "drift_l",
    "drift_temperature_c": "drift_a drift_w",
    "drift_accuracy": "drift_a drift_w",
    "drift_unpruned": "drift_a drift_w",
    "drift_kept": "drift_a drift_w drift_l",
    "drift_shift_v": "drift_a drift_w drift_l",
    "drift_loop_rate_v": "drift_r",
    "drift_loop_tokens": "drift_p",
    "drift_loop_measured": "drift_r drift_p",
    "drift_loop_expected": "drift_r drift_p",
    "drift_band_fraction": "drift_h",
    "drift_band_toggles_per_token": "drift_h",
    "drift_band_kept": "drift_h",
    "drift_band_changed_decisions": "drift_h",
    "drift_query": "drift_s drift_l drift_n",
    "drift_query_filter": "drift_n",
    "retarget_accuracy": "retarget_a retarget_c",
    "retarget_equal": "retarget_a retarget_c",
    "map{n}_x": "map{n}_columns",
    "map{n}_y": "map{n}_rows",
    "map{n}_dense": "map{n}_rows map{n}_columns",
    "map{n}_digital": "map{n}_rows map{n}_columns",
    "map{n}_folded": "map{n}_rows map{n}_columns",
    "map{n}_codesigned_digital": "map{n}_rows map{n}_columns",
    "spice_v": "spice_m",
    "spice_bias_a": "spice_b",
    "spice_curve": "spice_b spice_m",
    "spice_model": "spice_b spice_m",
    "spice_c": "spice_t",
    "spice_gm": "spice_b spice_t",
    "spice_gm_model": "spice_b spice_t",
    "spice_sum_inputs": "spice_i",
    "spice_sum": "spice_i spice_r",
    "spice_sum_model": "spice_i spice_r",
    "spice_devices": "spice_b spice_d 2",
    "spice_chips": "spice_b spice_o 2",
    "spice_noise_hz": "spice_f",
    "spice_noise": "spice_b spice_f",
    "fit_v": "fit_m",
    "fit_bias_a": "fit_k",
    "fit_c": "fit_k",
    "fit_curve": "fit_k fit_m",
    "fit_model": "fit_k fit_m",
    "fit_residual": "fit_n 2",
    "export_bundle_chips": "export_bundle_n",
    "export_spice_chips": "export_spice_n",
    "export_rasp_chips": "export_rasp_n",
    "export_an231e04_chips": "export_an231e04_n",
    "loop{n}_spice_v": "loop{n}_t loop{n}_g",
    "loop{n}_model_v": "loop{n}_t loop{n}_g",
    "loop{n}_keep": "loop{n}_t loop{n}_g",
    "loop{n}_zone_v": "loop{n}_g",
    "loop{n}_threshold_v": "loop{n}_g",
}
_FRACTIONS = (
    "kept_per_layer_mean",
    "kept_target",
    "chip_accuracy",
    "agreement_recall",
    "images",
    "drift_accuracy",
    "drift_unpruned",
    "drift_kept",
    "export_bundle_chips",
    "export_spice_chips",
    "export_rasp_chips",
    "export_an231e04_chips",
)
_MAY_BE_NAN = ("agreement_layer_spearman", "agreement_recall", "score_v", "kept_target", "drift_query")


@dataclass(frozen=True)
class RunFiles:
    """What was found in a run folder. ``missing`` maps a file's name to why it could not be used."""

    path: Path
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=Metrics)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def experiment(self) -> str:
        """Which experiment the run was of, empty when neither file says."""
        return str(self.summary.get("experiment") or self.config.get("experiment") or "")

    def array(self, name: str) -> np.ndarray:
        """An array of artifacts.npz; ``Absent`` when this run has none of that name."""
        if name in self.arrays:
            return self.arrays[name]
        raise Absent(self.missing.get("artifacts.npz", f"artifacts.npz has no array '{name}'"))

    def optional(self, name: str) -> np.ndarray | None:
        """An array of artifacts.npz, or None."""
        return self.arrays.get(name)

    def number(self, field_name: str) -> float | None:
        """A number of summary.json by its dotted name, None when it was not measured.

        Raises:
            ReportError: the value is there and is not a number.
        """
        value: Any = self.summary
        for part in field_name.split("."):
            if not isinstance(value, dict):
                raise ReportError(f"summary.json: '{field_name}' needs a table, found {value!r}")
            value = value.get(part)
            if value is None:
                return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ReportError(f"summary.json: '{field_name}' must be a number, found {value!r}")
        return float(value)

    def fraction(self, field_name: str) -> float | None:
        """Like ``number``, and between 0 and 1 (or not a number, which the page then says)."""
        value = self.number(field_name)
        if value is not None and not math.isnan(value) and not -1e-9 <= value <= 1 + 1e-9:
            raise ReportError(f"summary.json: '{field_name}' is {value}, outside [0, 1]; write a fraction")
        return value

    def table(self, name: str) -> dict[str, Any]:
        """A sub-table of summary.json, empty when absent."""
        value = self.summary.get(name) or {}
        if not isinstance(value, dict):
            raise ReportError(f"summary.json: '{name}' must be a table, found {value!r}")
        return value

    def class_names(self) -> list[str] | None:
        """Names of the classes, from summary.json or config.json (top level, ``dataset`` or ``data``)."""
        for document in (self.summary, self.config):
            for place in (document, document.get("dataset"), document.get("data")):
                names = place.get("class_names") if isinstance(place, dict) else None
                if isinstance(names, list | tuple) and names:
                    return [str(name) for name in names]
        return None


def kind_of(run: RunFiles) -> str:
    """The scorer that a training run is about, analog where its configuration does not say."""
    scorer = run.config.get("scorer")
    kind = scorer.get("kind") if isinstance(scorer, dict) else None
    return str(kind or "analog")


def read_run(run_dir: str | Path) -> RunFiles:
    """Read config.json, summary.json, metrics.jsonl and artifacts.npz, each of which may be absent.

    Raises:
        ReportError: the folder does not exist, holds none of them, or one of them is damaged.
    """
    path = Path(run_dir)
    if not path.is_dir():
        raise ReportError(f"{path} is not a folder; give the folder of a run, such as runs/quickstart")
    names = ("config.json", "summary.json", "metrics.jsonl", "artifacts.npz")
    missing = {name: f"{name} is not in the run folder" for name in names if not (path / name).is_file()}
    if len(missing) == len(names):
        raise ReportError(f"{path} has none of {', '.join(names)}; is it the folder of a run?")
    return RunFiles(
        path=path,
        config={} if "config.json" in missing else _read_json(path / "config.json"),
        summary={} if "summary.json" in missing else _read_json(path / "summary.json"),
        arrays={} if "artifacts.npz" in missing else _read_arrays(path / "artifacts.npz"),
        metrics=Metrics() if "metrics.jsonl" in missing else parse_metrics(path / "metrics.jsonl"),
        missing=missing,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path, nan=True)
    except JsonError as error:
        raise ReportError(f"{error}; write it again from its run") from error
    if not isinstance(value, dict):
        raise ReportError(f"{path} must hold one JSON object, found a {type(value).__name__}")
    return value


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        raise ReportError(
            f"{path} is damaged or not an .npz of plain arrays ({error}); delete it and evaluate again"
        ) from error
    _check_arrays(arrays, path)
    return arrays


def _shapes_of(arrays: dict[str, np.ndarray]) -> Iterator[tuple[str, str]]:
    """Name and axes of each array there is, in the order of ``ARRAY_SHAPES``."""
    for name, letters in ARRAY_SHAPES.items():
        before, numbered, after = name.partition("{n}")
        pattern = re.compile(re.escape(before) + (r"(\d+)" if numbered else "()") + re.escape(after))
        for found in filter(None, map(pattern.fullmatch, arrays)):
            yield found[0], letters.replace("{n}", found[1])


def _check_arrays(arrays: dict[str, np.ndarray], path: Path) -> None:
    sizes: dict[str, tuple[int, str]] = {}
    for name, letters in _shapes_of(arrays):
        array, axes = arrays[name], letters.split()
        if array.ndim != len(axes):
            raise ReportError(f"{path}: '{name}' has shape {array.shape}, expected axes ({', '.join(axes)})")
        if array.dtype.kind not in "biuf":
            raise ReportError(f"{path}: '{name}' holds {array.dtype}, expected numbers")
        for axis, size in zip(axes, array.shape, strict=True):
            letter, extra = (axis[:-2], 1) if axis.endswith("+1") else (axis, 0)
            if letter.isdigit() and size != int(letter):
                raise ReportError(f"{path}: '{name}' has shape {array.shape}, expected axes ({', '.join(axes)})")
            if size - extra < 1:
                raise ReportError(f"{path}: '{name}' is empty along {axis} (shape {array.shape})")
            known, owner = sizes.setdefault(letter, (size - extra, name))
            if known != size - extra:
                raise ReportError(f"{path}: '{name}' has {size} along {axis}, but '{owner}' says {letter} = {known}")
        finite = array[np.isfinite(array)]
        if name not in _MAY_BE_NAN and finite.size != array.size:
            raise ReportError(f"{path}: '{name}' holds {array.size - finite.size} values that are not finite")
        if name in _FRACTIONS and finite.size and not (finite.min() >= -1e-6 and finite.max() <= 1 + 1e-6):
            raise ReportError(f"{path}: '{name}' must lie in [0, 1], found {finite.min():.4g} to {finite.max():.4g}")
