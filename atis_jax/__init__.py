"""ATIS: differentiable co-design of analog token pruning and transformers in JAX.

``load(folder)`` reads a finished run, which then scores examples (``run.score``), is evaluated (``run.evaluate``) and
says what an example costs (``run.energy``). ``register(kind, method)`` makes a scorer of one's own known. For networks
of one's own: ``scorer(hardware, kind)`` scores in front of one layer of any network, ``fit_preset(curves)`` makes
hardware of measured curves, ``text_encoder(where)`` and ``language_model(where)`` read a published network.
"""

import importlib
from typing import TYPE_CHECKING, Any

from atis_jax.xla_flag import configure_xla

if TYPE_CHECKING:
    from atis_jax.fitting.preset import fit_preset
    from atis_jax.models.pretrained import language_model, text_encoder
    from atis_jax.run import load
    from atis_jax.scoring.layer import scorer
    from atis_jax.scoring.registry import register

__all__ = ["fit_preset", "language_model", "load", "register", "scorer", "text_encoder"]
__version__ = "0.1.0"

configure_xla()

_AT = {
    "fit_preset": "atis_jax.fitting.preset",
    "language_model": "atis_jax.models.pretrained",
    "load": "atis_jax.run",
    "register": "atis_jax.scoring.registry",
    "scorer": "atis_jax.scoring.layer",
    "text_encoder": "atis_jax.models.pretrained",
}
"""Where each is; imported when it is asked for, since most users want one layer alone."""


def __getattr__(name: str) -> Any:
    if name not in _AT:
        raise AttributeError(f"module 'atis_jax' has no attribute {name!r}; it offers {', '.join(_AT)}")
    return getattr(importlib.import_module(_AT[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_AT])
