"""The XLA flag that makes small sums right on CPU, set by ``import atis_jax`` while JAX still reads it."""

from __future__ import annotations

import os
import sys
import warnings

XLA_CPU_CURE = "--xla_cpu_experimental_ynn_fusion_type="
"""No reductions by the faulty library."""
XLA_CPU_DEFAULT = f"{XLA_CPU_CURE}-LIBRARY_FUSION_TYPE_INVALID"
"""XLA's own choice, spelled out: takes nothing from its list. Only for measuring what the cure costs."""


def configure_xla() -> None:
    """Append the flag that makes small reductions right on CPU to ``XLA_FLAGS``; a user's own choice of it stands.

    jax 0.9.2-0.10.2 sum some small shapes wrongly under ``jit(vmap)`` (jax-ml/jax#39103; 0.10.2 also crashes
    in #40412). ``tests/test_canary.py`` fails without it. JAX reads the flags when it starts, not when it is
    imported. Where it has started on a CPU, a warning says what to do, and the variable stays as it is: it also
    tells kept programs apart, and these are compiled without the flag.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if XLA_CPU_CURE.rstrip("=") in flags:
        return
    if not jax_started():
        os.environ["XLA_FLAGS"] = f"{flags} {XLA_CPU_CURE}".strip()
    elif sys.modules["jax"].default_backend() == "cpu":
        warnings.warn(
            "JAX computed something before atis_jax was imported, so some small sums will be wrong on this CPU "
            "(jax-ml/jax#39103). Start again with 'import atis_jax' above the first use of JAX, or with "
            f"XLA_FLAGS={XLA_CPU_CURE} in the environment.",
            RuntimeWarning,
            stacklevel=3,  # the line that imports atis_jax
        )


def jax_started() -> bool:
    """Whether JAX has chosen its devices in this process; neither imports nor starts it."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    # Not in JAX's public interface: a version without it counts as not started, and the canary still watches.
    initialised = getattr(bridge, "backends_are_initialized", None)
    return initialised is not None and initialised()
