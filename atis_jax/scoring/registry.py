"""Methods by name; one that is not of this package by ``package.module:Class``."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from jaxtyping import Array, Float

from atis_jax.circuits.hardware import Hardware
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.digital import Digital
from atis_jax.scoring.atis.fabric import RoutingFabric
from atis_jax.scoring.atis.pulse import PulseWidth
from atis_jax.scoring.method import Method
from atis_jax.scoring.rivals.attention import AttentionReceived
from atis_jax.scoring.rivals.dtem import Dtem
from atis_jax.scoring.rivals.dynamicvit import DynamicVit
from atis_jax.scoring.rivals.everything import Everything
from atis_jax.scoring.rivals.evit import Evit
from atis_jax.scoring.rivals.linear import Linear
from atis_jax.scoring.rivals.ltp import Ltp
from atis_jax.scoring.rivals.norm import Norm
from atis_jax.scoring.rivals.position import Position
from atis_jax.scoring.rivals.random import Random
from atis_jax.scoring.rivals.spatten import Spatten
from atis_jax.scoring.rivals.tome import Tome
from atis_jax.scoring.rivals.zerotprune import ZeroTPrune
from atis_jax.validation import CODE_MARK, Kinds, SettingError, choose, field_names, short_repr

METHODS: dict[str, type[Method]] = {
    "analog": Analog,
    "digital": Digital,
    "pulse_width": PulseWidth,
    "routing_fabric": RoutingFabric,
    "everything": Everything,
    "random": Random,
    "attention_received": AttentionReceived,
    "ltp": Ltp,
    "tome": Tome,
    "dtem": Dtem,
    "evit": Evit,
    "dynamicvit": DynamicVit,
    "zerotprune": ZeroTPrune,
    "spatten": Spatten,
    "linear": Linear,
    "norm": Norm,
    "position": Position,
}
OURS = frozenset(METHODS)
"""Those of this package; whatever else is in ``METHODS`` was registered."""


class _Sections(Mapping[str, type]):
    """Section ``scorer`` of each method, of those registered later too."""

    def __getitem__(self, kind: str) -> type:
        return METHODS[kind].Spec

    def __iter__(self) -> Iterator[str]:
        return iter(METHODS)

    def __len__(self) -> int:
        return len(METHODS)


def register(kind: str, method: type[Method]) -> None:
    """Make a method of one's own known under ``kind``, for configs and for stored runs that name it.

    The same class again, as from a module that was loaded anew, takes the place of the one before.

    Args:
        kind: what ``scorer.kind`` says: a short name, or ``package.module:Class``.
        method: subclass of ``Method``; its ``Spec`` is the section ``scorer``.

    Raises:
        SettingError: the name is taken, or the class is no method with a section of its own.
    """
    what = f"scorer.kind = {short_repr(kind)}"
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise SettingError(f"{what} names {short_repr(method)}, which is no subclass of atis_jax.scoring.method.Method")
    there = METHODS.get(kind)
    if kind in OURS or (there is not None and code_of(there) != code_of(method)):
        raise SettingError(
            f"{what} is {code_of(METHODS[kind])} already; register {method.__qualname__} by another name"
        )
    if not dataclasses.is_dataclass(method.Spec) or "kind" not in field_names(method.Spec):
        raise SettingError(
            f"{what}: {method.__qualname__}.Spec is no dataclass with a field 'kind'; take "
            "atis_jax.scoring.method.PlainSpec for a pattern"
        )
    section: Any = method.Spec
    try:
        section(kind=kind)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"{what}: {method.__qualname__}.Spec cannot be made with this kind and its own defaults ({error}); give "
            "every field a default, and let 'kind' be any text"
        ) from error
    METHODS[kind] = method


def load(kind: str) -> None:
    """Import and register ``package.module:Class``. For config files and the command line: it runs that code.

    Raises:
        SettingError: no such module or class, or it fails.
    """
    if kind in METHODS:
        return
    register(kind, resolve(kind))


def resolve(kind: str) -> type[Method]:
    """The class ``package.module:Class``.

    Raises:
        SettingError: no such module or class, or the module fails.
    """
    module, _, name = kind.partition(CODE_MARK)
    try:
        found = importlib.import_module(module)
    except Exception as error:
        raise SettingError(
            f"scorer.kind = {kind!r}: module {module!r} cannot be imported ({type(error).__name__}: {error}); write "
            "'package.module:Class', and put the folder it is in into PYTHONPATH"
        ) from error
    if not hasattr(found, name):
        raise SettingError(f"scorer.kind = {kind!r}: module {module!r} has no {name!r}; write 'package.module:Class'")
    return getattr(found, name)


def code_of(method: type[Method]) -> str:
    """``package.module:Class`` of a method."""
    return f"{method.__module__}{CODE_MARK}{method.__qualname__}"


def registered() -> dict[str, str]:
    """Kinds that are not of this package, and where the code of each is: what another process must register too."""
    return {kind: code_of(method) for kind, method in METHODS.items() if kind not in OURS}


SECTIONS: Mapping[str, type] = _Sections()
"""The section of each method."""
KINDS = Kinds(
    SECTIONS,
    default="analog",
    load=load,
    remedy="a stored config may not say what to import, so register it first: import atis_jax; "
    "atis_jax.register({kind!r}, THE_CLASS)",
)
"""What the section ``scorer`` of a config may be."""


def make_method(spec: Any, hardware: Hardware, target: Float[Array, "L"] | None = None) -> Method:
    """The method that ``spec.kind`` names.

    Args:
        spec: its section of the config, of the class ``Method.Spec``.
        hardware: preset that its chips are sampled from.
        target: (L,) wanted share of incoming tokens kept, for those that steer to it.

    Raises:
        SettingError: no method has that name.
    """
    return choose(METHODS, spec.kind, "scorer.kind")(spec, hardware, target)
