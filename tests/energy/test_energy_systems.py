"""The rows of Table 1 against their arithmetic by hand."""

from __future__ import annotations

import pytest

from atis_jax.energy.attention.systems import SYSTEMS, TOKENS, exact

MODELS = {system.claim.system.split()[0]: system for system in SYSTEMS}


def test_a_layer_is_what_its_products_and_maps_are():
    """At 0.3 pJ: 2 x 512 x 1,024 of the products, 4 x 512^2 of the maps and 2 x 512 x 2,048 of the MLP a token."""
    found = exact()
    assert found.products_j == pytest.approx(2 * 512 * 1024 * 0.3e-12, rel=1e-6)
    # norm: 512 x (2 multiplications at 1.1 pJ, 3 additions at 0.9 pJ)
    rest = (4 * 512**2 + 2 * 512 * 2048) * 0.3e-12 + 512 * (2 * 1.1e-12 + 3 * 0.9e-12)
    assert found.rest_j == pytest.approx(rest, rel=1e-5)


def test_circuits_by_hand():
    charge, gain, crossbar = (MODELS[name].model() for name in ("Moradifirouzabadi", "Sebastian", "Wang"))
    array_j = 1024 * 512 * 2e-12 / 14.8  # 8.65 pJ a score, 1,024 keys, 8 heads
    assert array_j < charge.circuit_j < 1.03 * array_j
    assert charge.products_j == pytest.approx(exact().products_j / 4, rel=1e-6)
    assert (gain.circuit_j, gain.products_j) == (pytest.approx(8 * 6.15e-9), 0.0)
    assert crossbar.products_j == 0.0 and crossbar.pairs is None
    assert MODELS["Wang"].wear.lifetime_s(1e6, TOKENS) == pytest.approx((10.24, 102_400.0))


def test_atis_is_the_ledger_with_fewer_tokens():
    found, whole = MODELS["ATIS"].model(), exact()
    assert found.products_j == pytest.approx(0.3**2 * whole.products_j, rel=1e-6)
    scored = 512 * (2 * 1.1e-12 + 3 * 0.9e-12)  # every token is normalised for its score
    assert found.rest_j == pytest.approx(0.3 * (whole.rest_j - scored) + scored, rel=1e-3)
    # The projection to 64 outweighs the analog part, as elsewhere: 512 x 64 int8 multiply-accumulates.
    assert found.circuit_j > 512 * 64 * 0.3e-12 > 20 * (found.circuit_j - 512 * 64 * 0.3e-12)


def test_every_row_of_the_papers_table_is_there():
    printed = [system.claim.system for system in SYSTEMS]
    assert printed == ["Moradifirouzabadi [6]", "HARDSEA [17]", "Sebastian [13]", "Wang [11]", "ATIS (ours)"]
