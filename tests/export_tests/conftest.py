"""Programs made in less time for this folder."""

import pytest
from quick_programs import quick_programs


@pytest.fixture(scope="module", autouse=True)
def _quick_programs():
    """Chips and designs are drawn by functions whose keys the tests of circuits and of scorers check."""
    with quick_programs(key_reuse=False):
        yield
