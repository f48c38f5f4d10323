"""Tables of the hardware presets: values from the presets themselves, sources from the comments beside them.

The comment on a value's line in ``atis_jax/circuits/presets.py`` is its source, so that there is one place to change.
"""

from __future__ import annotations

import ast
import io
import math
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from atis_jax.circuits import presets
from atis_jax.circuits.hardware import Hardware, field, flatten_hardware
from atis_jax.report.formatting import si

COMPLETE = "nominal"
"""The preset shown whole; of the others, what differs from it."""

SYSTEMATIC = "ota.systematic"

_TAGS = {"V": "SPICE or chips", "D": "derived", "P": "paper", "R": "recalled", "C": "chosen"}
_UNITS = {"v": "V", "a": "A", "f": "F", "k": "K", "hz": "Hz"}
_RATES = {"per_k": "/K", "per_decade": "/decade"}


def sources(name: str) -> dict[str, str]:
    """Dotted field -> comment on its line, for what the function of preset ``name`` sets, or the one it starts from."""
    text = Path(presets.__file__).read_text(encoding="utf-8")
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    }
    body = _function(name).body[-1]
    assert isinstance(body, ast.Return)
    found = {path: comments.get(line, "") for path, line in _settings(body.value, "")}
    assert isinstance(body.value, ast.Call)
    bases = [
        one.func.id for one in body.value.args if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)
    ]  # with_fields(_base(), {...})
    return {**(sources(bases[0].removeprefix("_")) if bases else {}), **found}


def _function(name: str) -> ast.FunctionDef:
    """The definition of preset ``name``."""
    body = ast.parse(Path(presets.__file__).read_text(encoding="utf-8")).body
    return next(node for node in body if isinstance(node, ast.FunctionDef) and node.name == f"_{name}")


def _settings(node: ast.AST | None, prefix: str) -> Iterator[tuple[str, int]]:
    """(dotted field, line) of every value in ``Hardware(dac=DacSpec(...), ...)`` or ``with_fields(x, {...})``."""
    assert isinstance(node, ast.Call)
    for keyword in node.keywords:
        nested = isinstance(keyword.value, ast.Call) and bool(keyword.value.keywords)
        if nested:
            yield from _settings(keyword.value, f"{prefix}{keyword.arg}.")
        else:
            yield f"{prefix}{keyword.arg}", keyword.value.end_lineno or keyword.value.lineno
    for argument in node.args:
        if isinstance(argument, ast.Dict):
            for key, value in zip(argument.keys, argument.values, strict=True):
                assert isinstance(key, ast.Constant)
                yield str(key.value), value.end_lineno or value.lineno


def complete_markdown() -> str:
    """Every value of ``nominal``."""
    return _table(
        get(COMPLETE), [path for path in flatten_hardware(get(COMPLETE)) if path != "name"], sources(COMPLETE)
    )


def differences_markdown() -> str:
    """For every other preset, the values it does not share with ``nominal``."""
    parts = []
    for name in presets.PRESETS:
        if name == COMPLETE:
            continue
        changed = changed_fields(name)
        doc = (ast.get_docstring(_function(name)) or "").splitlines()[0]
        parts.append(f"### `{name}`\n\n{doc}\n\n" + _table(get(name), changed, sources(name)))
    return "\n\n".join(parts)


def changed_fields(name: str) -> list[str]:
    """Dotted fields in which a preset differs from the complete one; systematic terms are one field."""
    own, common = get(name), get(COMPLETE)
    paths = dict.fromkeys(
        SYSTEMATIC if path.startswith(f"{SYSTEMATIC}.") else path for path in flatten_hardware(own) if path != "name"
    )
    return [path for path in paths if field(own, path) != field(common, path)]


def get(name: str) -> Hardware:
    """The preset."""
    return presets.get_preset(name)


def _table(hardware: Hardware, paths: list[str], said: dict[str, str]) -> str:
    rows = ["| field | value | evidence | source |", "|---|---|---|---|"]
    for path in paths:
        tag, source = split_source(said.get(path, ""))
        rows.append(f"| `{path}` | {shown(field(hardware, path), path)} | {tag} | {source} |")
    return "\n".join(rows)


def split_source(comment: str) -> tuple[str, str]:
    """Evidence in a word, and the rest: ``V: sky130 at 10 nA`` gives measured, sky130 at 10 nA."""
    head, _, rest = comment.partition(":")
    letter, _, section = head.partition(" ")
    if letter in _TAGS and (rest or not section):
        return _TAGS[letter], f"{'section ' + section + ': ' if section else ''}{rest.strip()}"
    if comment.startswith("P ") and not rest:
        return _TAGS["P"], f"section {section}"
    return "", comment


def shown(value: Any, path: str) -> str:
    """A value with its unit, in a few digits."""
    if path == SYSTEMATIC:
        return "none" if value is None else "polynomials"
    if value is None:
        return {"trim_bits": "none", "used_bits": "all"}.get(path.rsplit(".", 1)[-1], "none (continuous)")
    if isinstance(value, (str, int)):
        return str(value)
    if math.isinf(value):
        return "infinite"
    name, rate = path.rsplit(".", 1)[-1], ""
    for ending, text in _RATES.items():
        if name.endswith(f"_{ending}"):
            name, rate = name.removesuffix(f"_{ending}"), text
    unit = _UNITS.get(name.rsplit("_", 1)[-1], "")
    if not unit or unit == "K":
        return f"{value:.5g} {unit}{rate}".strip() if unit or not rate else f"{value:.5g} {rate.replace('/', 'per ')}"
    return si(value, unit + rate)


TABLES: dict[str, Callable[[], str]] = {"nominal": complete_markdown, "differences": differences_markdown}
