"""A summary of the deployment scenarios made by hand: round numbers, so that every factor can be worked out."""

from __future__ import annotations

from typing import Any

import numpy as np

CONVERSION = {
    "name": "8 bit DAC",
    "low": 0.8,
    "high": 1.25,
    "decides": True,
    "value": 2e-12,
    "unit": "J",
    "range": [1e-12, 8e-12],
    "assumed_range": False,
}
MEMORY = {
    "name": "SRAM, 1 MB, 7 nm",
    "low": 0.5,
    "high": 0.9,
    "decides": False,
    "value": 2e-12,
    "unit": "J/B",
    "range": [1e-12, 4e-12],
    "assumed_range": True,
}


def ledger(total_j: float, scoring_j: float, pixels_j: float = 0.0) -> dict[str, float]:
    """Lines that add up: scoring, pixels, and the rest half in attention, half in the weights."""
    rest = total_j - scoring_j - pixels_j
    return {"sensor_adc": pixels_j, "dac": scoring_j, "attention": rest / 2, "weights": rest / 2}


def comparison(analog: str, rival: str, total: dict, scoring: dict, **changes: Any) -> dict[str, Any]:
    """Factors from the energies; the conversion's price decides unless told otherwise."""
    factor = scoring[rival] / scoring[analog] if scoring[rival] > 0 else None
    first = changes.pop("first", CONVERSION)
    return {
        "analog": analog,
        "rival": rival,
        "total_factor": total[rival] / total[analog],
        "scoring_factor": factor,
        "ratio": 1 / factor if factor else total[analog] / total[rival],
        "constants": [first, MEMORY] if first is CONVERSION else [first],
        "circuits_factor": 2 * factor if factor else None,
        "certainty": {
            "draws": 4000,
            "wins": 0.75,
            "interval": [0.73, 0.77],
            "share_saved": [-0.01, 0.02, 0.05],
            "circuits_factor": [factor, 2 * factor, 3 * factor] if factor else None,
        },
        "deciding": {"name": first["name"], "break_even": 4e-12 if first is CONVERSION else None},
        **changes,
    }


def scenario(name: str, scoring: dict[str, float], total: dict[str, float], **changes: Any) -> dict[str, Any]:
    """One scenario; ``scoring`` and ``total`` by contender, dense among them."""
    scoring = {"dense": 0.0, **scoring}
    pairs = [
        ("paper", "dense"),
        ("paper", "digital"),
        ("paper", "folded"),
        ("codesigned", "dense"),
        ("codesigned", "codesigned_digital"),
    ]
    first = changes.pop("first", CONVERSION)
    return {
        "name": name,
        "words": f"What {name} is.",
        "network": "deit_s",
        "preset": "horowitz_45nm",
        "kept": [0.6, 0.3],
        "rate_hz": 30.0,
        "total_j": total,
        "scoring_j": scoring,
        "ledger_j": {who: ledger(total[who], scoring[who]) for who in total},
        "against": [comparison(*pair, total, scoring, first=first) for pair in pairs if set(pair) <= set(total)],
        "measured": None,
        **changes,
    }


def scenarios_summary() -> dict[str, Any]:
    """Three scenarios: analog loses, wins in scoring only, wins in the whole; and every table once."""
    scoring = {"digital": 2e-5, "folded": 1e-6, "paper": 2e-5, "codesigned_digital": 2e-7, "codesigned": 1e-7}
    rest = 1e-3
    lost = scenario(
        "lost",
        {**scoring, "folded": 1e-6, "codesigned": 3e-7},
        {"dense": 2e-3, **{who: rest + joules for who, joules in {**scoring, "codesigned": 3e-7}.items()}},
    )
    tied = scenario("tied", scoring, {"dense": 2e-3, **{who: rest + joules for who, joules in scoring.items()}})
    won_total = {"dense": 2e-3, "digital": 1.2e-3, "folded": 1.2e-3, "paper": 1e-3}
    won_total |= {"codesigned_digital": 1.2e-3, "codesigned": 0.8e-3}
    won = scenario("won", scoring, won_total, first=MEMORY, measured={"missing": "no run was made"})
    return {
        "schema": 1,
        "experiment": "scenarios",
        "sensitivity": {"assumed_factor": 2.0, "searched_factor": 1000.0},
        "scenarios": [lost, tied, won],
        "maps": [
            {
                "scenario": "tied",
                "x": {"name": "dac_energy", "label": "DAC energy", "unit": "J/bit", "log": True, "own": 4e-14},
                "y": {"name": "bits", "label": "DAC bits", "unit": "", "log": False, "own": 4.0},
                "against": ["dense", "digital", "folded", "codesigned_digital"],
            }
        ],
        "targets": [
            {
                "design": "paper",
                "inputs": 64,
                "bits": 6,
                "conversion_s": 1e-7,
                "settling_s": 2e-6,
                "token_s": 2.1e-6,
                "settled": False,
                "rate_hz": 5e5,
                "core_w": 6.4e-6,
                "targets": [
                    {"name": "phase 2, inputs", "value": 64.0, "low": 16, "high": 64, "unit": "", "met": True},
                    {"name": "phase 3, latency", "value": 2.1e-6, "low": None, "high": 1e-6, "unit": "s", "met": False},
                ],
            }
        ],
        "models": [
            {"gigabytes": 0.5, "dense_j": 0.4, "pruned_j": 0.3, "weights_j": 0.1, "dense_w": 0.8, "pruned_w": 0.6}
        ],
        "networks": [
            {
                "name": "deit_s",
                "macs": 4.6e9,
                "published": 4.61e9,
                "source": "a/long/path_to.csv",
                "left": {"falling": 0.54},
            }
        ],
        "outside": [
            {
                "quantity": "8 bit conversion",
                "ours": 2e-12,
                "how": "per bit",
                "theirs": 4e-12,
                "name": "a driver",
                "evidence": "measured",
                "node_nm": None,
                "source": "Somebody 2020",
                "unit": "J",
                "ratio": 0.5,
            }
        ],
        "paper": [
            {"section": "4.2", "quantity": "DACs", "printed": [3.84e-10], "computed": 3.84e-10, "unit": "J"}
            | {"discrepancy": "", "upper_bound": False, "verdict": "as printed"},
            {"section": "5.2", "quantity": "life", "printed": [1e300], "computed": 0.1, "unit": "s"}
            | {"discrepancy": "endurance is not unlimited", "upper_bound": False, "verdict": "discrepancy"},
        ],
        "timing": {"seconds": 40.0},
    }


def map_arrays() -> dict[str, np.ndarray]:
    """One map whose digital ratios cross 1 between the third and fourth converter price, whatever the bits."""
    x, y = np.array([1e-14, 4e-14, 1.6e-13, 6.4e-13]), np.array([2.0, 4.0, 6.0])
    across = np.tile([0.5, 0.7, 0.8, 1.25], (3, 1))
    return {
        "map0_x": x,
        "map0_y": y,
        "map0_dense": np.full((3, 4), 0.9),
        "map0_digital": across,
        "map0_folded": across,
        "map0_codesigned_digital": across,
    }
