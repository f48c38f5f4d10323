"""The command-line flags of a sweep; importing this module defines them."""

from __future__ import annotations

import dataclasses

from absl import flags

from atis_jax.validation import SettingError
from experiments.sweeps.spec import ExecutorSpec

_SWEEP = flags.DEFINE_bool("sweep", False, "Run every point of the config's get_sweep().")
_EXECUTOR = flags.DEFINE_string("executor", None, "Where its runs run: debug, local or slurm; local unless given.")
_TYPES = {"parallel": int, "time_min": int, "partition": str, "account": str, "cpus": int, "gpus": int, "mem_gb": float}
_DEFINE = {int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}
_OPTIONS = {
    name: _DEFINE[kind](f"sweep.{name}", None, "see docs/sweeps.md")  # type: ignore[operator]
    for name, kind in _TYPES.items()
}
USAGE = (
    "  --sweep                      run every point of the config's get_sweep(), see docs/sweeps.md",
    "  --executor=NAME              where its runs run: debug, local or slurm; local unless given",
    f"  --sweep.OPTION=VALUE         what they may use: {', '.join(_TYPES)}",
)


def sweep_asked() -> ExecutorSpec | None:
    """Where the sweep runs, None for a single run.

    Raises:
        SettingError: an option of a sweep without ``--sweep``, or a wrong one.
    """
    given = {name: holder.value for name, holder in _OPTIONS.items() if holder.value is not None}
    if _EXECUTOR.value is not None:
        given["executor"] = _EXECUTOR.value
    if _SWEEP.value:
        return ExecutorSpec(**given)
    if given:
        name = next(iter(given))
        flag = f"--{name}" if name == "executor" else f"--sweep.{name}"
        raise SettingError(
            f"{flag} = {given[name]!r} without --sweep: a single run runs here; add --sweep or leave it out"
        )
    return None


assert set(_TYPES) | {"executor"} == {field.name for field in dataclasses.fields(ExecutorSpec)}
