"""What a floor may know: names of networks, of kinds and of images stay where they belong; names are nouns."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = [*sorted((ROOT / "atis_jax").rglob("*.py")), *sorted((ROOT / "experiments").rglob("*.py"))]
OF_IMAGES = (
    "atis_jax/data/augment.py",
    "atis_jax/data/canvas.py",
    "atis_jax/data/checks.py",
    "atis_jax/data/cluttered_digits.py",
    "atis_jax/data/images.py",
    "atis_jax/data/registry.py",  # a kind of data
    "atis_jax/models/saliency.py",
    "atis_jax/models/vit.py",
    "atis_jax/models/weights/vit.py",
    "atis_jax/report/wording.py",  # what a data set's examples are called
    "experiments/codesign_report/contents.py",  # an array of older runs
    "experiments/codesign_report/patches.py",
    "experiments/codesign_report/strip.py",
    "experiments/drift/",  # brightness, contrast and noise of images
    "experiments/montecarlo/inputs.py",  # further cluttered digits
    "experiments/saliency/",  # maps of images
)
PARTICIPLES = "_*(held|carried|marked|ready|described|sealed|placed|ranked|recorded)(_[av])?"
"""Names of things that say what was done to them, and not what they are."""


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
        pytest.param(r"(?i)\bimages?\b", OF_IMAGES, id="a kind of data"),
        pytest.param(rf"(?i)\b(def|class) {PARTICIPLES}\b", (), id="a participle that is defined"),
        pytest.param(rf"^\s*{PARTICIPLES}(, \w+)*(: [A-Z][^=]*)? = ", (), id="a participle that is set"),
    ],
)
def test_a_name_stays_where_it_belongs(pattern, allowed):
    assert not named(pattern, allowed)
