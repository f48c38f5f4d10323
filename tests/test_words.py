"""What a floor may know: names of networks, of kinds and of images stay where they belong."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = [*sorted((ROOT / "atis_jax").rglob("*.py")), *sorted((ROOT / "experiments").rglob("*.py"))]


def named(pattern: str, allowed: tuple[str, ...]) -> list[str]:
    """Lines of code, comments and docstrings that match, outside of the files and folders allowed."""
    found = []
    for path in CODE:
        name = str(path.relative_to(ROOT))
        if not name.startswith(allowed):
            lines = path.read_text(encoding="utf-8").splitlines()
            found += [f"{name}:{i}: {line.strip()}" for i, line in enumerate(lines, 1) if re.search(pattern, line)]
    return found


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        pytest.param(r"\bVisionTransformer\b", ("atis_jax/models/",), id="a network by name"),
        pytest.param(r"\.kind [!=]= ", ("atis_jax/scoring/registry.py",), id="a kind asked for"),
    ],
)
def test_a_name_stays_where_it_belongs(pattern, allowed):
    assert not named(pattern, allowed)
