"""A run folder made up from a seed, with the shapes and magnitudes of a real one; nothing is a result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def write_fake_run(
    folder: Path,
    *,
    seed: int = 0,
    layers: int = 4,
    images: int = 4,
    grid: int = 8,
    steps: int = 3000,
    chips: int = 64,
) -> Path:
    """Write config.json, summary.json, metrics.jsonl and artifacts.npz; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    kept_fraction = np.linspace(0.85, 0.27, layers) if layers > 1 else np.array([0.4])
    arrays = fake_arrays(rng, kept_fraction, images, grid, chips)
    np.savez(folder / "artifacts.npz", **arrays)
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in fake_metrics(rng, kept_fraction, steps))
    write_json(folder / "summary.json", fake_summary(kept_fraction, chips))
    write_json(folder / "config.json", fake_config(layers, seed))
    return folder


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def edit_json(path: Path, **changes: Any) -> None:
    """Change top-level fields; a table is merged, None removes the field."""
    value = json.loads(path.read_text(encoding="utf-8"))
    for name, change in changes.items():
        if change is None:
            value.pop(name, None)
        elif isinstance(change, dict):
            value[name] = {k: v for k, v in {**value.get(name, {}), **change}.items() if v is not None}
        else:
            value[name] = change
    write_json(path, value)


def edit_arrays(path: Path, **changes: np.ndarray | None) -> None:
    """Replace arrays of an .npz; None removes one."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays.update({name: array for name, array in changes.items() if array is not None})
    for name, array in changes.items():
        if array is None:
            arrays.pop(name, None)
    np.savez(path, **arrays)


def fake_arrays(rng, kept_fraction, images, grid, chips) -> dict[str, np.ndarray]:
    layers, tokens = kept_fraction.size, grid * grid
    size = 4 * grid
    y, x = np.mgrid[:size, :size]
    pictures, scores = [], []
    for _ in range(images):
        cx, cy, radius = *rng.uniform(0.3 * size, 0.7 * size, 2), rng.uniform(0.12, 0.2) * size
        ring = np.exp(-(((np.hypot(x - cx, (y - cy) / 1.4) - radius) / (0.05 * size)) ** 2))
        clutter = 0.5 * (rng.random((size, size)) > 0.97)
        colour = rng.uniform(0.5, 1.0, 3)
        picture = np.clip(ring[..., None] * colour + clutter[..., None] + rng.normal(0.05, 0.03, (size, size, 1)), 0, 1)
        pictures.append(picture)
        scores.append(picture.mean(-1).reshape(grid, 4, grid, 4).mean((1, 3)).ravel())
    score = 0.03 * (np.array(scores)[:, None] - 0.15) + rng.normal(0, 0.002, (images, layers, tokens))
    kept = np.ones((images, layers, tokens), bool)
    for layer, fraction in enumerate(kept_fraction):
        before = kept[:, layer - 1] if layer else np.ones((images, tokens), bool)
        cut = np.quantile(score[:, layer], 1 - fraction, axis=-1, keepdims=True)
        kept[:, layer] = before & (score[:, layer] >= cut)
    labels = rng.integers(0, 10, images)
    predicted = labels.copy()
    predicted[-1] = (labels[-1] + (images > 1)) % 10
    edges = np.stack([np.linspace(-0.02, 0.02, 41) * (1 + 0.15 * i) for i in range(layers)])
    centre = (edges[:, 1:] + edges[:, :-1]) / 2
    scale = 1 + 0.15 * np.arange(layers)[:, None]
    bulk = 9000 * np.exp(-(((centre / scale + 0.004) / 0.004) ** 2)) + 4000 * np.exp(
        -(((centre / scale - 0.006) / 0.004) ** 2)
    )
    threshold = (0.002 * scale) * np.linspace(-1, 1, layers)[:, None] if layers > 1 else np.array([[0.001]])
    share = 1 / (1 + np.exp(-(centre - threshold) / 0.0008))
    ota_v = np.linspace(-0.15, 0.15, 121)
    gain, offset = np.exp(rng.normal(0, 0.07, (8, 1))), rng.normal(0, 4.2e-3, (8, 1))
    kappa = 0.69
    code = np.arange(64)
    elements = (1 + rng.normal(0, 0.02, (6, 6))) * 2 ** np.arange(6)
    bits = (code[:, None] >> np.arange(6)) & 1
    raw = elements @ bits.T
    temperature = rng.uniform(0, 50, chips)
    accuracy = 0.951 - 4e-5 * np.abs(temperature - 27) + rng.normal(0, 0.0018, chips)
    return {
        "images": np.array(pictures, np.float32),
        "labels": labels,
        "predicted": predicted,
        "kept": kept,
        "score_v": score.astype(np.float32),
        "kept_per_layer_mean": kept_fraction + rng.normal(0, 0.005, layers),
        "kept_per_layer_std": rng.uniform(0.008, 0.02, layers),
        "kept_target": kept_fraction,
        "ota_v": ota_v,
        "ota_current": 1e-7 * gain * np.tanh(kappa * (ota_v - offset) / 0.0517) + rng.normal(0, 2e-9, (8, 1)),
        "ota_current_nominal": 1e-7 * np.tanh(kappa * ota_v / 0.0517),
        "ota_temperature_k": np.array(300.15),
        "dac_code": code,
        "dac_v": 0.1 * (2 * raw / raw[:, -1:] * (1 + rng.normal(0, 0.01, (6, 1))) - 1),
        "dac_v_nominal": 0.1 * (2 * code / 63 - 1),
        "chip_accuracy": accuracy,
        "chip_temperature_c": temperature,
        "score_hist_v": edges,
        "score_hist_keep": np.round(bulk * share),
        "score_hist_prune": np.round(bulk * (1 - share)),
        "threshold_v": threshold,
        "agreement_layer_spearman": np.linspace(0.31, 0.62, layers) + rng.normal(0, 0.02, layers),
        "agreement_recall": kept_fraction + (1 - kept_fraction) * 0.55,
    }


def fake_metrics(rng, kept_fraction, steps):
    """A line a step through the stages of a run; the controls come one after another, each from the dense network."""
    marks = {
        ("dense", "dense"): 0.4,
        ("codesign", "soft"): 0.6,
        ("codesign", "hard"): 0.7,
        ("dense_longer", "dense"): 0.85,
        ("random", "random"): 1.0,
    }
    for step in range(steps):
        t = step / steps
        stage, phase = next(names for names, end in marks.items() if t < end)
        progress = min(1.0, max(0.0, (t - 0.4) / 0.2))
        cross_entropy = 0.12 + 2.2 * np.exp(-min(t, 0.4) * 12) + 0.08 * (phase == "soft") + rng.gamma(4, 0.01)
        if stage == "random":
            cross_entropy += 0.6
        line = {
            "step": step + 1,
            "stage": stage,
            "phase": phase,
            "loss_ce": cross_entropy,
            "accuracy": float(np.clip(1 - 0.38 * cross_entropy + rng.normal(0, 0.015), 0, 1)),
            "learning_rate": 1e-3,
            "seconds": 0.05 * step,
        }
        if phase != "dense":
            kept = 1 - (1 - kept_fraction) * progress + rng.normal(0, 0.01, kept_fraction.size)
            line |= {
                "kept_fraction": float(kept.mean()),
                "kept_per_layer": kept.tolist(),
                "energy_ratio": float(0.05 + 0.95 * kept.mean()),
                "loss_distill": 0.3 * cross_entropy,
                "loss_keep": 0.05 * float(rng.random()),
                "loss_energy": 0.1 * float(kept.mean()),
            }
        line["loss"] = sum(v for k, v in line.items() if k.startswith("loss_"))
        yield line


def fake_summary(kept_fraction, chips) -> dict[str, Any]:
    layers = kept_fraction.size
    # The paper's own constants for the scorer: 64 inputs of 6 bits, 1 pJ a bit, 6.4 uW for 1 us, 64 tokens.
    looked = 64 * np.concatenate([[1.0], kept_fraction[:-1]]).sum()
    ledger = {
        "normalisation_j": 64e-12 * looked,
        "score_j": 0.0,
        "switching_j": 0.0,
        "projection_j": 64 * 64 * 1e-12 * looked,
        "dac_j": 384e-12 * looked,
        "ota_j": 6.4e-12 * looked,
        "tia_j": 5e-12 * looked,
        "comparator_j": 0.0417e-12 * looked,
        "attention_j": 1.4e-6 * layers * float(kept_fraction.mean()),
        "mlp_j": 2.1e-6 * layers * float(kept_fraction.mean()),
        "embedding_j": 0.35e-6,
    }
    total = sum(ledger.values())
    scorer = total - sum(ledger[line] for line in ("attention_j", "mlp_j", "embedding_j"))
    return {
        "schema": 1,
        "experiment": "synthetic_example",
        "seed": 0,
        "dataset": {"name": "made_up", "split": "test", "examples": 2000},
        "accuracy": {
            "dense": 0.9525,
            "ideal": 0.952,
            "hardware_mean": 0.9505,
            "hardware_std": 0.0019,
            "hardware_worst": 0.946,
            "digital": 0.9515,
            "random": 0.781,
            "chips": chips,
            "temperature_c": [0.0, 50.0],
        },
        "tokens": {
            "kept_per_layer": kept_fraction.tolist(),
            "pruned_fraction": float(1 - kept_fraction.mean()),
            "pruned_fraction_final_layer": float(1 - kept_fraction[-1]),
        },
        "agreement": {"masked_vs_gathered_max_abs_logit": 3.1e-6, "decisions_equal_fraction": 0.99997},
        "energy": {
            "dense_j": 3.5e-6 * layers + 0.35e-6,
            "total_j": total,
            "scoring_j": scorer,
            "ledger_j": ledger,
            "digital_j": total - 380e-12 * looked,
            "digital_folded_j": total - 4300e-12 * looked,
            "digital_scoring_j": scorer - 380e-12 * looked,
            "digital_folded_scoring_j": scorer - 4300e-12 * looked,
            "preset": "paper_4_2",
        },
        "timing": {"train_step_s": 0.041, "seconds": 312.0},
    }


def fake_config(layers: int, seed: int) -> dict[str, Any]:
    return {
        "name": "synthetic_example",
        "seed": seed,
        "dataset": {"name": "made_up", "batch_size": 128, "class_names": [str(i) for i in range(10)]},
        "model": {"layers": layers, "width": 64, "heads": 4, "patch": 4},
        "hardware": {"preset": "nominal", "dac_bits": 6, "temperature_c": [0.0, 50.0]},
        "schedule": {"dense_steps": 1050, "soft_steps": 1050, "hard_steps": 450},
    }
