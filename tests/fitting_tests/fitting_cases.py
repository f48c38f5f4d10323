"""Curves to fit: the reference data of SPICE, and laws written out in NumPy."""

import csv
import functools
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from atis_jax.fitting.curves import Curve
from atis_jax.fitting.ota import fit_curve

DATA = Path(__file__).parents[1] / "data" / "spice"
VOLTAGE_V = np.linspace(-0.15, 0.15, 61)
BOLTZMANN, CHARGE = 1.380649e-23, 1.602176634e-19


def rows_of(name):
    with open(DATA / name) as file:
        return list(csv.DictReader(file))


def thermal_v(celsius):
    return BOLTZMANN * (celsius + 273.15) / CHARGE


@functools.cache
def reference_curves(drive="diff"):
    """The 12 curves of one way to drive the OTA: 1, 10, 100 nA at 0, 27, 60, 85 C."""
    points = {}
    for row in rows_of("ota_curves.csv"):
        if row["drive"] == drive:
            case = 1e-9 * float(row["Ib_nA"]), float(row["T_C"])
            points.setdefault(case, []).append((float(row["Vd_V"]), float(row["Iout_A"])))
    return [Curve("ota", *case, *np.array(rows).T) for case, rows in points.items()]


@functools.cache
def reference_fits(drive="diff"):
    return [fit_curve(curve, additive=drive == "se") for curve in reference_curves(drive)]


def transfer(law, x, inversion):
    """I / I_b at x = kappa V / 2U_T: the published forms. ``ekv`` by bisection for the common source of the pair."""
    if law == "linear":
        return x
    if law == "bump":
        return np.sinh(2 * x) / (2 + np.cosh(2 * x))
    if law != "ekv":
        return np.tanh(x)

    def branches(common, one):
        return np.logaddexp(0, common + one / 2) ** 2, np.logaddexp(0, common - one / 2) ** 2

    def steered(one):
        common = brentq(lambda c: sum(branches(c, one)) - inversion, -60, 60, xtol=1e-13)
        upper, lower = branches(common, one)
        return (upper - lower) / inversion

    return np.array([steered(one) for one in x])


def made_curve(
    bias_a, celsius, ratio, kappa, offset_v, additive=0.0, *, law="tanh", specific_a=1e-6, voltage_v=VOLTAGE_V
):
    """The curve of an OTA whose numbers are known."""
    effective = kappa**2 / (1 + kappa) if law == "degenerated" else kappa
    x = effective * (voltage_v - offset_v) / (2 * thermal_v(celsius))
    current_a = ratio * bias_a
    return Curve("made", bias_a, celsius, voltage_v, current_a * (transfer(law, x, current_a / specific_a) + additive))
