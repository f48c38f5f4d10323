"""A real Slurm of one node on this machine: munged, slurmctld and slurmd with a configuration in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
# Daemons of Debian are in /usr/sbin, which is not in the path of everyone.
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
START_S = 120
"""Of each daemon, on a busy machine."""
_TRIES = 3
"""Another process may take a free port in the moment before a daemon does."""
# No cgroups and no systemd in a container: processes are found through /proc and bound to nothing.
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
JobRequeue=1
KillWait=1
SchedulerParameters=sched_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=short Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class NoSlurm(Exception):
    """Slurm cannot run here; the message says why in one line."""


@contextlib.contextmanager
def slurm_cluster() -> Iterator[dict[str, str]]:
    """A running cluster; yields the environment in which its commands work.

    Raises:
        NoSlurm: it is not installed, we are not root, or it does not come up.
    """
    missing = [name for name in PROGRAMS if shutil.which(name, path=SEARCH) is None]
    if missing:
        raise NoSlurm(f"Slurm is not installed (no {', '.join(missing)}); apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        raise NoSlurm("slurmd needs root")
    for left in reversed(range(_TRIES)):
        try:
            with _cluster() as environment:
                yield environment
            return
        except _DaemonEnded:
            if not left:
                raise


class _DaemonEnded(NoSlurm):
    """A daemon ended at its start, as it does where its port is taken."""


@contextlib.contextmanager
def _cluster() -> Iterator[dict[str, str]]:
    """A cluster in a folder and on ports of its own."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    daemons: list[subprocess.Popen] = []
    environment = {**os.environ, "PATH": SEARCH, "SLURM_CONF": str(folder / "slurm.conf")}
    try:
        _write_configuration(folder)
        _start(daemons, folder, environment, "munged", "--foreground", "--force", *_munge_files(folder))
        _wait(folder, daemons, lambda: (folder / "munge.socket").exists(), "munged")
        _start(daemons, folder, environment, "slurmctld", "-D")
        _start(daemons, folder, environment, "slurmd", "-D")
        _wait(folder, daemons, lambda: _node_is_idle(environment), "the node")
        yield environment
    finally:
        for name in ("slurmctld", "slurmd"):
            _say_stop(environment, name)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
            if daemon.poll() is None:
                daemon.send_signal(signal.SIGKILL)
                daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _write_configuration(folder: Path) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    controller_port, node_port = _free_ports(2)
    host = socket.gethostname().split(".")[0]
    (folder / "slurm.conf").write_text(
        CONFIG.format(folder=folder, host=host, controller_port=controller_port, node_port=node_port)
    )


def _munge_files(folder: Path) -> list[str]:
    names = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid", "seed-file": "munge.seed"}
    return [f"--{flag}={folder / name}" for flag, name in {**names, "log-file": "munge.log"}.items()]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _start(daemons: list[subprocess.Popen], folder: Path, environment: dict[str, str], name: str, *flags: str) -> None:
    program = shutil.which(name, path=SEARCH)
    assert program is not None
    with open(folder / f"{name}.out", "w") as out:
        daemons.append(subprocess.Popen([program, *flags], env=environment, stdout=out, stderr=out, cwd=folder))


def _wait(folder: Path, daemons: list[subprocess.Popen], ready, what: str) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        ended = any(daemon.poll() is not None for daemon in daemons)
        if ended or time.monotonic() > deadline:
            texts = [path.read_text(errors="replace").strip() for path in sorted(folder.glob("*.out"))]
            last = [text.splitlines()[-1] for text in texts if text]
            message = f"Slurm does not come up here: {what} is not ready: {'; '.join(last)}"
            raise _DaemonEnded(message) if ended else NoSlurm(message)
        time.sleep(0.1)


def _node_is_idle(environment: dict[str, str]) -> bool:
    command = ["scontrol", "show", "node", "-o"]
    try:
        shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        return False
    return bool(re.search(r"State=IDLE\b(?!\+)", shown.stdout))


def _say_stop(environment: dict[str, str], name: str) -> None:
    """Steps of a job survive a slurmd that is merely killed, so ask Slurm to cancel everything first."""
    if name == "slurmctld":
        with contextlib.suppress(subprocess.TimeoutExpired, OSError):
            subprocess.run(["scancel", "--me"], env=environment, capture_output=True, check=False, timeout=10)
            time.sleep(0.5)
