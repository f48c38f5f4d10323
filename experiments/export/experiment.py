"""Export: a finished run's design as a bundle and for its targets, every one read back, run and compared."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import jax
import numpy as np

from atis_jax.export.bundle import Bundle, leaves_of
from atis_jax.export.imported import imported_design
from atis_jax.export.quantities import Achieved, achieved
from atis_jax.export.spice import SCORER, read_scorer, spice_files
from atis_jax.export.store import read_bundle, write_bundle, write_folder
from atis_jax.export.structure import as_built, built_otherwise, check_an_array_each, check_exportable, side_by_side
from atis_jax.gates import Gate
from atis_jax.report import write_report
from atis_jax.scoring.atis.analog import Analog
from atis_jax.spice.models import find_process
from atis_jax.spice.simulator import SpiceError, find_ngspice, ngspice_version
from atis_jax.strict_json import read_json
from atis_jax.validation import UserError, choose
from experiments import measure
from experiments.export.an231 import an231_target
from experiments.export.bundle import measured_bundle
from experiments.export.contents import EXPORT
from experiments.export.in_time import InTime, billed_times_s, first_tokens, in_time_gates, play_in_time
from experiments.export.rasp import rasp_target
from experiments.export.read_back import ReferenceTokens, read_back, reference_tokens
from experiments.export.settings import TARGETS, ExportSettings
from experiments.export.spice import close_loop, design_twin, loop_gates, real_tokens, spice_twin
from experiments.export.target import Target, training_inputs
from experiments.files import write_arrays_atomically
from experiments.inputs import check_inputs
from experiments.rundir import RunFolder
from experiments.spice.characterise import characterise
from experiments.spice.gates import gates_summary
from experiments.trained_run import TrainedRun, load_trained

BUNDLE = "bundle"


def run(settings: ExportSettings, folder: RunFolder) -> dict[str, Any]:
    """Run the experiment; writes a folder for each target, summary.json, artifacts.npz and the report.

    Raises:
        UserError: the checkpoint is no finished co-design run with an analog scorer, or ngspice is wanted and missing.
    """
    started = time.time()
    targets, gates, arrays = _earlier(folder)
    wanted = TARGETS if settings.target == "all" else (settings.target,)
    if BUNDLE not in {*targets, *wanted}:
        wanted = (BUNDLE, *wanted)
    if "spice" in wanted:
        find_process(settings.process.name, settings.process.corner)
    if "spice" in wanted and settings.simulate:
        try:
            find_ngspice()
        except SpiceError as error:
            raise UserError(f"{error}; or write the netlists alone: config.simulate = False") from error
    trained = load_trained(settings.checkpoint)
    if not isinstance(trained.trained.evaluator.method, Analog):
        raise UserError(
            f"config.checkpoint = {settings.checkpoint!r} has a {trained.trained.evaluator.spec.kind} scorer: there is "
            "no array of OTAs to export; give a run with scorer.kind = 'analog'"
        )
    if set(wanted) != {BUNDLE}:
        check_exportable(trained.trained.evaluator.spec)
    if set(wanted) - {BUNDLE, "spice"}:
        check_an_array_each(trained.trained.evaluator.spec)
    folder.begin()
    check_inputs(folder, {"checkpoint": trained.as_input()})
    bundle = measured_bundle(trained.settings, trained.trained, trained.folder, trained.test, _accuracy_of(trained))
    tokens = reference_tokens(trained, bundle, settings.tokens, settings.token_images, settings.seed)
    for name in wanted:
        print(f"{name} ...", flush=True)
        told, new_gates, new_arrays = choose(_MAKERS, name, "config.target")(settings, folder, trained, bundle, tokens)
        targets[name] = told
        if name == "spice":
            arrays = {field: array for field, array in arrays.items() if not field.startswith("loop")}
        gates = [*(gate for gate in gates if not gate["name"].startswith(f"{name}:")), *gates_summary(new_gates)]
        arrays |= new_arrays
        for gate in new_gates:
            print(f"  {gate.what}: {gate.value:.4g} {gate.unit} {'holds' if gate.passed else 'FAILS'}", flush=True)
    if arrays:
        write_arrays_atomically(folder.path / "artifacts.npz", arrays)
    summary = {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "dataset": measure.dataset_summary(trained.settings, trained.test),
        "export": {"checkpoint": settings.checkpoint, "accuracy": dict(bundle.accuracy), "targets": targets},
        "gates": gates,
        "timing": {"seconds": time.time() - started},
    }
    folder.write_summary(summary)
    write_report(folder.path, EXPORT)
    return summary


def _accuracy_of(run: TrainedRun) -> dict[str, Any]:
    """What the run's own summary says of its accuracy; the perfect chip's is measured anew."""
    stored = run.folder / "summary.json"
    found = read_json(stored, nan=True).get("accuracy", {}) if stored.exists() else {}
    return {name: value for name, value in found.items() if name != "ideal"}


def _earlier(folder: RunFolder) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, np.ndarray]]:
    """What earlier targets of this folder left: their part of the summary, their gates, their arrays."""
    stored, kept = folder.path / "summary.json", folder.path / "artifacts.npz"
    if not stored.exists():
        return {}, [], {}
    summary = read_json(stored, nan=True)
    arrays = {}
    if kept.exists():
        with np.load(kept) as found:
            arrays = {name: found[name] for name in found.files}
    return summary["export"]["targets"], summary["gates"], arrays


def _bundle(settings: ExportSettings, folder: RunFolder, run: TrainedRun, bundle: Bundle, tokens: ReferenceTokens):
    back = read_bundle(write_bundle(bundle, folder.path / BUNDLE))
    mine, theirs = leaves_of(bundle.design), leaves_of(back.design)
    bits = all(leaf.tobytes() == theirs[name].tobytes() for name, leaf in mine.items())
    same = bits and back.hardware == bundle.hardware and back.spec == bundle.spec
    design = jax.tree.map(jax.numpy.asarray, back.design)
    found = read_back(run, back, design, back.hardware, back.spec, tokens, settings.chips, settings.seed)
    after = float(bundle.accuracy["after_quantisation"])
    gates = [
        Gate("bundle:bits", "bundle read back: design, hardware and structure equal to the bit", float(same), low=1.0),
        Gate(
            "bundle:decisions",
            f"bundle read back: equal decisions on {tokens.keep[0].size} tokens of each layer",
            100 * found.equal,
            low=100.0,
            unit="%",
        ),
        Gate(
            "bundle:accuracy",
            "bundle read back: accuracy on the perfect chip, less the original's",
            100 * (found.perfect - after),
            low=0.0,
            high=0.0,
            unit="points",
        ),
    ]
    return {"folder": BUNDLE, **found.summary()}, gates, {"export_bundle_chips": found.chips}


def _fpaa(
    name: str,
    made: Target,
    settings: ExportSettings,
    folder: RunFolder,
    run: TrainedRun,
    bundle: Bundle,
    tokens: ReferenceTokens,
):
    write_folder(folder.path / name, made.files)
    found = read_back(run, bundle, made.design, made.hardware, made.spec, tokens, settings.chips, settings.seed)
    told = {"folder": name, **made.told, **found.summary()}
    gates = [
        Gate(
            f"{name}:rounding",
            f"{name} read back: largest error of a number, over what its rounding allows",
            made.rounding,
            high=1.0 + 1e-6,
        )
    ]
    return told, gates, {f"export_{name}_chips": found.chips}


def _rasp(settings: ExportSettings, folder: RunFolder, run: TrainedRun, bundle: Bundle, tokens: ReferenceTokens):
    made = rasp_target(bundle, training_inputs(run, settings.seed))
    return _fpaa("rasp", made, settings, folder, run, bundle, tokens)


def _an231(settings: ExportSettings, folder: RunFolder, run: TrainedRun, bundle: Bundle, tokens: ReferenceTokens):
    made = an231_target(bundle, training_inputs(run, settings.seed))
    return _fpaa("an231e04", made, settings, folder, run, bundle, tokens)


def _spice(settings: ExportSettings, folder: RunFolder, run: TrainedRun, bundle: Bundle, tokens: ReferenceTokens):
    """Netlists; their numbers read back; and if simulation is on, every token through ngspice."""
    process = find_process(settings.process.name, settings.process.corner)
    found = characterise(settings.process, also_c=(settings.temperature_c,)) if settings.simulate else None
    circuit = dataclasses.replace(bundle, spec=side_by_side(bundle.spec))
    files: dict[str, bytes] = {}
    back: dict[int, Achieved] = {}
    loops: list[dict[str, Any]] = []
    played: list[list[InTime]] = []
    billed_s = billed_times_s(run)
    arrays: dict[str, np.ndarray] = {}
    for layer in bundle.arrays:
        twin = design_twin(circuit, layer)
        if found is not None:
            twin = spice_twin(circuit, layer, found, settings.temperature_c)
        bench_tokens = real_tokens(circuit, layer, twin, tokens.inputs[layer], settings.temperature_c)
        token_s = float(billed_s[layer]) if settings.token_s is None else settings.token_s
        texts = spice_files(bundle, layer, process, bench_tokens, token_s, settings.temperature_c)
        files |= {f"layer{layer + 1}/{name}": text.encode() for name, text in texts.items()}
        spec, readout = bundle.spec, bundle.hardware.tia.readout
        read = read_scorer(texts[SCORER], spec.inputs, spec.groups, spec.differential, readout, bundle.comparators)
        full_scale_v = achieved(bundle, layer).full_scale_v
        for one, threshold_v in zip(bundle.compared(layer), read.threshold_v.reshape(-1, spec.groups), strict=True):
            back[one] = dataclasses.replace(read, threshold_v=threshold_v, full_scale_v=full_scale_v)
        if settings.simulate:
            loop = close_loop(circuit, layer, texts, bench_tokens, twin, settings.temperature_c)
            loops.append(loop.summary(layer))
            arrays |= {
                f"loop{layer}_spice_v": loop.scores_v,
                f"loop{layer}_model_v": bench_tokens.scores_v,
                f"loop{layer}_keep": loop.keep,
                f"loop{layer}_zone_v": loop.zone_v,
                f"loop{layer}_threshold_v": loop.threshold_v,
            }
            print(f"  layer {layer + 1}: {100 * loops[-1]['equal_fraction']:.1f} % equal", flush=True)
            count = min(settings.transient_tokens, len(bench_tokens.keep))
            if count > 1:
                few = first_tokens(bench_tokens, count)
                played.append(
                    play_in_time(
                        circuit, layer, texts, few, loop.scores_v[:count], twin, token_s, settings.temperature_c
                    )
                )
    write_folder(folder.path / "spice", files)
    design = imported_design(bundle, back, bundle.hardware)
    spec = as_built(bundle.spec)
    result = read_back(run, bundle, design, bundle.hardware, spec, tokens, settings.chips, settings.seed)
    gates = [
        Gate(
            "spice:netlist",
            "netlist's numbers read back, on the design's own hardware: equal decisions",
            100 * result.equal,
            low=100.0,
            unit="%",
        )
    ]
    told = {
        "folder": "spice",
        "process": process.name,
        "generic": process.generic,
        "built_otherwise": built_otherwise(bundle.spec),
        **result.summary(),
    }
    if loops:
        told |= {"simulator": ngspice_version(), "closed_loop": loops}
        new_gates = loop_gates(loops)
        if played:
            layers = zip(bundle.arrays, played, strict=True)
            told |= {"in_time": [one.summary(layer) for layer, several in layers for one in several]}
            new_gates += in_time_gates(played)
        gates += [dataclasses.replace(gate, name=f"spice:{gate.name}") for gate in new_gates]
    return told, gates, arrays | {"export_spice_chips": result.chips}


_MAKERS = {"bundle": _bundle, "spice": _spice, "rasp": _rasp, "an231e04": _an231}
