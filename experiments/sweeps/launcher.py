"""Starts the runs of a sweep that have no result yet, watches them, and keeps table and page up to date."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from ml_collections import config_dict

from atis_jax.config import as_dict
from atis_jax.scoring.registry import registered
from atis_jax.validation import UserError
from experiments.files import write_json_atomically
from experiments.sweeps import collect, executors, store
from experiments.sweeps.cores import CoreShares
from experiments.sweeps.executors import Jobs
from experiments.sweeps.front import front_of
from experiments.sweeps.jobs import RunJob
from experiments.sweeps.points import Point, check_not_overridden, points_of
from experiments.sweeps.spec import ExecutorSpec
from experiments.sweeps.store import Records

_POLL_S = {"local": 0.2, "slurm": 2.0}
# What a node wrote shows up late on a network file system.
_LATE_FILES_S = {"local": 0.0, "slurm": 5.0}


def run_sweep(
    argument: str,
    config: config_dict.ConfigDict,
    space: object,
    workdir: Path,
    spec: ExecutorSpec,
    overridden: Iterable[str] = (),
    front: object = None,
) -> int:
    """Run what is left of a sweep; the same call again goes on with it and tries failed runs once more.

    Nothing is written and nothing starts before every run's settings and every folder have been checked.

    Args:
        argument: the ``--config`` argument, for the record.
        config: the config, command-line overrides included.
        space: what ``get_sweep()`` returned.
        workdir: folder of the sweep.
        spec: where the runs run.
        overridden: dotted fields given on the command line.
        front: what ``get_front()`` returned, None without one.

    Returns:
        How many runs have no result.

    Raises:
        UserError: a mistake in the sweep, its folder or the executor's options.
    """
    folder = Path(os.path.abspath(workdir))
    points = points_of(config, space)
    check_not_overridden(points, list(overridden))
    compared = None if front is None else front_of(front, points)
    wanted = store.description(argument, config.to_dict(), points, compared)
    store.check_folder(folder, wanted, points)
    new = not (folder / store.DESCRIPTION).exists()
    with store.lock_folder(folder):
        store.check_folder(folder, wanted, points)  # again: another launcher may have taken it before we held it
        if new or store.read_description(folder).get("front") != wanted.get("front"):
            write_json_atomically(folder / store.DESCRIPTION, wanted)
        return _Launch(folder, points, spec).run()


class _Launch:
    """One launch: the runs that wait, those that are under way, and what has been said of them."""

    def __init__(self, folder: Path, points: list[Point], spec: ExecutorSpec):
        self._folder, self._spec = folder, spec
        self._points = {point.name: point for point in points}
        self._records = {point.name: Records(folder, point.name) for point in points}
        self._jobs = Jobs(spec, folder)
        self._cores = CoreShares(spec.at_once)

    def run(self) -> int:
        """Everything that is left; the number of runs without a result."""
        left = [name for name, records in self._records.items() if not records.finished()]
        watched = self._still_running(left)
        for name in watched:
            self._cores.hold(name, store.cores_of(self._records[name].run()))
        waiting = deque(name for name in left if name not in watched)
        print(
            f"{self._folder}: {len(self._points)} runs, {len(self._points) - len(left)} finished before"
            + (f", {len(watched)} still running" if watched else ""),
            flush=True,
        )
        collect.write(self._folder)
        if self._spec.executor == "debug":
            for name in waiting:
                self._submit([name])
                self._jobs.run_here(name)
                self._settle(name)
        else:
            self._watch(waiting, watched)
        failed = [name for name, records in self._records.items() if not records.finished()]
        print(
            f"{len(self._points) - len(failed)} of {len(self._points)} runs finished"
            + (f", {len(failed)} not; the same command tries those again" if failed else "")
            + f"\n{self._folder / collect.TABLE}\n{self._folder / collect.PAGE}",
            flush=True,
        )
        return len(failed)

    def _watch(self, waiting: deque[str], watched: set[str]) -> None:
        own: set[str] = set()
        try:
            while waiting or own or watched:
                if self._spec.executor == "slurm":
                    # One array: Slurm itself holds back what is more than parallel.
                    batch = list(waiting)
                else:
                    room = max(self._spec.at_once - len(own) - len(watched), 0)
                    batch = [name for name, _ in zip(list(waiting), range(room), strict=False)]
                if batch:
                    self._submit(batch)
                    own |= set(batch)
                    waiting = deque(name for name in waiting if name not in own)
                time.sleep(_POLL_S[self._spec.executor])
                for name in self._ended(own, watched):
                    own.discard(name)
                    watched.discard(name)
                    self._cores.give_back(name)
                    self._settle(name)
        except KeyboardInterrupt:
            self._interrupted(own)
            raise

    def _submit(self, names: list[str]) -> None:
        for name in names:
            self._records[name].forget_run()
        self._jobs.submit(
            [
                RunJob(
                    sweep=self._folder,
                    name=name,
                    config=as_dict(self._points[name].settings),
                    experiment=self._points[name].experiment,
                    visible_gpus=os.environ.get("CUDA_VISIBLE_DEVICES"),
                    own_process=self._spec.executor != "debug",
                    cores=self._cores.take(name) if self._spec.executor == "local" else None,
                    methods=registered(),
                )
                for name in names
            ]
        )

    def _still_running(self, names: list[str]) -> set[str]:
        """Those runs that an earlier launch started and that have not ended."""
        running = set()
        queue: set[str] | None = None
        for name in names:
            submitted, run = self._records[name].submitted(), self._records[name].run()
            if submitted.get("executor") == "slurm" and run.get("state") not in ("failed", "interrupted"):
                queue = queue if queue is not None else _slurm_queue(name, submitted["job_id"])
                if submitted["job_id"] in queue:
                    running.add(name)
            elif run.get("state") == "running" and store.process_alive(run):
                running.add(name)
                if store.elsewhere(run):
                    print(
                        f"{name}: runs on {run.get('host')}, as far as can be told from here; if it does not, delete "
                        f"{self._records[name].run_file}, and the next launch starts it again",
                        flush=True,
                    )
        return running

    def _ended(self, own: set[str], watched: set[str]) -> list[str]:
        """Those under way that have ended, in whatever way."""
        gone = set(self._jobs.ended(sorted(own))) if self._spec.executor == "local" else set()
        elsewhere = {name: self._records[name].submitted() for name in (own - gone) | watched}
        in_slurm = {name for name, submitted in elsewhere.items() if submitted["executor"] == "slurm"}
        if in_slurm:
            queue = executors.in_slurm_queue()
            # No answer says nothing about the jobs: ask again later.
            gone |= set() if queue is None else {n for n in in_slurm if elsewhere[n]["job_id"] not in queue}
        gone |= {name for name in watched - in_slurm}
        # A local worker outlives its controller when only that is killed.
        return sorted(n for n in gone if n in in_slurm or not self._alive(n))

    def _alive(self, name: str) -> bool:
        run = self._records[name].run()
        return run.get("state") == "running" and store.process_alive(run)

    def _settle(self, name: str) -> None:
        """Close the record of an ended run and say how it went."""
        records = self._records[name]
        slurm = records.submitted()["executor"] == "slurm"
        deadline = time.monotonic() + _LATE_FILES_S["slurm" if slurm else "local"]
        while records.run().get("state") not in ("finished", "failed", "interrupted") and time.monotonic() < deadline:
            time.sleep(0.2)
        run = records.run()
        if not records.finished() and run.get("state") not in ("failed", "interrupted"):
            if run.get("state") == "finished":
                error = "the run ended without writing summary.json"
            else:
                said = executors.slurm_outcome(records.submitted()["job_id"]) if slurm else ""
                error = f"the worker died without a traceback ({said or 'killed, out of memory, or os._exit'})"
            records.write_run(**{**run, "state": "failed", "error": error, "detail": records.log_tail()})
        error, _ = records.failure()
        done = sum(other.finished() for other in self._records.values())
        print(f"{done}/{len(self._points)} {name}: {records.status()}{': ' + error if error else ''}", flush=True)
        collect.write(self._folder)

    def _interrupted(self, own: set[str]) -> None:
        if self._spec.executor == "slurm":
            ids = sorted({self._records[name].submitted()["job_id"].split("_")[0] for name in own})
            if ids:
                print(
                    f"the Slurm jobs go on and the same command watches them; stop them with: scancel {' '.join(ids)}"
                )
            return
        self._jobs.cancel(sorted(own))
        deadline = time.monotonic() + 10
        while len(self._jobs.ended(sorted(own))) < len(own) and time.monotonic() < deadline:
            time.sleep(0.1)
        collect.write(self._folder)


def _slurm_queue(name: str, job_id: str) -> set[str]:
    try:
        queue = executors.in_slurm_queue()
    except FileNotFoundError:
        queue = None
    if queue is None:
        raise UserError(
            f"run {name!r} went to Slurm as job {job_id} and has not ended; Slurm cannot be asked from here (squeue "
            "fails), so it might run twice; launch where squeue works, or cancel the job and delete its files in "
            f"{store.JOBS}"
        )
    return queue
