"""What the launcher says to a person: the list of configs, and mistakes in a config or an override."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_dict
from ml_collections.config_flags import tuple_parser

from atis_jax.config import TaggedSection
from atis_jax.validation import SettingError, UserError, describe, unknown_field

_PARSERS: dict[type, flags.ArgumentParser] = {
    int: flags.IntegerParser(),
    float: flags.FloatParser(),
    bool: flags.BooleanParser(),
    tuple: tuple_parser.TupleParser(),
}
_OVERRIDE = re.compile(r"--?(?P<no>no)?config\.(?P<name>[^=]+)(=(?P<value>.*))?", re.DOTALL)


def list_configs(folder: str | Path) -> list[tuple[str, str]]:
    """``(path, first line of its docstring)`` of every config in ``folder``, without running any."""
    found = []
    for path in sorted(Path(folder).glob("*.py")):
        if path.stem.startswith("_"):
            continue
        doc = ast.get_docstring(ast.parse(path.read_text())) or "(no description)"
        found.append((f"{Path(folder).name}/{path.name}", doc.splitlines()[0]))
    return found


def value_of(flag: str, argv: Sequence[str]) -> str | None:
    """What the command line gives for ``--flag``, the last where it does so twice; None for nothing."""
    given = None
    for argument, after in zip(argv, [*argv[1:], None], strict=True):
        name, equals, value = argument.partition("=")
        if name in (f"--{flag}", f"-{flag}"):
            given = value if equals else after
    return given


def paths_expanded(argv: Sequence[str], names: Sequence[str]) -> list[str]:
    """The command line with the home folder for the ``~`` of these flags, which no shell expands after a ``=``."""
    expanded = []
    for argument in argv:
        flag, equals, value = argument.partition("=")
        ours = equals and flag.lstrip("-") in names and flag.startswith("-")
        expanded.append(f"{flag}={os.path.expanduser(value)}" if ours else argument)
    return expanded


def load_config(argument: str) -> config_dict.ConfigDict:
    """The ConfigDict of ``--config=path[:variant]``.

    Raises:
        UserError: no such file, or the file fails; names the file and its line.
    """
    config = _returned(argument, "get_config")
    if not isinstance(config, config_dict.ConfigDict):
        path = argument.partition(":")[0]
        raise UserError(f"{path}: get_config() returned a {type(config).__name__}; return a ConfigDict")
    return config


def load_sweep(argument: str) -> Any:
    """What ``get_sweep()`` of ``--config=path[:variant]`` returns; it may take the variant as ``get_config`` does.

    Raises:
        UserError: the file has no sweep, or fails; names the file and its line.
    """
    return _returned(argument, "get_sweep")


def load_front(argument: str) -> Any:
    """What ``get_front()`` of ``--config=path[:variant]`` returns; None for a config without one.

    Raises:
        UserError: the file fails; names the file and its line.
    """
    return _returned(argument, "get_front", optional=True)


def _returned(argument: str, function: str, optional: bool = False) -> Any:
    """What a function of the config file returns; None for an optional one that it does not have."""
    name, _, variant = argument.partition(":")
    path = Path(name)
    if not path.is_file():
        near = [f"{p.parent.name}/{p.name}" for p in sorted(path.parent.glob("*.py"))] if path.parent.is_dir() else []
        raise UserError(
            f"--config={argument}: there is no file {path}" + (f"; there are: {', '.join(near)}" if near else "")
        )
    try:
        spec = importlib.util.spec_from_file_location("launched_config", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where dataclasses that it defines look up their annotations
        spec.loader.exec_module(module)
        if optional and not hasattr(module, function):
            return None
        if function == "get_sweep" and not hasattr(module, function):
            raise UserError(
                "has no get_sweep(), so there is nothing to sweep; add one that returns a list of overrides such as "
                "experiments.sweeps.product({'seed': [0, 1]}), or leave out --sweep"
            )
        called = getattr(module, function)
        takes_variant = bool(inspect.signature(called).parameters)
        if variant and not takes_variant and function == "get_config":
            raise UserError(f"has no variants, and {variant!r} was asked for; give --config={name}")
        return called(*([variant] if variant and takes_variant else []))
    except UserError as error:
        raise UserError(f"{_where(path, error)}: {error}") from error
    except Exception as error:
        raise UserError(f"{_where(path, error)}: {type(error).__name__}: {_bare(error)}") from error


def without(flags_given: Collection[str], argv: Sequence[str]) -> list[str]:
    """The command line without these flags and their values."""
    left, skip = [], False
    for argument, after in zip(argv, [*argv[1:], ""], strict=True):
        name, equals, _ = argument.partition("=")
        ours = argument.startswith("-") and name.lstrip("-") in flags_given
        if not (ours or skip):
            left.append(argument)
        skip = ours and not equals and not after.startswith("-")
    return left


def choose_kinds(config: config_dict.ConfigDict, argv: Sequence[str]) -> list[str]:
    """Give every tagged section the kind that the command line asks for, before any of its fields is set.

    Args:
        config: changed in place: the section then has the fields of that kind, at their defaults.
        argv: the command line, whose overrides ``--config.a.kind=value`` count, wherever they stand.

    Returns:
        The command line without them.

    Raises:
        SettingError: there is no such kind, or code of one's own that it names cannot be imported.
    """
    chosen = {name: value for name, value in overrides(argv) if value is not None and is_kind(config, name)}
    set_kinds(config, chosen)
    return without({f"config.{name}" for name in chosen}, argv)


def set_kinds(config: config_dict.ConfigDict, overrides: Mapping[str, Any]) -> None:
    """Set the kinds of tagged sections among some overrides, by dotted field."""
    for name, value in overrides.items():
        if is_kind(config, name):
            config[name.partition(".")[0]].kind = value


def is_kind(config: config_dict.ConfigDict, name: str) -> bool:
    """Whether a dotted field is the kind of a tagged section."""
    section, _, field = name.partition(".")
    return field == "kind" and isinstance(config.get(section), TaggedSection)


def check_overrides(config: config_dict.ConfigDict, argv: Sequence[str]) -> None:
    """Refuse an override ``--config.a.b=value`` that names no field or gives it the wrong type.

    Raises:
        SettingError: names the field, the value, and the nearest field or the type wanted.
    """
    for name, value in overrides(argv):
        holder: Any = config
        parts = name.split(".")
        for depth, part in enumerate(parts):
            section = ".".join(["config", *parts[:depth]])
            if not isinstance(holder, config_dict.ConfigDict):
                raise SettingError(f"config.{name} does not exist: {section} is a value, not a section")
            if part not in holder:
                raise unknown_field(section, part, list(holder))
            kind = holder.get_type(part)
            holder = holder[part]
        if isinstance(holder, config_dict.ConfigDict):
            raise SettingError(
                f"config.{name} is a section; set its fields one by one, as in --config.{name}.{next(iter(holder))}=..."
            )
        if kind in _PARSERS and value is not None:
            try:
                _PARSERS[kind].parse(value)
            except (ValueError, TypeError):
                raise SettingError(
                    f"config.{name} = {value!r} is not {describe(kind)}; the default is {holder!r}"
                ) from None


def overrides(argv: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Name and text of each override; the text is None for a bare flag such as ``--noconfig.shuffle``."""
    for i, argument in enumerate(argv):
        match = _OVERRIDE.fullmatch(argument)
        if match is None:
            continue
        value = match["value"]
        if value is None and not match["no"] and i + 1 < len(argv) and not argv[i + 1].startswith("--"):
            value = argv[i + 1]
        yield match["name"], value


def _where(path: Path, error: BaseException) -> str:
    """``file, line n`` of the last frame inside the config file."""
    if isinstance(error, SyntaxError):
        return f"{path}, line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f"{path}, line {lines[-1]}" if lines else str(path)


def _bare(error: BaseException) -> str:
    """The message without the quotes and escapes that KeyError, and AttributeError around one, add."""
    message: Any = error
    while isinstance(message, BaseException) and len(message.args) == 1:
        message = message.args[0]
    return str(message).replace("\n", " ")


def run_name(argument: str) -> str:
    """Name of the run folder for ``--config=argument``: ``configs/a.py:b=1`` gives ``a-b-1``."""
    name, _, variant = argument.partition(":")
    stem = Path(name).stem
    return f"{stem}-{re.sub(r'[^A-Za-z0-9._]+', '-', variant).strip('-')}" if variant else stem
