"""The generated parts of README.md and docs/: results, settings, hardware presets, energy constants, verdicts.

    python -m experiments.docs_tables

rewrites what stands between ``<!-- NAME table -->`` and ``<!-- end -->``. A test compares the pages with the code.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from atis_jax.energy import presets as energy
from atis_jax.validation import Rule, UserError, alternatives, annotations_of, rule_of
from experiments import area, arguments, hardware_table, registry, repeats, table1
from experiments.energy import decoding, verdict_table
from experiments.energy.paper import paper_markdown
from experiments.energy.phase3 import phase3_markdown

ROOT = Path(__file__).parents[1]
END = "<!-- end -->"


def settings_markdown() -> str:
    """Every field that a config may set, experiment by experiment; a section that several share is told once."""
    names: dict[type, list[str]] = {}
    for name, experiment in registry.EXPERIMENTS.items():
        names.setdefault(registry.load(experiment)[0], []).append(name)
    parts: list[str] = []
    told: dict[type, tuple[type, str]] = {}
    for cls, of in names.items():
        wanted = f"`from {cls.__module__} import {cls.__name__}`"
        parts += [f"### {' and '.join(of)}", f"{_first_line(cls)}\n{wanted}", "#### config"]
        parts.append(_fields_table(cls, [field for field in dataclasses.fields(cls) if not section_of(field)]))
        for field in dataclasses.fields(cls):
            section = section_of(field)
            if section is None:
                continue
            parts.append(f"#### config.{field.name}")
            lines = [_first_line(section)]
            if section in told:
                owner, name = told[section]
                lines = [f"The same fields as `config.{name}`" + ("." if owner is cls else f" of {names[owner][0]}.")]
            if others := _other_defaults(field, section):
                lines.append(f"Defaults here: {others}.")
            parts.append("\n".join(line for line in (*lines, rule_of(field).doc) if line))
            if section not in told:
                told[section] = cls, field.name
                parts.append(_fields_table(section, dataclasses.fields(section)))
                parts += _other_kinds(field, section)
    return "\n\n".join(parts).replace("``", "`")


def _other_kinds(field: dataclasses.Field, section: type) -> list[str]:
    """A tagged section's kinds beside that of its default."""
    parts: list[str] = []
    for other in sections_of(field):
        if other is section:
            continue
        rows = [one for one in dataclasses.fields(other) if one.name != "kind"]
        names = " or ".join(f"`{kind}`" for kind in kinds_of(field, other))
        parts += [f"#### config.{field.name} of kind {names}", _first_line(other)]
        parts += [_fields_table(other, rows)] if rows else []
    return parts


def kinds_of(field: dataclasses.Field, section: type) -> list[str]:
    """The kinds of a tagged section whose fields are those of ``section``."""
    kinds = rule_of(field).kinds
    return [] if kinds is None else [kind for kind, one in kinds.sections.items() if one is section]


def sections_of(field: dataclasses.Field) -> list[type]:
    """The dataclasses that a section may be, that of its default first; none for a plain field."""
    section, kinds = section_of(field), rule_of(field).kinds
    others = () if kinds is None else kinds.sections.values()
    return [] if section is None else list(dict.fromkeys((section, *others)))


def settings_classes() -> set[type]:
    """Every class that ``settings_markdown`` has a table of."""
    found = {registry.load(experiment)[0] for experiment in registry.EXPERIMENTS.values()}
    return found | {section for cls in found for field in dataclasses.fields(cls) for section in sections_of(field)}


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]


def section_of(field: dataclasses.Field) -> type | None:
    """The dataclass of a section, None for a plain field."""
    default: Any = field.default_factory if field.default is dataclasses.MISSING else field.default
    cls = default if isinstance(default, type) else type(default)
    return cls if dataclasses.is_dataclass(cls) else None


def _other_defaults(field: dataclasses.Field, section: type) -> str:
    """What a section holds here that is not its class's own default."""
    if field.default is dataclasses.MISSING:
        return ""
    here = {one.name: getattr(field.default, one.name) for one in dataclasses.fields(section)}
    return ", ".join(
        f"`{one.name}` is `{here[one.name]!r}`"
        for one in dataclasses.fields(section)
        if here[one.name] != getattr(section(), one.name)
    )


def _fields_table(cls: type, fields: Any) -> str:
    """A row a field."""
    hints = annotations_of(cls)
    rows = ["| field | default | may be | meaning |", "|---|---|---|---|"]
    for field in fields:
        rule = rule_of(field)
        meaning = rule.doc + ("" if rule.affects_result else " (may differ when a run goes on)")
        rows.append(f"| `{field.name}` | `{field.default!r}` | {_allowed(hints[field.name], rule)} | {meaning} |")
    return "\n".join(rows)


def _allowed(annotation: Any, rule: Rule) -> str:
    """Type and range in words."""
    words = {int: "whole number", float: "number", bool: "True, False", str: "text"}
    kinds = [kind for kind in alternatives(annotation) if kind is not type(None)]
    kind = kinds[0]
    several = getattr(kind, "__origin__", kind) is tuple
    if several:
        kind = kind.__args__[0]
    text = ", ".join(f"`{choice}`" for choice in rule.choices) if rule.choices else words[kind]
    if rule.low is not None:
        text += f", {'above' if rule.exclusive_low else 'from'} {_number(rule.low)}"
    if rule.high is not None:
        text += f", to {_number(rule.high)}"
    if several:
        count = f"tuple of {rule.least} or more: " if rule.least else "tuple of: "
        text = count + text + (", ascending" if rule.ascending else ", each once" if rule.distinct else "")
    return text + (", or None" if len(kinds) < len(alternatives(annotation)) else "")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"results": repeats.sentence},
    "docs/results.md": {"repeats": repeats.table},
    "docs/configuration.md": {"settings": settings_markdown},
    "docs/hardware.md": hardware_table.TABLES,
    "docs/energy.md": {
        "constants": energy.constants_table_markdown,
        "presets": energy.presets_table_markdown,
        "paper": paper_markdown,
        "winners": verdict_table.winners_markdown,
        "certainty": verdict_table.certainty_markdown,
        "phase 3": phase3_markdown,
        "area": area.area_markdown,
    },
    "docs/kv_energy.md": decoding.TABLES,
    "docs/table1.md": table1.TABLES,
}


def current(page: str, tables: dict[str, Callable[[], str]], name: str) -> str:
    """``page`` with its tables made anew.

    Raises:
        UserError: a marker is missing.
    """
    for table, make in tables.items():
        begin = f"<!-- {table} table -->\n"
        before, found, rest = page.partition(begin)
        _, ended, after = rest.partition(END)
        if not found or not ended:
            raise UserError(f"{name} has no '{begin.strip()}' followed by '{END}'; put both where it belongs")
        page = f"{before}{begin}{make()}\n{END}{after}"
    return page


def main(given: Sequence[str] = ()) -> int:
    """Refresh every page."""
    arguments.parser("experiments.docs_tables", __doc__).parse_args(given)
    for name, tables in TABLES.items():
        path = ROOT / name
        old = path.read_text(encoding="utf-8")
        new = current(old, tables, name)
        if new != old:
            path.write_text(new, encoding="utf-8")
        print(f"{name}: {'rewritten' if new != old else 'current'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
