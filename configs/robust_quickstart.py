"""What drawing chips in training is worth: the quickstart's co-design `:plain`, `:robust` or `:cvar`, one network.

    python launch.py --config=configs/quickstart.py
    python launch.py --config=configs/robust_quickstart.py:cvar

`plain` trains on the perfect chip at 27 C without read noise, `robust` is the quickstart's own recipe (four new chips
a step, each at its temperature between 0 and 70 C), `cvar` draws eight and learns from the worst two. All start from
the dense network of `runs/quickstart`, train no controls, and are measured on the same 64 chips at 0, 27 and 70 C.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.validation import check_choice
from configs import quickstart

VARIANTS = ("plain", "robust", "cvar")


def get_config(variant: str = "robust") -> ConfigDict:
    """The quickstart with one of ``VARIANTS`` as its co-design."""
    check_choice(variant, VARIANTS, "the part after robust_quickstart.py:")
    config = quickstart.get_config()
    config.start_from = "runs/quickstart"
    config.compare = ()
    if variant == "plain":
        config.codesign.fresh_chip = False
        config.codesign.temperature_c = (27.0, 27.0)
        config.codesign.chips_per_step = 1
        config.codesign.read_noise = False
    elif variant == "cvar":
        config.codesign.objective = "cvar"
        config.codesign.cvar_fraction = 0.25
        config.codesign.chips_per_step = 8
    return config
