"""Deployment scenarios: who wins, by what factor, and which constant decides; break-even maps; outside figures."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from atis_jax.energy.certainty import Certainty, Drawn, certainty, drawn_ledgers
from atis_jax.energy.constants.converters import MODERATE_DAC_TIME
from atis_jax.energy.deployments import (
    ANALOG,
    DeploymentSpec,
    PointSpec,
    circuits_ratio,
    contender,
    deployment_ledgers,
    deployment_network,
    deployment_scorer,
    deployment_tokens,
    differing_lines,
    front_end,
    kept_fractions,
    priced_ledgers,
    prices,
    recipe_of,
    spending_ratio,
)
from atis_jax.energy.latency import phase_2_targets, phase_3_targets, timing
from atis_jax.energy.ledger import Ledger
from atis_jax.energy.networks import NETWORKS, counted_macs
from atis_jax.energy.outside import comparisons
from atis_jax.energy.paper import claims
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.sensitivity import ASSUMED_FACTOR, SEARCHED, break_even, swings
from atis_jax.energy.shapes import NetworkShape
from atis_jax.models.registry import make_model
from atis_jax.report import write_report
from atis_jax.rng import key_of
from atis_jax.statistics.intervals import wilson_interval
from atis_jax.strict_json import read_json
from atis_jax.validation import UserError
from experiments.energy.contents import SCENARIOS
from experiments.energy.maps import check_maps, map_arrays, map_summary, maps_of
from experiments.energy.paper import verdict
from experiments.energy.settings import ScenariosSettings
from experiments.files import write_arrays_atomically
from experiments.inputs import Input, check_inputs
from experiments.rundir import RunFolder

RIVALS = {
    "paper": ("dense", "digital", "folded", "coarse"),
    "codesigned": ("dense", "digital", "folded", "codesigned_digital", "coarse"),
}
"""What each analog contender is held against, where the scenario has it."""
SHOWN_CONSTANTS = 6
KEPT_ALIKE = 0.01
"""How far apart the kept fractions of a scenario and of the run that is quoted beside it may be."""
PHASE_3_ARRAYS = (256, 512, 1024)
MODEL_SIZES = ((1024, 20), (2048, 25), (4096, 32), (5120, 40))
"""(width, depth) of transformers of about 0.5, 2.5, 12.9 and 25 GB at two bytes a weight."""


def run(settings: ScenariosSettings, folder: RunFolder) -> dict[str, Any]:
    """Work everything out; returns what it wrote to ``summary.json``."""
    started = time.time()
    own = own_shape(settings)
    accuracies = {
        name: measured_accuracy(settings.sensor_run, settings.scenario(name), settings.in_sensor)
        for name in settings.which
        if settings.scenario(name).source == "pixels"
    }
    for name in settings.which:
        # A design that cannot be is refused here.
        deployment_ledgers(settings.scenario(name), settings.points(name), own)
    check_maps(settings, own)
    folder.begin()
    quoted = [one for one in accuracies.values() if one is not None and "missing" not in one]
    if settings.sensor_run is not None and quoted:
        check_inputs(folder, {"sensor_run": Input(settings.sensor_run, quoted)})
    maps = maps_of(settings, own)
    found = [scenario_summary(name, settings, own) | {"measured": accuracies.get(name)} for name in settings.which]
    summary = {
        "experiment": settings.experiment,
        "scenarios": found,
        "sensitivity": {"assumed_factor": ASSUMED_FACTOR, "searched_factor": SEARCHED},
        "maps": [map_summary(one, settings.map_scenario) for one in maps],
        "targets": targets_summary(settings),
        "models": model_sizes(settings.node, settings.codesigned),
        "networks": networks_summary(),
        "outside": [outside_row(one) for one in comparisons()],
        "paper": [dataclasses.asdict(one) | {"verdict": verdict(one)} for one in finite_claims()],
        "timing": {"seconds": time.time() - started},
    }
    write_arrays_atomically(folder.path / "artifacts.npz", map_arrays(maps))
    folder.write_summary(summary)
    write_report(folder.path, SCENARIOS)
    return summary


def own_shape(settings: ScenariosSettings) -> NetworkShape:
    """The shape of ``config.own`` on its data, whose values come from a camera."""
    return make_model(settings.own, settings.own_facts()).shape(camera=True)


def scenario_summary(name: str, settings: ScenariosSettings, own: NetworkShape) -> dict[str, Any]:
    """Every contender's ledger of a scenario, and each analog one held against its rivals."""
    spec, points = settings.scenario(name), settings.points(name)
    network = deployment_network(spec, own)
    ledgers = deployment_ledgers(spec, points, own)
    priced = priced_ledgers(spec, network, points)
    drawn = drawn_ledgers(spec, network, points, key_of(jax.random.key(settings.seed), "constants"), settings.draws)
    totals = {who: float(one.total_j) for who, one in ledgers.items()}
    scoring = {who: float(one.scoring_j) for who, one in ledgers.items()}
    return {
        "name": name,
        "words": spec.words,
        "network": spec.network,
        "preset": spec.preset,
        "kept": kept_fractions(spec, network.depth),
        "rate_hz": spec.rate_hz,
        "woken": spec.woken,
        "total_j": totals,
        "scoring_j": scoring,
        "ledger_j": {
            who: {line: float(value) for line, value in one.as_dict().items()} for who, one in ledgers.items()
        },
        "against": [
            comparison(who, rival, spec, points, ledgers, priced, drawn)
            for who in ANALOG
            for rival in RIVALS[who]
            if rival in ledgers
        ],
    }


def comparison(
    who: str,
    rival: str,
    spec: DeploymentSpec,
    points: dict[str, PointSpec],
    ledgers: dict[str, Ledger],
    priced: Callable[[EnergyPreset], dict[str, Ledger]],
    drawn: Drawn,
) -> dict[str, Any]:
    """One analog contender against one rival: factors, who wins, how surely, and the constants it hangs on.

    Against the dense network totals are compared. A digital scorer prunes the same tokens, so what differs is the
    scoring (and, before a camera's converters, what is converted): constants are then ranked by what they do to the
    ratio of what is not the same in both. ``scoring_factor`` has what both read of tokens, ``circuits_factor`` has not.
    """
    (ours, theirs), own = (ledgers[who], ledgers[rival]), circuits_ratio(ledgers[who], ledgers[rival])
    total_factor, scores = float(theirs.total_j) / float(ours.total_j), float(theirs.scoring_j) > 0
    differing = differing_lines(ours, theirs, rival)

    def ratio(preset: EnergyPreset) -> float:
        found = priced(preset)
        return spending_ratio(found[who], found[rival], rival, differing)

    recipe, name = recipe_of(spec, points[who]), str(spec.preset)
    constants = swings(recipe, name, ratio)
    first = constants[0]
    return {
        "analog": who,
        "rival": rival,
        "total_factor": total_factor,
        "scoring_factor": float(theirs.scoring_j) / float(ours.scoring_j) if scores else None,
        "circuits_factor": 1.0 / own if scores and own > 0 else None,
        "wins": total_factor > 1.0,
        "share_saved": 1.0 - 1.0 / total_factor,
        "certainty": certainty_summary(certainty(drawn, who, rival, differing)),
        "ratio": ratio(prices(spec, points[who])),
        "constants": [
            {
                "name": swing.constant.name,
                "low": swing.low,
                "high": swing.high,
                "decides": swing.decides,
                "value": swing.constant.value,
                "unit": swing.constant.unit,
                "range": list(swing.over),
                "assumed_range": swing.assumed,
            }
            for swing in constants[:SHOWN_CONSTANTS]
        ],
        "deciding": {
            "name": first.constant.name,
            "value": first.constant.value,
            "unit": first.constant.unit,
            "range": list(first.over),
            "assumed_range": first.assumed,
            "within_range": first.decides,
            "break_even": break_even(recipe, name, first.constant, ratio),
        },
    }


def certainty_summary(found: Certainty) -> dict[str, Any]:
    """In how many draws of all constants the analog contender's pass takes less, and by how much."""
    return {
        "draws": found.draws,
        "wins": found.wins / found.draws,
        "interval": list(wilson_interval(found.wins, found.draws)),
        "share_saved": list(found.saved),
        "circuits_factor": None if found.circuits is None else list(found.circuits),
    }


def measured_accuracy(run_folder: str | None, spec: DeploymentSpec, point: PointSpec) -> dict[str, Any] | None:
    """What a finished run of raw-pixel scoring measured, or why there is none.

    Raises:
        UserError: no co-design run, or one of another design than the point that the scenario charges.
    """
    if run_folder is None:
        return None
    path = Path(run_folder) / "summary.json"
    if not path.exists():
        return {"missing": f"{run_folder} has no summary.json; run its config first"}
    try:
        stored, config = read_json(path, nan=True), read_json(path.parent / "config.json")
        kept = float(stored["tokens"]["kept_per_layer"][0])
        theirs = {
            "inputs": config["scorer"]["inputs"],
            "differential": config["scorer"]["differential"],
            "core": config["energy"]["core"],
            "token_time_s": config["energy"]["token_time_s"],
        }
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"config.sensor_run = {run_folder!r} is no finished co-design run ({error!r}); give the folder of one, or "
            "None"
        ) from error
    for name, value in theirs.items():
        if (mine := getattr(point, name)) != value:
            raise UserError(
                f"config.in_sensor.{name} = {mine!r}, but {run_folder}, whose accuracy is quoted beside it, has "
                f"{value!r}; give both the same, or sensor_run = None"
            )
    if abs(kept - spec.kept) > KEPT_ALIKE:
        raise UserError(
            f"config.sensor.kept = {spec.kept}, but {run_folder}, whose accuracy is quoted beside it, keeps "
            f"{kept:.3f}; give both the same, or sensor_run = None"
        )
    return {"run": run_folder, "accuracy": stored["accuracy"], "tokens": stored["tokens"]}


def targets_summary(settings: ScenariosSettings) -> list[dict[str, Any]]:
    """Latency, power and the roadmap's targets for both design points and for arrays of the third phase."""
    spec = settings.scenario("camera")
    designs = {"paper": settings.paper, "codesigned": settings.codesigned}
    for inputs in PHASE_3_ARRAYS:
        name = f"{inputs} inputs, otherwise the paper's"
        # Of its projection neither latency nor power speaks, and 1,024 dimensions of 768 cannot be selected.
        designs[name] = dataclasses.replace(settings.paper, inputs=inputs, projection="learned")
    found = []
    for name, point in designs.items():
        network = deployment_network(dataclasses.replace(spec, network="vit_b"))
        scorer = deployment_scorer(spec, point, network)
        front = front_end(spec, point, scorer, network.depth)
        taken = timing(front, scorer)
        checks = (
            *((f"phase 2, {one.name}", one) for one in phase_2_targets(scorer)),
            *((f"phase 3, {one.name}", one) for one in phase_3_targets(front, scorer, MODERATE_DAC_TIME.value)),
        )
        found.append(
            {
                "design": name,
                "inputs": point.inputs,
                "bits": point.bits,
                "bias_a": point.bias_a,
                "conversion_s": float(taken.conversion_s[0]),
                "settling_s": float(taken.settling_s[0]),
                "token_s": float(taken.token_s[0]),
                "settled": bool(point.core == "settling" or taken.settling_s[0] <= point.token_time_s),
                "rate_hz": float(taken.rate_hz[0]),
                "core_w": float(taken.core_w[0]),
                "targets": [
                    {
                        "name": label,
                        "value": one.value,
                        "low": one.low,
                        "high": one.high,
                        "unit": one.unit,
                        "met": one.met,
                    }
                    for label, one in checks
                ],
            }
        )
    return found


def model_sizes(spec: DeploymentSpec, point: PointSpec) -> list[dict[str, Any]]:
    """The node's forward pass for models of 0.5 to 25 GB: what pruning saves when the weights have to be read."""
    found = []
    for width, depth in MODEL_SIZES:
        shape = dataclasses.replace(
            deployment_network(spec), width=width, depth=depth, mlp_width=4 * width, stem_macs=width**2
        )
        points = {"paper": point, "codesigned": point}
        dense, pruned = (contender(name, spec, shape, points) for name in ("dense", "codesigned"))
        found.append(
            {
                "gigabytes": prices(spec, point).network_bytes * shape.weights / 1e9,
                "dense_j": float(dense.total_j),
                "pruned_j": float(pruned.total_j),
                "weights_j": float(dense.weights_j),
                "dense_w": float(dense.total_j) * spec.rate_hz,
                "pruned_w": float(pruned.total_j) * spec.rate_hz,
            }
        )
    return found


def networks_summary() -> list[dict[str, Any]]:
    """Published operation counts beside ours, and what 70 % pruning leaves of them in two schedules."""
    found = []
    for name, one in NETWORKS.items():
        counted = counted_macs(one.shape)
        left = {}
        for falling in (True, False):
            spec = DeploymentSpec(network="deit_s", kept=0.3, falling=falling)
            left["falling" if falling else "uniform"] = counted_macs(
                one.shape, deployment_tokens(spec, one.shape, pruned=True)
            )
        found.append(
            {
                "name": name,
                "macs": counted,
                "published": one.macs,
                "source": one.source,
                "left": {schedule: macs / counted for schedule, macs in left.items()},
            }
        )
    return found


def outside_row(one) -> dict[str, Any]:
    """A comparison with an outside figure."""
    return {
        "quantity": one.quantity,
        "ours": one.ours,
        "how": one.how,
        "theirs": one.theirs.value,
        "name": one.theirs.name,
        "evidence": one.theirs.evidence,
        "node_nm": one.theirs.node_nm,
        "source": one.theirs.source,
        "unit": one.unit,
        "ratio": one.ratio,
    }


def finite_claims():
    """The paper's claims, an unlimited one as a very large number: JSON has no infinity."""
    return [dataclasses.replace(one, printed=tuple(min(value, 1e300) for value in one.printed)) for one in claims()]
