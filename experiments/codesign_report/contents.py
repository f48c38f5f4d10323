"""The page of a run that trained a network, with its scorer or alone."""

from __future__ import annotations

import dataclasses

from atis_jax.report.contents import Contents, Entry
from atis_jax.report.run_files import Arrays, RunFiles, kind_of
from atis_jax.report.wording import IMAGES
from experiments.codesign_report.agreement import agreement
from experiments.codesign_report.chips import chip_accuracy
from experiments.codesign_report.energy import energy
from experiments.codesign_report.language import next_token, says_words
from experiments.codesign_report.patches import kept_patches
from experiments.codesign_report.pruning import kept_per_layer, score_distributions
from experiments.codesign_report.sentences import kept_words
from experiments.codesign_report.strip import codesign_strip, dense_strip
from experiments.codesign_report.tokens import kept_tokens
from experiments.codesign_report.training import training_curves
from experiments.codesign_report.transfer import dac_transfer, ota_transfer


def _of_images(run: RunFiles) -> bool:
    return run.words is IMAGES


def _of_words(run: RunFiles) -> bool:
    return run.optional("words") is not None


def _of_otas(run: RunFiles) -> bool:
    return run.optional("ota_v") is not None or kind_of(run) == "analog"


CODESIGN = Contents(
    strip=codesign_strip,
    strip_figures=("strip_accuracy", "strip_energy", "strip_input"),
    sections=(
        Entry("Training", ("training",), training_curves),
        Entry("Loss of the next token", ("language",), next_token, meant=says_words),
        Entry("Kept patches, layer by layer", ("kept_patches",), kept_patches, meant=_of_images),
        Entry("Kept words, layer by layer", ("kept_words",), kept_words, meant=_of_words),
        Entry(
            "Kept tokens, layer by layer",
            ("kept_tokens",),
            kept_tokens,
            meant=lambda run: not _of_images(run) and not _of_words(run),
        ),
        Entry("Kept fraction per layer", ("kept_per_layer",), kept_per_layer),
        Entry("Scores against their threshold", ("scores",), score_distributions),
        Entry("Accuracy from chip to chip", ("chip_accuracy",), chip_accuracy),
        Entry("Energy", ("energy",), energy),
        Entry("OTA transfer curves", ("ota_transfer",), ota_transfer, meant=_of_otas),
        Entry("DAC transfer curve and linearity", ("dac_transfer",), dac_transfer, meant=_of_otas),
        Entry("Agreement with attention", ("agreement",), agreement),
    ),
    arrays=Arrays(
        shapes={
            "images": "K H W C",
            "grid": "2",
            "real": "K T",
            "protected": "K T",
            "words": "K T",
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
        },
        fractions=(
            "kept_per_layer_mean",
            "kept_target",
            "chip_accuracy",
            "agreement_recall",
            "images",
        ),
        gaps=(
            "agreement_layer_spearman",
            "agreement_recall",
            "score_v",
            "kept_target",
        ),
        texts=("words",),
    ),
    trained=True,
)
DENSE = dataclasses.replace(CODESIGN, strip=dense_strip)
