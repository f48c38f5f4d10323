"""Settings: what is accepted, what is refused, and what the refusal says."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ml_collections import config_dict

from atis_jax.circuits.thermal import MODEL_HIGH_C, MODEL_LOW_C
from atis_jax.config import (
    as_dict,
    config_hash,
    differing_fields,
    from_config_dict,
    results_part,
    to_config_dict,
    to_json,
)
from atis_jax.validation import SettingError, UserError, check_settings, rule_of, setting
from experiments import registry
from experiments.docs_tables import section_of


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
