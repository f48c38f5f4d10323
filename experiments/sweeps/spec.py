"""Where the runs of a sweep run and what each may use, checked before anything starts."""

from __future__ import annotations

import dataclasses
import shutil

from atis_jax.validation import SettingError, UserError, check_choice, check_settings, setting

NO_LIMIT_MIN = 60 * 24 * 365
"""Longest time of a run, and that of a local one without a limit."""
_FIELDS_OF = {
    "debug": (),
    "local": ("parallel", "time_min"),
    "slurm": ("parallel", "time_min", "partition", "account", "cpus", "gpus", "mem_gb"),
}
EXECUTORS = tuple(_FIELDS_OF)


@dataclasses.dataclass(frozen=True)
class ExecutorSpec:
    """Where runs go and what each may use; None leaves it to the executor or the cluster."""

    executor: str = setting("local", choices=EXECUTORS, doc="where the runs of the sweep run")
    parallel: int | None = setting(None, low=1, high=10_000, doc="runs at once; 2 unless given")
    time_min: int | None = setting(None, low=1, high=NO_LIMIT_MIN, doc="minutes after which a run is put back")
    partition: str | None = setting(None, doc="Slurm partition")
    account: str | None = setting(None, doc="Slurm account")
    cpus: int | None = setting(None, low=1, high=4096, doc="CPU cores of a run")
    gpus: int | None = setting(None, low=0, high=64, doc="GPUs of a run")
    mem_gb: float | None = setting(None, low=0.0, exclusive_low=True, high=1e5, doc="memory of a run in GB")

    def __post_init__(self):
        check_choice(self.executor, EXECUTORS, "--executor")
        check_settings(self, "--sweep")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name != "executor" and value is not None and field.name not in _FIELDS_OF[self.executor]:
                where = ", ".join(name for name in EXECUTORS if field.name in _FIELDS_OF[name])
                raise SettingError(
                    f"--sweep.{field.name} = {value!r} means nothing to --executor={self.executor}, only to {where}; "
                    "leave it out or change the executor"
                )
        if self.executor == "slurm" and self.time_min is None:
            raise SettingError(
                "--sweep.time_min is missing: Slurm takes a run off its node after these minutes (it is put back and "
                "goes on); give a whole number, as in --sweep.time_min=240"
            )
        if self.executor == "slurm" and shutil.which("sbatch") is None:
            raise UserError(
                "--executor=slurm: there is no sbatch on this machine; launch from a login node, or use "
                "--executor=local"
            )

    @property
    def at_once(self) -> int:
        """Runs at once."""
        return 1 if self.executor == "debug" else self.parallel or 2
