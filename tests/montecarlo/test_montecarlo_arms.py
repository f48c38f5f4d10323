"""Which runs can be measured together."""

from __future__ import annotations

import pytest

from atis_jax.validation import SettingError
from experiments.montecarlo import arms


def test_two_runs_of_one_name_are_refused_before_any_is_read(tmp_path):
    given = [str(tmp_path / place / "run") for place in ("here", "there")]
    with pytest.raises(SettingError, match=r"two folders of one name \(run, run\).*rename one"):
        arms.load_runs(given)
