"""BLIF as the RASP tools read it: a ``.subckt`` line a block, programming targets behind ``#``.

Our own writing from the published format (George et al., TVLSI 24(6), 2016; the tools' files as users see them).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from atis_jax.export.errors import ExportError
from atis_jax.export.parsed import number as number_in

LOWEST_A, HIGHEST_A = 1e-9, 10e-6
"""Targets that the tools handle directly; outside, they rescale codes by 30."""
_SUBCIRCUIT = re.compile(r"^\.subckt (\S+) (.*?)(?: #(.*))?$")
_PORTS = {"ota": (2, 1), "fgota": (2, 1)}
_PARAMETERS = {"ota": ("ota_bias",), "fgota": ("fgota_bias", "fgota_p_bias", "fgota_n_bias")}


def block_lines(kind: str, ins: Sequence[str], out: str, parameters: Mapping[str, float], words: str) -> list[str]:
    """A comment, one block, an empty line.

    Args:
        kind: ``ota`` or ``fgota``.
        ins: its input nets, the positive one first.
        out: its output net, which no other block may drive.
        parameters: programming targets, A.
        words: the comment.
    """
    ports = " ".join([*(f"in[{n}]={net}" for n, net in enumerate(ins)), f"out[0]={out}"])
    told = "&".join(f"{name} ={value:.6e}" for name, value in parameters.items())
    return [f"# {words}", f".subckt {kind} {ports} #{told}", ""]


def parse_blif(text: str) -> list[tuple[str, tuple[str, ...], str, dict[str, float]]]:
    """(block, input nets, output net, parameters) of each ``.subckt`` line, by the rules of the tools' parser.

    Raises:
        ExportError: an unknown block, ports out of order, an output net that two blocks drive, a parameter that is
            missing, misspelt or out of 1 nA to 10 uA, or a net that nothing drives; names the line.
    """
    declared: set[str] = {"gnd", "vcc"}
    blocks: list[tuple[str, tuple[str, ...], str, dict[str, float]]] = []
    lines = text.splitlines()
    if not lines or not lines[0].startswith(".model ") or lines[-1] != ".end":
        raise ExportError("the BLIF must start with .model and end with .end; it was cut off: export it anew")
    driven: set[str] = set()
    for number, line in enumerate(lines, 1):
        if line.startswith(".inputs "):
            declared.update(line.split()[1:])
        if not line.startswith(".subckt"):
            continue
        where = f"BLIF line {number}"
        match = _SUBCIRCUIT.match(line)
        if match is None or match[1] not in _PORTS:
            raise ExportError(f"{where}: {line!r} is no block of {', '.join(_PORTS)}")
        kind, ports = match[1], [port.partition("=")[::2] for port in match[2].split()]
        ins, outs = _PORTS[kind]
        if [name for name, _ in ports] != [*(f"in[{n}]" for n in range(ins)), *(f"out[{n}]" for n in range(outs))]:
            raise ExportError(f"{where}: ports of {kind} must be in[0..{ins - 1}] then out[0], in this order")
        out = ports[-1][1]
        if out in driven or out in declared:
            raise ExportError(f"{where}: the net {out!r} is driven twice; every output net is named once")
        driven.add(out)
        blocks.append((kind, tuple(net for _, net in ports[:-1]), out, _parameters(kind, match[3] or "", where)))
    for kind, ins_of, out, _ in blocks:
        for net in ins_of:
            if net not in driven | declared:
                raise ExportError(f"BLIF: nothing drives the net {net!r} at an input of the {kind} of {out!r}")
    return blocks


def _parameters(kind: str, text: str, where: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for pair in text.split("&"):
        match = re.fullmatch(r"(\w+) =(\S+)", pair)
        if match is None:
            raise ExportError(f"{where}: parameter {pair!r} must be written 'name =value'")
        found[match[1]] = number_in(match[2], f"{where}: {match[1]}")
    if tuple(found) != _PARAMETERS[kind]:
        raise ExportError(
            f"{where}: {kind} has the parameters {', '.join(_PARAMETERS[kind])}, found {', '.join(found)}"
        )
    for name, value in found.items():
        if not LOWEST_A * (1 - 1e-6) <= value <= HIGHEST_A * (1 + 1e-6):
            raise ExportError(f"{where}: {name} = {value:g} A is outside {LOWEST_A:g} to {HIGHEST_A:g} A")
    return found
