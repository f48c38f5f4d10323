"""Programs made in less time for this folder."""

import pytest
from quick_programs import quick_programs

DRAWING = ("test_circuits_chip", "test_circuits_statistics", "test_circuits_imperfections")


@pytest.fixture(scope="module", autouse=True)
def _quick_programs(request):
    """Chips are drawn by one function, whose keys are checked where it is tested."""
    with quick_programs(key_reuse=request.module.__name__ in DRAWING):
        yield
