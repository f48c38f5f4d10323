"""docs/own_model.md: every line of Python in it runs, from top to bottom, and prints what it is there to show."""

import contextlib
import importlib.util
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from atis_jax.fitting.curves import Curve, curves_csv
from atis_jax.scoring.registry import METHODS

PAGE = (Path(__file__).parents[1] / "docs" / "own_model.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:<!-- (?P<mark>\w+) (?P<name>\S+) -->\n)?```python\n(?P<code>.*?)```", re.S)
MODULE = "my_scorers"
MOST_LINES = 20
OFFSET_V = 4e-3
SHOWN = {
    "A scorer in your own transformer": r"[3-6]\d% kept at 70 C; masked and removed differ by \de-0[678]\n",
    "Gradients to prototype and threshold": r"to the prototype 0?\.\d+.* to the threshold \[-?\d.*\]\n",
    "64 chips at three temperatures": r"vmap: .* ms, kept \[0\.\d.*\]\nlax\.map: .* ms, kept \[0\.\d.*\]\n",
    "Your own scorer in our networks": r"",
    "Joules of a config": r"(\S+: \d+ of \d+ nJ, scoring \d+\.\d\n){2}",
    "From a laboratory's curves to a yield": r"offsets of 4\.0 mV\n\d+% of chips \(\d+% to \d+%\) decide 90 % alike\n",
    "A pretrained network": r"(\[CLS\].*\[SEP\]\n){3}",
}
"""What the code below each heading prints."""


def parts():
    """(heading, marks, code) of every block."""
    for section in PAGE.split("\n## ")[1:]:
        heading = section.partition("\n")[0]
        yield from ((heading, (found["mark"], found["name"]), found["code"]) for found in BLOCK.finditer(section))


class Reader:
    """Someone who types the page in: what was defined above stays defined."""

    def __init__(self, folder):
        self.folder, self.names, self.left, self.printed = folder, {"__name__": "own_model"}, list(parts()), {}

    def read(self, heading):
        """What the code below ``heading`` prints; all above it runs first."""
        while heading not in self.printed or (self.left and self.left[0][0] == heading):
            at, (mark, name), code = self.left.pop(0)
            if mark == "needs" and importlib.util.find_spec(name) is None:
                pytest.skip(f"{name} is not installed (requirements/pretrained.txt)")
            out = io.StringIO()
            if mark == "file":
                (self.folder / name).write_text(code)
            else:
                with contextlib.chdir(self.folder), contextlib.redirect_stdout(out):
                    exec(compile(code, "own_model.md", "exec"), self.names)
            self.printed[at] = self.printed.get(at, "") + out.getvalue()
        return self.printed[heading]


def laboratory():
    """Transfer curves of eight OTAs that differ in their offsets alone."""
    volts = np.linspace(-0.15, 0.15, 11)
    drawn = np.random.default_rng(0).standard_normal(8)
    offsets_v = OFFSET_V * drawn / np.std(drawn, ddof=1)
    thermal_v = 1.380649e-23 * 300.15 / 1.602176634e-19
    for number, offset_v in enumerate(offsets_v):
        yield Curve(f"ota{number}", 1e-8, 27.0, volts, 1e-8 * np.tanh(0.7 * (volts - offset_v) / (2 * thermal_v)))


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own_model")
    (folder / "lab.csv").write_text(curves_csv(laboratory()))
    sys.path.insert(0, str(folder))
    yield Reader(folder)
    sys.path.remove(str(folder))
    sys.modules.pop(MODULE, None)
    METHODS.pop(f"{MODULE}:Length", None)


def test_every_block_is_below_a_heading_that_is_looked_at():
    assert list(dict.fromkeys(heading for heading, _, _ in parts())) == list(SHOWN)
    assert len(list(parts())) == PAGE.count("```python")


@pytest.mark.parametrize("heading", SHOWN)
def test_a_piece_is_short(heading):
    for at, _, code in parts():
        lines = [line for line in code.splitlines() if line.strip() and not line.startswith(("import", "from"))]
        assert at != heading or len(lines) <= MOST_LINES


@pytest.mark.slow
@pytest.mark.parametrize("heading", SHOWN)
def test_a_piece_runs_and_shows_what_it_says(reader, heading):
    assert re.fullmatch(SHOWN[heading], reader.read(heading))
