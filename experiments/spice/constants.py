"""The systematic terms of a fitted preset as the Python constant that our own sky130 presets hold.

    python -m experiments.spice.constants runs/fit/hardware.json > atis_jax/circuits/sky130.py

Reads the file that configs/fit.py wrote; prints every polynomial with six digits, and the fields that go with it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

from atis_jax.circuits.hardware import Hardware
from atis_jax.fitting.preset_file import read_preset
from atis_jax.validation import UserError
from experiments import arguments

_HEAD = '''"""What the sky130 OTA of ``cells`` does beside its law: typical corner, 0.3-100 nA, 0-85 C, 1.62-1.98 V.

V: ngspice 39. Written by

    python launch.py --config=configs/fit.py --config.devices=0
    python -m experiments.spice.constants runs/fit/hardware.json > atis_jax/circuits/sky130.py

together with {fields}.
"""

from atis_jax.circuits.systematic import Systematic
'''


def constants_text(hardware: Hardware) -> str:
    """The module's text.

    Raises:
        UserError: the hardware has no systematic terms.
    """
    systematic = hardware.ota.systematic
    if systematic is None:
        raise UserError(f"hardware {hardware.name!r} has no systematic terms; give the file that configs/fit.py wrote")
    ota, thermal = hardware.ota, hardware.thermal
    stated = {
        "ota.kappa": ota.kappa,
        "ota.kappa_per_k": ota.kappa_per_k,
        "ota.kappa_per_decade": ota.kappa_per_decade,
        "thermal.current_per_k": thermal.current_per_k,
    }
    lines = [_HEAD.format(fields=",\n".join(f"``{path}`` {value:.6g}" for path, value in stated.items()))]
    lines.append("SKY130_OTA = Systematic(")
    for entry in dataclasses.fields(systematic):
        rows = getattr(systematic, entry.name)
        if rows:
            lines.append(f"    {entry.name}=(")
            lines += [f"        {tuple(float(f'{one:.5e}') for one in row)!r}," for row in rows]
            lines.append("    ),")
    return "\n".join([*lines, ")", ""])


def main(given: Sequence[str]) -> int:
    """Print the constants of one file."""
    parser = arguments.parser("experiments.spice.constants", __doc__)
    parser.add_argument("preset", metavar="FILE", help="such as runs/fit/hardware.json")
    print(constants_text(read_preset(parser.parse_args(given).preset)), end="")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
