"""Programs of these tests are compiled quickly: what they count and compare does not depend on the speed of code."""

import pytest
from tiny_run import optimised


@pytest.fixture(scope="module", autouse=True)
def _quick_to_compile():
    with optimised(False):
        yield
