"""The command-line flags of a sweep."""

from __future__ import annotations

import dataclasses

from absl import flags

from atis_jax.validation import SettingError
from experiments.sweeps.spec import ExecutorSpec

_TYPES = {"parallel": int, "time_min": int, "partition": str, "account": str, "cpus": int, "gpus": int, "mem_gb": float}
_DEFINE = {int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}
USAGE = (
    "  --sweep                      run every point of the config's get_sweep(), see docs/sweeps.md",
    "  --executor=NAME              where its runs run: debug, local or slurm; local unless given",
    f"  --sweep.OPTION=VALUE         what they may use: {', '.join(_TYPES)}",
)


def define(values: flags.FlagValues) -> None:
    """Define them among ``values``."""
    flags.DEFINE_bool("sweep", False, "Run every point of the config's get_sweep().", values)
    flags.DEFINE_string("executor", None, "Where its runs run: debug, local or slurm; local unless given.", values)
    for name, kind in _TYPES.items():
        _DEFINE[kind](f"sweep.{name}", None, "see docs/sweeps.md", flag_values=values)  # type: ignore[operator]


def sweep_asked(values: flags.FlagValues) -> ExecutorSpec | None:
    """Where the sweep runs, None for a single run.

    Args:
        values: parsed.

    Raises:
        SettingError: an option of a sweep without ``--sweep``, or a wrong one.
    """
    options = {name: values[f"sweep.{name}"].value for name in _TYPES} | {"executor": values["executor"].value}
    given = {name: value for name, value in options.items() if value is not None}
    if values["sweep"].value:
        return ExecutorSpec(**given)
    if given:
        name = next(iter(given))
        flag = f"--{name}" if name == "executor" else f"--sweep.{name}"
        raise SettingError(
            f"{flag} = {given[name]!r} without --sweep: a single run runs here; add --sweep or leave it out"
        )
    return None


assert set(_TYPES) | {"executor"} == {field.name for field in dataclasses.fields(ExecutorSpec)}
