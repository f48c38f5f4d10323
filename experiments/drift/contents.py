"""The page of a sequence that drifts."""

from __future__ import annotations

from atis_jax.report.contents import Contents, Entry
from atis_jax.report.run_files import Arrays
from experiments.drift.figures.changes import image_shift, temperature_ramp, threshold_motion
from experiments.drift.figures.loop import hysteresis, moving_prototype, step_response
from experiments.drift.strip import drift_strip

DRIFT = Contents(
    strip=drift_strip,
    strip_figures=("strip_drift",),
    sections=(
        Entry("Temperature ramp", ("drift_temperature",), temperature_ramp),
        Entry("Shift of the images", ("drift_shift",), image_shift),
        Entry("The threshold's own motion", ("drift_threshold",), threshold_motion),
        Entry("Step response of the adaptive threshold", ("drift_response",), step_response),
        Entry("Hysteresis", ("drift_hysteresis",), hysteresis),
        Entry("Prototype that follows the sequence", ("drift_prototype",), moving_prototype),
    ),
    arrays=Arrays(
        shapes={
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
        },
        fractions=(
            "drift_accuracy",
            "drift_unpruned",
            "drift_kept",
        ),
        gaps=("drift_query",),
    ),
)
