"""Settings: what is accepted, what is refused, and what the refusal says."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from ml_collections import config_dict

from atis_jax.circuits.thermal import MODEL_HIGH_C, MODEL_LOW_C
from atis_jax.config import (
    as_dict,
    as_stored_now,
    config_hash,
    differing_fields,
    from_config_dict,
    results_part,
    stored_hash,
    to_config_dict,
    to_json,
)
from atis_jax.validation import (
    Kinds,
    SettingError,
    UnknownKind,
    UserError,
    annotations_of,
    check_settings,
    choose,
    rule_of,
    setting,
)
from experiments import registry
from experiments.docs_tables import section_of
from experiments.rundir import open_run
from experiments.settings import CodesignSettings

OLD = sorted((Path(__file__).parents[1] / "data" / "configs").glob("*_before_kinds.json"))
"""Stored by runs from before data and networks had kinds."""


@dataclasses.dataclass(frozen=True)
class Inner:
    steps: int = setting(10, low=1, high=100, doc="number of updates")
    rate: float = setting(0.5, low=0.0, high=1.0, exclusive_low=True)
    bits: int | None = setting(None, low=1, high=16)
    law: str = setting("tanh", choices=("tanh", "linear"))
    kept: tuple[float, ...] = setting((0.5, 1.0), low=0.0, high=1.0)
    span: tuple[float, float] = (0.0, 1.0)
    flag: bool = False

    def __post_init__(self):
        check_settings(self, "inner")


@dataclasses.dataclass(frozen=True)
class Outer:
    experiment: str = "x"
    inner: Inner = setting(Inner)
    other: Inner = setting(Inner(steps=3))
    maybe: Inner | None = None
    log_every: int = setting(10, low=1, affects_result=False)

    def __post_init__(self):
        check_settings(self, "config")


@dataclasses.dataclass(frozen=True)
class Strict:
    arms: tuple[str, ...] = setting(("a", "b"), choices=("a", "b", "c"), least=1, distinct=True, doc="what is run")
    levels: tuple[int, ...] = setting((1, 2), low=1, high=9, least=2, ascending=True)
    share: float = setting(0.5, low=0.0, high=1.0, exclusive_low=True)
    gain: float = 1.0
    count: int = 1
    note: str = ""

    def __post_init__(self):
        check_settings(self, "config")


@dataclasses.dataclass(frozen=True)
class Round:
    kind: str = setting("disc", choices=("disc", "ball"))
    radius: float = setting(1.0, low=0.0)

    def __post_init__(self):
        check_settings(self, "shape")


@dataclasses.dataclass(frozen=True)
class Box:
    kind: str = setting("box")
    sides: tuple[float, ...] = setting((1.0, 1.0), low=0.0)
    depth: int | None = setting(None, low=1)
    shelf: str | None = setting(None, path=True, affects_result=False)

    def __post_init__(self):
        check_settings(self, "shape")


SHAPES = Kinds({"disc": Round, "ball": Round, "box": Box}, default="disc")


@dataclasses.dataclass(frozen=True)
class Drawing:
    shape: Any = setting(Round, kinds=SHAPES)

    def __post_init__(self):
        check_settings(self, "config")


def build(**changes) -> Outer:
    config = config_dict.ConfigDict({"inner": changes})
    return from_config_dict(Outer, config)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"steps": 0}, ["config.inner.steps = 0", "lower bound 1", "at most 100", "number of updates"]),
        ({"steps": 101}, ["config.inner.steps = 101", "upper bound 100"]),
        ({"steps": True}, ["config.inner.steps = True", "bool", "whole number"]),
        ({"steps": 3.0}, ["config.inner.steps = 3.0", "float", "whole number"]),
        ({"steps": None}, ["config.inner.steps = None", "whole number"]),
        ({"rate": 0.0}, ["config.inner.rate = 0.0", "not above", "0.0"]),
        ({"rate": float("nan")}, ["config.inner.rate = nan", "not finite"]),
        ({"rate": True}, ["config.inner.rate = True", "a number"]),
        ({"bits": 0}, ["config.inner.bits = 0", "lower bound 1"]),
        ({"bits": "4"}, ["config.inner.bits = '4'", "whole number", "None"]),
        ({"law": "tahn"}, ["config.inner.law = 'tahn'", "tanh, linear", "did you mean 'tanh'"]),
        ({"kept": (0.5, 1.5)}, ["config.inner.kept[1] = 1.5", "upper bound 1.0"]),
        ({"kept": 0.5}, ["config.inner.kept = 0.5", "a list"]),
        ({"span": (0.0,)}, ["config.inner.span", "1 elements; give 2"]),
        ({"flag": 1}, ["config.inner.flag = 1", "True or False"]),
        ({"stesp": 3}, ["config.inner.stesp does not exist", "did you mean 'steps'", "rate, bits, law"]),
    ],
)
def test_refusals_name_field_value_bound_and_remedy(changes, parts):
    with pytest.raises(SettingError) as caught:
        build(**changes)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"arms": ()}, ["config.arms = () is empty; give 1 or more (what is run)"]),
        ({"arms": ("a", "b", "a")}, ["config.arms = ('a', 'b', 'a') has 'a' twice; give each once"]),
        ({"levels": (1,)}, ["config.levels = (1,) has 1 of the 2 elements it needs; give 2 or more"]),
        ({"levels": (2, 1)}, ["config.levels = (2, 1) does not rise from each to the next; sort it"]),
        ({"levels": (1, 1)}, ["does not rise"]),
        (
            {"share": 10**400},
            ["config.share = a whole number of 1329 bits", "largest", "above 0.0 and at most 1.0"],
        ),
        ({"gain": -(10**5000)}, ["config.gain = a whole number of 16610 bits", "3.4e+38"]),
        ({"gain": 1e300}, ["config.gain = 1e+300 is beyond the largest number of single precision, 3.4e+38"]),
        ({"gain": 1e-40}, ["config.gain = 1e-40 counts as zero in single precision", "1.2e-38"]),
        ({"levels": (1, 10**400)}, ["config.levels[1] = a whole number of 1329 bits"]),
        ({"count": 2**31}, ["config.count = 2147483648 is beyond the largest whole number, 2147483647"]),
        ({"count": -(10**5000)}, ["config.count = a whole number of 16610 bits"]),
        ({"note": 10**5000}, ["config.note = a whole number of 16610 bits is a int; give a text"]),
        ({"note": "a\0b"}, ["config.note = 'a\\x00b' holds a control character"]),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_lengths_order_and_sizes_that_jax_cannot_hold_are_refused(changes, parts):
    with pytest.raises(SettingError) as caught:
        from_config_dict(Strict, changes)
    for part in parts:
        assert part in str(caught.value)


def test_a_direct_construction_is_checked_too():
    with pytest.raises(SettingError, match=r"inner\.steps = 0 is below"):
        Inner(steps=0)
    assert issubclass(SettingError, UserError) and issubclass(SettingError, ValueError)


def test_bounds_themselves_are_allowed_and_values_take_the_declared_type():
    made = build(steps=100, rate=1, bits=None, kept=[0, 1])
    assert made.inner.steps == 100
    assert type(made.inner.rate) is float and made.inner.kept == (0.0, 1.0)
    assert all(type(kept) is float for kept in made.inner.kept)
    assert made.other.steps == 3 and made.maybe is None


def test_unknown_section_value_for_section_and_missing_fields():
    with pytest.raises(SettingError, match=r"config\.iner does not exist; did you mean 'inner'\?"):
        from_config_dict(Outer, {"iner": {"steps": 3}})
    with pytest.raises(SettingError, match=r"config\.inner = 5 must be a section"):
        from_config_dict(Outer, {"inner": 5})
    assert from_config_dict(Outer, {}) == Outer()


def test_config_dict_starts_from_defaults_is_locked_and_comes_back():
    config = to_config_dict(Outer)
    assert from_config_dict(Outer, config) == Outer()
    config.inner.bits = 4
    config.inner.rate = 1
    config.other.kept = (0.25, 0.25, 0.5)
    assert from_config_dict(Outer, config) == Outer(
        inner=Inner(bits=4, rate=1.0), other=Inner(steps=3, kept=(0.25, 0.25, 0.5))
    )
    config.inner.bits = None
    assert from_config_dict(Outer, config).inner.bits is None
    with pytest.raises(AttributeError, match='Did you mean "inner"'):
        config.iner = 3
    with pytest.raises(TypeError):
        config.inner.steps = "many"


def test_json_holds_everything_and_comes_back():
    settings = Outer(inner=Inner(bits=4, kept=(0.1, 0.2, 0.3)), maybe=Inner(law="linear"), log_every=3)
    assert from_config_dict(Outer, json.loads(to_json(settings))) == settings


def test_hash_sees_results_only():
    base = Outer()
    assert config_hash(base) == config_hash(Outer(log_every=99))
    assert config_hash(base) == config_hash(from_config_dict(Outer, {"inner": {"rate": 0.5, "steps": 10}}))
    assert config_hash(Outer(inner=Inner(rate=1))) == config_hash(Outer(inner=Inner(rate=1.0)))
    changed = [
        Outer(inner=Inner(steps=11)),
        Outer(other=Inner()),
        Outer(inner=Inner(bits=1)),
        Outer(maybe=Inner()),
    ]
    hashes = {config_hash(settings) for settings in (base, *changed)}
    assert len(hashes) == 1 + len(changed)
    # Frozen value: a change of it makes every existing run folder look foreign.
    assert config_hash(Inner()) == "a03f71163f8623c86938c2b705af9554d31f6bbe96bb6d81a97a70603ceadc77"


def test_differing_fields_are_named():
    here = as_dict(Outer(inner=Inner(steps=11)), results_only=True)
    there = results_part(Outer, {**as_dict(Outer()), "gone": 1})
    assert differing_fields(there, here) == [
        "config.inner.steps: 10 there, 11 now",
        "config.gone: 1 there, (absent) now",
    ]


@pytest.mark.parametrize(
    ("section", "made"),
    [
        ({}, Round()),
        ({"radius": 2}, Round(radius=2.0)),
        ({"kind": "ball"}, Round(kind="ball")),
        ({"kind": "box", "sides": [3], "depth": 4}, Box(sides=(3.0,), depth=4)),
    ],
)
def test_a_kind_picks_the_dataclass_of_its_section(section, made):
    assert from_config_dict(Drawing, {"shape": section}).shape == made


@pytest.mark.parametrize(
    ("section", "parts"),
    [
        ({"kind": "bx"}, ["config.shape.kind = 'bx' is not one of: disc, ball, box; did you mean 'box'?"]),
        ({"kind": None}, ["config.shape.kind = None is not one of: disc, ball, box"]),
        ({"kind": "os:system"}, ["config.shape.kind = 'os:system' is not one of"]),
        ({"kind": "box", "radius": 1.0}, ["config.shape.radius is a field of kind 'disc' or 'ball'", "'box' has none"]),
        ({"sides": (1.0,)}, ["config.shape.sides is a field of kind 'box'", "config.shape.kind = 'disc' has none"]),
        ({"kind": "box", "sizes": (1.0,)}, ["config.shape.sizes does not exist; did you mean 'sides'"]),
        ({"kind": "box", "depth": 0}, ["config.shape.depth = 0 is below"]),
        (3, ["config.shape = 3 is no section; give one of the kinds: disc, ball, box"]),
        (Inner(), ["is no section"]),
    ],
)
def test_what_no_kind_has_is_refused_naming_it(section, parts):
    with pytest.raises(SettingError) as caught:
        from_config_dict(Drawing, {"shape": section})
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_a_section_of_another_class_than_its_kind_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Other:
        kind: str = "box"

    with pytest.raises(SettingError, match=r"config.shape is a Other with config.shape.kind = 'box'.* is a Box; give"):
        Drawing(Other())


@pytest.mark.parametrize("shape", [Round(radius=2.0), Round(kind="ball"), Box(depth=3)])
def test_a_tagged_section_comes_back_from_file_and_config(shape):
    settings = Drawing(shape)
    assert from_config_dict(Drawing, json.loads(to_json(settings))) == settings
    assert from_config_dict(Drawing, to_config_dict(settings)) == settings
    assert results_part(Drawing, as_dict(settings)) == as_dict(settings, results_only=True)


def test_in_a_config_file_a_kind_brings_its_fields():
    config = to_config_dict(Drawing)
    config.shape.radius = 2.0
    config.shape.kind = "ball"  # the same fields, which stay
    assert from_config_dict(Drawing, config).shape == Round(kind="ball", radius=2.0)
    config.shape.kind = "box"
    config.shape.depth = 3  # may be None, so of any type here
    assert from_config_dict(Drawing, config).shape == Box(depth=3)
    with pytest.raises(AttributeError, match="radius"):
        config.shape.radius = 1.0
    with pytest.raises(UnknownKind, match=r"config.shape.kind = 'cube' is not one of: disc, ball, box"):
        config.shape.kind = "cube"


def test_kinds_are_read_when_they_are_asked_for(monkeypatch):
    with monkeypatch.context() as later:
        later.setitem(SHAPES.sections, "crate", Box)
        assert from_config_dict(Drawing, {"shape": {"kind": "crate", "depth": 1}}).shape.depth == 1
    with pytest.raises(UnknownKind):
        from_config_dict(Drawing, {"shape": {"kind": "crate"}})


@pytest.mark.parametrize("file", OLD, ids=lambda file: file.stem)
def test_a_config_from_before_there_were_kinds_loads_unchanged(file):
    stored = json.loads(file.read_text())
    as_now = as_stored_now(CodesignSettings, stored)
    settings = from_config_dict(CodesignSettings, as_now)
    kinds = {"data": {"kind": "images"}, "model": {"kind": "vit"}}
    since = {
        "hardware": {"token_time_s": None, "readout": None, "law": None, "attenuation": None},
        "energy": {"circuit": "priced", "exponentials": False},
    }
    since |= {"data": {"evaluation": "test", "validation_examples": 500, "resize": None}}
    since |= {"model": {"activation": "gelu_tanh", "norm_epsilon": 1e-6, "weights": None, "cut": False, "head": "cls"}}
    since |= {"dense": {"frozen_blocks": 0}, "tune": {"frozen_blocks": 0}}
    since |= {"pruning": {"ramp_start": 0.0, "ramp_from": 1.0}}
    since |= {"scorer": {"reads": "every_layer", "start": "random"}, "evaluation": {"supply": [1.0], "calibration": []}}
    assert as_dict(settings) == {
        name: kinds.get(name, {}) | value | since.get(name, {}) if isinstance(value, dict) else value
        for name, value in stored.items()
    } | {"kernel": {"kind": "softmax"}}
    assert differing_fields(as_now, as_dict(settings)) == []


@pytest.mark.parametrize("file", OLD, ids=lambda file: file.stem)
def test_a_run_from_before_there_were_kinds_goes_on_under_its_own_hash(file, tmp_path):
    """Kinds are in the hash of a new run; the checkpoints of an old one carry that of its config as stored."""
    (tmp_path / "config.json").write_text(file.read_text())
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    stored = json.loads(file.read_text())
    settings = from_config_dict(CodesignSettings, as_stored_now(CodesignSettings, stored))
    with open_run(tmp_path, settings) as folder:
        assert folder.resumed and folder.config_hash == stored_hash(results_part(CodesignSettings, stored))
        assert folder.config_hash != config_hash(settings)


def test_every_temperature_has_the_bounds_of_the_model():
    """Of calibration and drift too: beyond them the circuits are not stated to hold."""

    def temperatures(cls):
        for field in dataclasses.fields(cls):
            section = section_of(field)
            if section is not None:
                yield from temperatures(section)
            elif field.name.endswith(("temperature_c", "temperatures_c")):
                yield f"{cls.__name__}.{field.name}", rule_of(field)

    found = {name: rule for one in registry.EXPERIMENTS.values() for name, rule in temperatures(registry.load(one)[0])}
    assert len(found) >= 7
    assert {name for name, rule in found.items() if (rule.low, rule.high) != (MODEL_LOW_C, MODEL_HIGH_C)} == set()


def test_a_name_chooses_code_or_is_refused():
    functions = {"tanh": math.tanh, "linear": float}
    assert choose(functions, "tanh", "ota.law") is math.tanh
    with pytest.raises(SettingError, match=r"ota.law = 'tahn' is not one of: tanh, linear; did you mean 'tanh'\?"):
        choose(functions, "tahn", "ota.law")


def test_every_tuple_says_what_an_empty_one_means():
    """Either the rule refuses an empty tuple, or the settings do, or its meaning says what empty stands for."""
    silent = set()
    for cls in {registry.load(one)[0] for one in registry.EXPERIMENTS.values()}:
        for path, owner, field in leaves(cls):
            if not isinstance(field.default, tuple) or rule_of(field).least:
                continue
            try:
                dataclasses.replace(owner(), **{field.name: ()})
            except SettingError:
                continue
            if "empty: " not in rule_of(field).doc:
                silent.add(path)
    assert silent == set()


def leaves(cls: type, path: str = "config"):
    """(dotted path, class, field) of every plain field of a settings class and its sections."""
    for field in dataclasses.fields(cls):
        section = section_of(field)
        if section is None:
            yield f"{path}.{field.name}", cls, field
        else:
            yield from leaves(section, f"{path}.{field.name}")


HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**31, 2**63, 10**400, -(10**5000), 1.5, -0.0, 1e-320, 1e39, 1e300),
    *(math.inf, -math.inf, math.nan, 1j, b"x", object(), np.float64(0.5), np.int64(3), np.ones(2), range(3)),
    *("", " ", "x", "1", "~", "a/b", "../x", "a\0b", "\n", "\ud800", "x" * 5000, "a" * 300 + ".json", ".json"),
    *("huggingface:x", "a:1.2.3", "x#sha256:0", "camera", "dac_energy/dac_energy", "threshold+threshold", "+"),
    *((), (1,), (0.5, 0.5), (math.nan,), (10**5000,), ("x", "x"), ((),), (None,), [], [[[[[[]]]]]], [1, "a"], {1}),
    *({}, {"x": 1}, {"steps": {}}, {10**5000: 1}),
)
"""Values that no field, or few, can take."""


def value_of(field: dataclasses.Field, annotation: Any) -> st.SearchStrategy:
    """Values that a field may have, that lie at or just beyond its bounds, or that are of another kind."""
    rule, near = rule_of(field), [st.just(field.default), st.sampled_from(HOSTILE)]
    bounds = [bound for bound in (rule.low, rule.high) if bound is not None]
    moved = [bound + step for bound in bounds for step in (-1, -1e-6, 0, 1e-6, 1)]
    near += [st.sampled_from([kind(bound) for bound in moved for kind in (float, round)])] if moved else []
    near += [st.sampled_from(rule.choices)] if rule.choices else []
    if "int" in str(annotation) or "float" in str(annotation):
        near += [st.integers(-5, 200), st.floats(-2, 2)]
    if "tuple" in str(annotation):
        near += [st.lists(one, max_size=4).map(tuple) for one in near]
    return st.one_of(near)


@functools.cache
def fields_of(name: str) -> tuple[type, dict[str, dataclasses.Field], dict[str, Any]]:
    """An experiment's settings class, its fields by path, and values for those that nothing is assumed of."""
    cls = registry.load(registry.entry(name))[0]
    found = {path.removeprefix("config."): (owner, field) for path, owner, field in leaves(cls)}
    required = {path: rule_of(field).choices[0] for path, (_, field) in found.items() if rule_of(field).required}
    return cls, found, required


@pytest.fixture(scope="module")
def every_class():
    """Imported before hypothesis draws: an import on the way is a randomness that it cannot repeat."""
    for name in registry.EXPERIMENTS:
        fields_of(name)


@st.composite
def configs(draw: st.DrawFn) -> tuple[type, dict[str, Any]]:
    """A settings class and a config for it: its defaults with a few fields set to anything."""
    cls, fields, required = fields_of(draw(st.sampled_from(sorted(registry.EXPERIMENTS))))
    config: dict[str, Any] = {}
    chosen = draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=4, unique=True))
    given_here = {
        path: draw(value_of(fields[path][1], annotations_of(fields[path][0])[path.rpartition(".")[2]]))
        for path in chosen
    }
    for path, value in (required | given_here).items():
        *sections, name = path.split(".")
        place = config
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return cls, config


@pytest.mark.slow
@hypothesis_settings(max_examples=200, derandomize=True)
@given(configs())
def test_any_config_becomes_settings_or_one_clear_error(every_class, drawn):
    """Settings come back from their file with the same hash; an error is one that a user can put right."""
    cls, config = drawn
    try:
        made = from_config_dict(cls, config)
    except UserError as error:
        assert 10 < len(str(error)) < 3000
        return
    stored = from_config_dict(cls, json.loads(to_json(made)))
    assert stored == made and config_hash(stored) == config_hash(made)


def test_anything_in_place_of_a_section_is_one_clear_error():
    for name in registry.EXPERIMENTS:
        cls = fields_of(name)[0]
        sections = [field.name for field in dataclasses.fields(cls) if section_of(field)]
        for value in HOSTILE:
            for config in (value, *({name: value} for name in sections)):
                if isinstance(value, dict) and not value:
                    continue  # an empty section has its defaults
                with pytest.raises(SettingError):
                    from_config_dict(cls, config)
