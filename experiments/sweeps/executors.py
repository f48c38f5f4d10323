"""Where the runs of a sweep run: in this process, in local processes, or in a Slurm array, all through submitit."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

import experiments
from atis_jax.validation import UserError
from experiments.sweeps.jobs import RunJob
from experiments.sweeps.spec import NO_LIMIT_MIN, ExecutorSpec
from experiments.sweeps.store import JOBS, Records

# A run that comes no further between two time limits must end some day.
_MOST_REQUEUES = 100


class Jobs:
    """The submitted jobs of one launch."""

    def __init__(self, spec: ExecutorSpec, sweep: Path):
        """Prepare; nothing is written before the first ``submit``.

        Args:
            spec: where to.
            sweep: the sweep's folder.
        """
        self._spec, self._sweep = spec, sweep
        # A folder a launch: local jobs are named by their process, and those numbers come again.
        taken = [int(p.name[7:]) for p in (sweep / JOBS).glob("launch-*") if p.name[7:].isdigit()]
        self._folder = sweep / JOBS / f"launch-{max(taken, default=0) + 1}"
        self._jobs: dict[str, submitit.Job] = {}

    def submit(self, jobs: Sequence[RunJob]) -> None:
        """Hand runs to the executor: Slurm gets one array, the local executor starts each at once.

        Raises:
            UserError: the executor refused them.
        """
        with _environment(self._spec.executor):
            executor = self._executor()
            try:
                with executor.batch():
                    submitted = [executor.submit(job) for job in jobs]
            except (FailedJobError, FailedSubmissionError, OSError) as error:
                raise UserError(f"--executor={self._spec.executor}: refused the sweep: {_reason(error)}") from error
        for job, handle in zip(jobs, submitted, strict=True):
            self._jobs[job.name] = handle
            log = os.path.relpath(handle.paths.stdout, self._sweep)
            Records(self._sweep, job.name).write_submitted(self._spec.executor, handle.job_id, log)

    def run_here(self, name: str) -> None:
        """Run a job of the debug executor, in this process; its record says how it went."""
        # Not result(): that would stop in the debugger, and the other runs with it.
        self._jobs[name].exception()

    def ended(self, names: Sequence[str]) -> list[str]:
        """Those of the local jobs ``names`` whose process is gone."""
        return [name for name in names if self._jobs[name].done()]

    def cancel(self, names: Sequence[str]) -> None:
        """Stop local jobs as Ctrl-C would; they can go on later."""
        for name in names:
            self._jobs[name].cancel()

    def _executor(self) -> submitit.AutoExecutor:
        spec, time_min = self._spec, self._spec.time_min or NO_LIMIT_MIN
        most = {} if spec.executor == "debug" else {f"{spec.executor}_max_num_timeout": _MOST_REQUEUES}
        executor = submitit.AutoExecutor(self._folder, cluster=spec.executor, **most)
        common: dict[str, Any] = {"name": "sweep", "timeout_min": time_min, "stderr_to_stdout": True}
        if spec.executor == "slurm":
            common |= {
                "cpus_per_task": spec.cpus,
                "gpus_per_node": spec.gpus,
                "mem_gb": spec.mem_gb,
                "slurm_partition": spec.partition,
                "slurm_account": spec.account,
                "slurm_array_parallelism": spec.at_once,
                # Slurm tells a run so long before its time is over; no more than a quarter of the time itself.
                "slurm_signal_delay_s": min(90, 15 * time_min),
                "slurm_additional_parameters": {"requeue": True},
            }
        executor.update_parameters(**{name: value for name, value in common.items() if value is not None})
        return executor


def in_slurm_queue() -> set[str] | None:
    """Ids of this user's waiting and running Slurm jobs; None when Slurm did not answer.

    Not ``sacct``, which submitit asks: it knows nothing on clusters without an accounting database.
    """
    done = subprocess.run(["squeue", "--me", "-h", "-r", "-o", "%i"], capture_output=True, text=True, check=False)
    return set(done.stdout.split()) if done.returncode == 0 else None


def slurm_outcome(job_id: str) -> str:
    """What Slurm says of an ended job, as in ``Slurm: TIMEOUT, exit code 0:15``; empty when it has forgotten it."""
    done = subprocess.run(["scontrol", "show", "job", "-o", job_id], capture_output=True, text=True, check=False)
    state, code = re.search(r"JobState=(\S+)", done.stdout), re.search(r"ExitCode=(\S+)", done.stdout)
    return f"Slurm: {state[1]}, exit code {code[1]}" if state and code else ""


@contextlib.contextmanager
def _environment(executor: str) -> Iterator[None]:
    """Workers import this package from where this process has it, whatever folder the launch came from."""
    root = str(Path(experiments.__file__).resolve().parents[1])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *([before] if before else [])])
    try:
        if executor != "slurm":
            yield
            return
        # Launched from inside a Slurm job, the new ones must not take over its settings; where Slurm's own
        # configuration is must stay.
        configuration = os.environ.get("SLURM_CONF")
        with submitit.helpers.clean_env():
            with submitit.helpers.environment_variables(**({"SLURM_CONF": configuration} if configuration else {})):
                yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _reason(error: BaseException) -> str:
    """The executor's own words, without the traceback that submitit puts around them."""
    lines = [line for line in str(error).splitlines() if line.startswith(("sbatch:", "srun:"))]
    return " ".join(lines) or str(error)
