"""Settings that check themselves: bounds declared beside each field, errors that say what to change."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import os
import reprlib
import types
import typing
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")

LARGEST_INT = 2**31 - 1
"""JAX counts in int32: a whole number beyond it would overflow on the device."""
LARGEST_FLOAT, SMALLEST_FLOAT = 3.4028235e38, 1.1754944e-38
"""JAX computes in float32: beyond the one a number is infinite there, below the other XLA flushes it to zero."""


class UserError(Exception):
    """Something the user can put right; shown as one message, without a traceback."""


class SettingError(UserError, ValueError):
    """A setting is misspelt, of the wrong type, or out of range."""


CODE_MARK = ":"
"""Between module and class in a kind that is code of one's own."""


class UnknownKind(SettingError):
    """A tagged section is of a kind that is not registered in this process."""


@dataclasses.dataclass(frozen=True, eq=False)
class Kinds:
    """What a tagged section may be of: its field ``kind`` picks the dataclass of its fields.

    Attributes:
        sections: name of a kind to its dataclass, which has a field ``kind``. Read at every use: more may be added.
        default: the kind of a section that names none, as those of runs from before there were kinds.
        load: imports and registers the kind ``package.module:Class``; None where a section has none of one's own.
        remedy: what to do first where such a kind is not registered, ``{kind}`` in place of its name.
    """

    sections: Mapping[str, type]
    default: str
    load: Callable[[str], None] | None = None
    remedy: str = ""

    def section(self, kind: Any, path: str) -> type:
        """The dataclass of a section of ``kind``; imports nothing.

        Args:
            kind: what the section's field ``kind`` says.
            path: dotted name of that field, for the message.

        Raises:
            UnknownKind: it is not registered; lists those that are, or says how to register one's own.
        """
        if isinstance(kind, str) and kind in self.sections:
            return self.sections[kind]
        if self.load is not None and isinstance(kind, str) and CODE_MARK in kind:
            remedy = self.remedy.format(kind=kind)
            raise UnknownKind(f"{path} = {short_repr(kind)} is code of one's own that is not registered here; {remedy}")
        near = did_you_mean(kind, self.sections)
        raise UnknownKind(f"{path} = {short_repr(kind)} is not one of: {', '.join(self.sections)}{near}")

    def __deepcopy__(self, memo: Any) -> Kinds:
        """Itself: a copy would miss what is registered later."""
        return self

    def of(self, name: str) -> tuple[str, ...]:
        """The kinds whose sections have a field ``name``."""
        return tuple(kind for kind, section in self.sections.items() if name in field_names(section))


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a setting may be.

    Attributes:
        low: smallest value allowed (or the limit itself excluded, with ``exclusive_low``), None for no limit.
        high: largest value allowed, None for no limit.
        choices: the only values allowed, None for any.
        exclusive_low: the value must be above ``low``, not equal to it.
        doc: what the setting means, in a few words; shown in errors.
        affects_result: whether the setting can change what a run computes; only those enter the config hash.
        required: nothing is assumed: the default None only stands until a config chooses.
        least: fewest elements of a tuple.
        distinct: no element of a tuple comes twice.
        ascending: the elements of a tuple rise from each to the next; none twice.
        path: the setting is the path of a file or folder; ``~`` stands for the user's home.
        kinds: the setting is a section whose ``kind`` picks its dataclass.
        earlier: what a stored config meant that was written before there was the setting; None for the default.
    """

    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] | None = None
    exclusive_low: bool = False
    doc: str = ""
    affects_result: bool = True
    required: bool = False
    least: int = 0
    distinct: bool = False
    ascending: bool = False
    path: bool = False
    kinds: Kinds | None = None
    earlier: Any = None


def setting(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Iterable[Any] | None = None,
    doc: str = "",
    exclusive_low: bool = False,
    affects_result: bool = True,
    required: bool = False,
    least: int = 0,
    distinct: bool = False,
    ascending: bool = False,
    path: bool = False,
    kinds: Kinds | None = None,
    earlier: Any = None,
) -> Any:
    """A dataclass field with its default and the rule its value must keep.

    Args:
        default: the value when nothing is said. A dataclass type stands for a section with its own defaults.
        low: lower bound; for a tuple, of every element.
        high: upper bound; for a tuple, of every element.
        choices: the only values allowed.
        doc: what the setting means.
        exclusive_low: the value must be strictly above ``low``.
        affects_result: False for a setting that cannot change what a run computes (it leaves the hash).
        required: True for a setting whose default None a config must replace (``config.from_config_dict`` checks).
        least: fewest elements of a tuple; 1 where an empty one would leave nothing to do.
        distinct: True for a tuple whose elements must all differ.
        ascending: True for a tuple whose elements must rise.
        path: True for the path of a file or folder, whose ``~`` becomes the user's home.
        kinds: for a tagged section, what it may be of; ``default`` is then the section of one that names none.
        earlier: what a config without the setting meant that was stored before there was one; None for ``default``.

    Returns:
        A ``dataclasses.field``; ``check_settings`` reads its metadata.
    """
    rule = Rule(
        low=low,
        high=high,
        choices=None if choices is None else tuple(choices),
        exclusive_low=exclusive_low,
        doc=doc,
        affects_result=affects_result,
        required=required,
        least=least,
        distinct=distinct,
        ascending=ascending,
        path=path,
        kinds=kinds,
        earlier=earlier,
    )
    metadata = {"rule": rule}
    if isinstance(default, type) and dataclasses.is_dataclass(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def rule_of(field: dataclasses.Field) -> Rule:
    """The rule of a field; a field made without ``setting`` has an empty one."""
    return field.metadata.get("rule", Rule())


def field_names(cls: type) -> tuple[str, ...]:
    """The names of a dataclass's fields."""
    return tuple(field.name for field in dataclasses.fields(cls))


def annotations_of(cls: type) -> dict[str, Any]:
    """The resolved type of each field of a dataclass (``cls`` must be defined at module level)."""
    return _looked_up(cls)


_looked_up: Callable[[type], dict[str, Any]] = functools.cache(typing.get_type_hints)


def check_settings(obj: Any, path: str) -> None:
    """Check every field of a frozen dataclass against its type and rule; call it in ``__post_init__``.

    Whole numbers given for a float become floats and lists given for tuples become tuples, so that equal
    settings are equal objects with equal hashes.

    Args:
        obj: the instance under construction.
        path: its dotted name, for messages (``"config.training"``).

    Raises:
        SettingError: names the field, its value, the bound and what to write instead.
    """
    hints = annotations_of(type(obj))
    for field in dataclasses.fields(obj):
        value = check_value(getattr(obj, field.name), hints[field.name], rule_of(field), f"{path}.{field.name}")
        object.__setattr__(obj, field.name, value)


def check_value(value: Any, annotation: Any, rule: Rule, path: str) -> Any:
    """``value`` in the type of ``annotation`` if both that and ``rule`` allow it.

    Whatever the rule, a number must be one that JAX can hold (``LARGEST_INT``, ``LARGEST_FLOAT``,
    ``SMALLEST_FLOAT``) and a text free of control characters, which no file name may have.

    Args:
        value: what was given.
        annotation: the resolved type of the field.
        rule: bounds and choices; applied to each element of a tuple.
        path: dotted name of the field.

    Returns:
        The value; a float for an int where a float is asked, a tuple for a list.

    Raises:
        SettingError: for a wrong type or a value outside the rule.
    """
    if rule.kinds is not None:
        return _check_tagged(value, rule.kinds, path)
    kinds = alternatives(annotation)
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    for kind in kinds:
        accepted, converted = _convert(value, kind, rule, path)
        if accepted:
            return converted
    wanted = " or ".join(describe(kind) for kind in kinds)
    none = ", or None" if optional(annotation) else ""
    raise SettingError(f"{path} = {short_repr(value)} is a {type(value).__name__}; give {wanted}{none}{_about(rule)}")


def _check_tagged(value: Any, kinds: Kinds, path: str) -> Any:
    """``value`` if it is a section of the dataclass that its kind names."""
    if not dataclasses.is_dataclass(value) or not hasattr(value, "kind"):
        raise SettingError(
            f"{path} = {short_repr(value)} is no section; give one of the kinds: {', '.join(kinds.sections)}"
        )
    wanted = kinds.section(value.kind, f"{path}.kind")
    if not isinstance(value, wanted):
        raise SettingError(
            f"{path} is a {type(value).__name__} with {path}.kind = {value.kind!r}, whose section is a "
            f"{wanted.__name__}; give that one"
        )
    return value


def _convert(value: Any, kind: Any, rule: Rule, path: str) -> tuple[bool, Any]:
    """Whether ``value`` is of ``kind``, and the checked value if it is."""
    origin = typing.get_origin(kind)
    if kind is Any:
        return True, value
    if origin is typing.Literal:
        return True, check_choice(value, typing.get_args(kind), path, rule.doc)
    if kind is tuple or origin is tuple:
        if not isinstance(value, (tuple, list)):
            return False, value
        return True, _check_elements(tuple(value), typing.get_args(kind), rule, path)
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False, value
        _check_size(value, rule, path)  # first: a long int has no float at all
        return True, _check_rule(float(value), rule, path)
    if kind is int and isinstance(value, bool):
        return False, value
    if not isinstance(value, origin or kind):
        return False, value
    return True, value if dataclasses.is_dataclass(kind) else _check_rule(value, rule, path)


def _check_elements(values: tuple, kinds: tuple, rule: Rule, path: str) -> tuple:
    if not kinds:
        return values
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(values)
    if len(kinds) != len(values):
        raise SettingError(f"{path} = {short_repr(values)} has {len(values)} elements; give {len(kinds)}{_about(rule)}")
    pairs = zip(values, kinds, strict=True)
    values = tuple(check_value(value, kind, rule, f"{path}[{i}]") for i, (value, kind) in enumerate(pairs))
    if len(values) < rule.least:
        has = f"has {len(values)} of the {rule.least} elements it needs" if values else "is empty"
        raise SettingError(f"{path} = {short_repr(values)} {has}; give {rule.least} or more{_about(rule)}")
    if rule.ascending and any(not a < b for a, b in zip(values, values[1:], strict=False)):
        raise SettingError(f"{path} = {short_repr(values)} does not rise from each to the next; sort it{_about(rule)}")
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None) if rule.distinct else None
    if twice is not None:
        raise SettingError(f"{path} = {short_repr(values)} has {short_repr(twice)} twice; give each once{_about(rule)}")
    return values


def _check_size(value: float, rule: Rule, path: str) -> None:
    """Raise SettingError for a number that float32, in which JAX computes, has no room for."""
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"{path} = {value} is not finite; give {_range(rule)}{_about(rule)}")
    if abs(value) > LARGEST_FLOAT:
        raise SettingError(
            f"{path} = {short_repr(value)} is beyond the largest number of single precision, {LARGEST_FLOAT:.1e}; give "
            f"{_range(rule)}{_about(rule)}"
        )
    if 0 < abs(value) < SMALLEST_FLOAT:
        raise SettingError(
            f"{path} = {value} counts as zero in single precision, whose smallest number is {SMALLEST_FLOAT:.1e}; give "
            f"{_range(rule)}{_about(rule)}"
        )


def _check_rule(value: Any, rule: Rule, path: str) -> Any:
    if rule.choices is not None:
        return check_choice(value, rule.choices, path, rule.doc)
    if isinstance(value, str) and any(unicodedata.category(letter) in ("Cc", "Cs") for letter in value):
        raise SettingError(f"{path} = {short_repr(value)} holds a control character; leave it out{_about(rule)}")
    if rule.path:
        return os.path.expanduser(value)
    if isinstance(value, int) and abs(value) > LARGEST_INT:
        raise SettingError(
            f"{path} = {short_repr(value)} is beyond the largest whole number, {LARGEST_INT}; give {_range(rule)}"
            f"{_about(rule)}"
        )
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        below = rule.low is not None and (value < rule.low or (rule.exclusive_low and value == rule.low))
        if below:
            verb = "is not above" if rule.exclusive_low else "is below"
            raise SettingError(f"{path} = {value} {verb} its lower bound {rule.low}; give {_range(rule)}{_about(rule)}")
        if rule.high is not None and value > rule.high:
            raise SettingError(
                f"{path} = {value} is above its upper bound {rule.high}; give {_range(rule)}{_about(rule)}"
            )
    return value


def check_choice(value: Any, choices: Iterable[Any], path: str, doc: str = "") -> Any:
    """``value`` if it is one of ``choices``.

    Raises:
        SettingError: lists the choices and names the nearest one.
    """
    choices = tuple(choices)
    # 1 == True == 1.0 in Python; a choice must match in type too.
    if any(type(value) is type(choice) and value == choice for choice in choices):
        return value
    listing = ", ".join(str(choice) for choice in choices)
    raise SettingError(
        f"{path} = {short_repr(value)} is not one of: {listing}{did_you_mean(value, choices)}{_about(Rule(doc=doc))}"
    )


def choose(functions: Mapping[str, _T], name: str, path: str) -> _T:
    """What ``functions`` has under ``name``: how a name chooses code everywhere, so that none falls through.

    Args:
        functions: name to function, or to whatever else the name stands for.
        name: the one asked for.
        path: dotted name of the setting that ``name`` comes from, for the message.

    Raises:
        SettingError: there is no such name; lists those there are.
    """
    return functions[check_choice(name, functions, path)]


class _ShortRepr(reprlib.Repr):
    """Bounded in depth and length, and of any int."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxtuple, self.maxlist, self.maxdict = 4, 16, 16, 16
        self.maxstring = self.maxother = self.maxlong = 200

    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write an int of thousands of digits."""
        return repr(x) if x.bit_length() < 256 else f"a whole number of {x.bit_length()} bits"


short_repr = _ShortRepr().repr
"""``repr`` for messages: one short line, whatever the value."""


def did_you_mean(word: Any, candidates: Iterable[Any]) -> str:
    """``"; did you mean 'x'?"`` for the nearest candidate, empty when none is near."""
    text = word if isinstance(word, str) else short_repr(word)
    near = difflib.get_close_matches(text, [str(c) for c in candidates], n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def unknown_field(section: str, name: str, fields: Iterable[str]) -> SettingError:
    """The error for a field that does not exist: the nearest real one and all of the section's fields."""
    fields = tuple(fields)
    return SettingError(
        f"{section}.{name} does not exist{did_you_mean(name, fields)}\nThe fields of {section} are: {', '.join(fields)}"
    )


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def optional(annotation: Any) -> bool:
    """Whether None is among the annotation's types."""
    return type(None) in alternatives(annotation)


def describe(kind: Any) -> str:
    """A type in the user's words."""
    words = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}
    if kind in words:
        return words[kind]
    if kind is tuple or typing.get_origin(kind) is tuple:
        return "a list such as (1, 2)"
    return f"a section ({getattr(kind, '__name__', kind)})" if dataclasses.is_dataclass(kind) else str(kind)


def _range(rule: Rule) -> str:
    above = "" if rule.low is None else f"{'above' if rule.exclusive_low else 'at least'} {rule.low}"
    below = "" if rule.high is None else f"at most {rule.high}"
    return "a value " + " and ".join(part for part in (above, below) if part) if above or below else "a finite value"


def _about(rule: Rule) -> str:
    return f" ({rule.doc})" if rule.doc else ""
