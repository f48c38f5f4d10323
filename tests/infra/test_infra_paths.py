"""Every setting that is a path takes ``~`` for the user's home."""

from __future__ import annotations

import dataclasses
import typing

from atis_jax.validation import Rule, alternatives, annotations_of, check_value, rule_of
from experiments.docs_tables import section_of, settings_classes

TEXTS = {"kind", "name", "words", "maps", "calibrations"}
"""Free texts that are no paths."""


def texts() -> list[tuple[str, typing.Any, Rule]]:
    """Name, type and rule of every setting that holds any text at all."""
    found = []
    for cls in sorted(settings_classes(), key=lambda one: one.__name__):
        hints = annotations_of(cls)
        for field in dataclasses.fields(cls):
            kinds = {part for kind in alternatives(hints[field.name]) for part in (kind, *typing.get_args(kind))}
            if section_of(field) is None and str in kinds and rule_of(field).choices is None:
                found.append((f"{cls.__name__}.{field.name}", hints[field.name], rule_of(field)))
    return found


def test_every_setting_that_is_a_path_expands_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    given, wanted = "~/runs/quickstart", "/somewhere/runs/quickstart"
    paths = []
    for name, annotation, rule in texts():
        if name.split(".")[1] in TEXTS and name != "WindowsSpec.name":  # a data set's, or the file of a text
            assert not rule.path, name
            continue
        several = any(typing.get_origin(kind) is tuple for kind in alternatives(annotation))
        found = check_value((given,) if several else given, annotation, rule, name)
        assert found == ((wanted,) if several else wanted), f"{name}: is it a path? then setting(..., path=True)"
        paths.append(name)
    known = {"CodesignSettings.start_from", "ImagesSpec.data_dir", "HardwareSpec.preset", "FitSettings.curves"}
    assert known <= set(paths) and len(paths) >= 12
