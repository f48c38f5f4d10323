"""Programs made in less time for this folder."""

import pytest
from quick_programs import quick_programs


@pytest.fixture(scope="module", autouse=True)
def _quick_programs():
    """Nothing here draws at random."""
    with quick_programs(key_reuse=False):
        yield
