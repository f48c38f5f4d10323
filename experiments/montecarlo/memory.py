"""How many cells may run at once within a stated memory budget."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from atis_jax.validation import SettingError

MIB = 2**20
SLACK = 1.25
"""Kept free beside what the compiler plans: its own work space, and what threads hold."""


def resident_bytes() -> int:
    """Memory this process holds now."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # not Linux: the peak, which is never less
        return peak_bytes()


def peak_bytes() -> int:
    """Most memory this process has held."""
    if sys.platform == "win32":
        import psutil  # of the dependencies there alone

        return psutil.Process().memory_info().peak_wset
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def planned_bytes(compiled: Any) -> int:
    """What a compiled program needs beside its arguments, as the compiler says."""
    plan = compiled.memory_analysis()
    return int(plan.temp_size_in_bytes + plan.output_size_in_bytes)


def fit(compile_at: Callable[[int], Any], width: int, budget_mb: int) -> tuple[Any, int, int]:
    """The program at the largest width, at most ``width``, whose memory fits.

    Args:
        compile_at: compiles the program for a width.
        width: the widest worth having.
        budget_mb: resident memory of the whole process, MiB.

    Returns:
        The compiled program, its width, and the bytes it plans for.

    Raises:
        SettingError: not even one cell at a time fits.
    """
    while True:
        compiled = compile_at(width)
        # After compiling: the compiler's own memory counts.
        free = budget_mb * MIB - resident_bytes()
        needed = int(SLACK * planned_bytes(compiled))
        if needed <= free:
            return compiled, width, needed
        if width == 1:
            least = -(-(resident_bytes() + needed) // MIB)
            raise SettingError(
                f"config.montecarlo.memory_mb = {budget_mb} is too little for one cell on one batch of inputs, which "
                f"takes {least} with the process itself; give at least {least}, or in a new --workdir a lower "
                "config.montecarlo.batch_size"
            )
        width = max(1, min(width - 1, int(width * max(free, 0) / needed)))
