"""What a worker does: one run of a sweep, in its own folder, with a record of how it went."""

from __future__ import annotations

import dataclasses
import os
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import logging
from submitit.helpers import DelayedSubmission

from atis_jax.config import from_config_dict
from atis_jax.numerics import keep_freed_memory
from atis_jax.scoring.registry import register, resolve
from atis_jax.validation import UserError
from experiments import registry
from experiments.compile_cache import keep_compiled_programs
from experiments.rundir import open_run
from experiments.sweeps.store import Records, last_lines, this_process


@dataclasses.dataclass(frozen=True)
class RunJob:
    """A callable that submitit pickles: plain values alone, so that it means the same in any process.

    Attributes:
        sweep: the sweep's folder, absolute.
        name: of the run, and of its folder there.
        config: its complete settings as nested dicts.
        experiment: where its code is.
        visible_gpus: ``CUDA_VISIBLE_DEVICES`` of the launcher, for workers of this machine; see ``__call__``.
        own_process: whether the process exists for this run alone.
        cores: of this machine, that the run keeps to; None for any.
        methods: those of one's own that the launcher's config named: kind and ``package.module:Class``.
    """

    sweep: Path
    name: str
    config: Mapping[str, Any]
    experiment: registry.Experiment
    visible_gpus: str | None
    own_process: bool
    cores: tuple[int, ...] | None = None
    methods: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __call__(self) -> None:
        """Run or go on with the run; its folder remembers how far it came.

        Raises:
            Exception: whatever the run raised, after it was recorded.
        """
        if self.own_process:
            self._prepare_process()
        records = Records(self.sweep, self.name)
        before = records.run()
        if before.get("state") == "finished":
            return  # it came to its end in the moments between being put back into the queue and being stopped
        about = {**this_process(), "restarts": before.get("restarts", -1) + 1}
        started = time.monotonic()

        def record(state: str, **more: Any) -> None:
            records.write_run(state=state, seconds=time.monotonic() - started, **about, **more)

        records.write_run(state="running", **about)
        try:
            for kind, code in self.methods.items():
                register(kind, resolve(code))
            settings_class, run = registry.load(self.experiment)
            settings: Any = from_config_dict(settings_class, self.config)
            with open_run(self.sweep / self.name, settings) as folder:
                run(settings, folder)
        except UserError as error:
            record("failed", error=str(error).splitlines()[0], detail=last_lines(str(error)))
            raise
        except Exception as error:
            line = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
            record("failed", error=line, detail=last_lines(traceback.format_exc()))
            raise
        except SystemExit:
            # submitit has put the job back into the queue and ends this process.
            record("waiting")
            raise
        except KeyboardInterrupt:
            record("interrupted")
            raise
        record("finished")

    def checkpoint(self) -> DelayedSubmission:
        """The same job again: what submitit puts back into the queue before a time limit or a preemption."""
        return DelayedSubmission(self)

    def _prepare_process(self) -> None:
        """What launch.py does for a single run, before the first device use."""
        if self.cores is not None:
            os.sched_setaffinity(0, self.cores)  # before JAX counts them for its threads
        keep_freed_memory()
        keep_compiled_programs()
        logging.set_verbosity(logging.WARNING)
        if os.environ.get("SUBMITIT_EXECUTOR") == "local":
            # submitit hides every GPU from local jobs that do not reserve one; JAX would quietly train on the CPU.
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
            if self.visible_gpus is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = self.visible_gpus
