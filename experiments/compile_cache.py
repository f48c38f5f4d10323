"""Compiled programs kept on disk: a training step is compiled once on a machine, not once in every run.

They lie in the user's cache folder, in one folder a JAX version and processor: a program compiled for one
processor's instructions may not run on another. JAX tells the programs in it apart by their operations, the
compiler's options and ``XLA_FLAGS``. The folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

import filelock
import jax

FOLDER_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
"""JAX's own variable for the folder; whoever sets it decides everything about the cache."""
DEFAULTS = {
    # The least recently used go first. A quickstart keeps about 20 MB.
    "jax_compilation_cache_max_size": 2 << 30,
    # Quicker programs are not worth a file.
    "jax_persistent_cache_min_compile_time_secs": 0.5,
}
_PROGRAM, _LAST_USE, _LOCK = "-cache", "-atime", ".lockfile"  # names that JAX gives


def keep_compiled_programs() -> Path | None:
    """Keep what JAX compiles in the user's cache folder; call before anything is compiled.

    A folder that the user gave JAX is left to the user, and so is a cache switched off
    (``JAX_ENABLE_COMPILATION_CACHE=false``). Where no folder can be written, nothing is kept and one line says so.
    Only an entry point may call it: it holds for the whole process.

    Returns:
        The folder in use, None if there is none.
    """
    if not _option("jax_enable_compilation_cache"):
        return None
    if own := _option("jax_compilation_cache_dir"):
        return Path(own)
    try:
        folder = program_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # who may write here may run code as this user
        _remove_unfinished(folder)
    except (OSError, RuntimeError, NotImplementedError) as error:  # no home; a file system without locks
        print(
            f"note: compiled programs are not kept for the next run ({error}); {FOLDER_VARIABLE}=FOLDER names "
            "another folder for them",
            file=sys.stderr,
        )
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    for name, value in DEFAULTS.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)
    return folder


def program_folder() -> Path:
    """Where this JAX on this processor keeps its programs.

    Raises:
        RuntimeError: the user has no home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "atis_jax" / "compiled" / f"jax-{jax.__version__}-{processor()}"


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Name of this machine's processor with a digest of its instruction sets, fit for a file name."""
    try:
        lines = cpuinfo.read_text().split("\n\n")[0].splitlines()
    except OSError:  # not Linux
        lines = []
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    model = facts.get("model name") or platform.processor() or platform.machine()
    sets = " ".join(sorted((facts.get("flags") or facts.get("Features") or "").split()))  # x86, ARM
    digest = hashlib.sha256(f"{platform.machine()} {model} {sets}".encode()).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9]+', '-', model).strip('-')[:40]}-{digest}"


def _option(name: str) -> Any:
    return getattr(jax.config, name)  # JAX makes them at run time


def _remove_unfinished(folder: Path) -> None:
    """Remove the programs whose writer was killed: they cannot be read, and stop JAX from removing any.

    JAX writes a program, then when it was used, both under the lock taken here.
    """
    with filelock.FileLock(folder / _LOCK, timeout=10):
        names = {path.name for path in folder.iterdir()}
        for name in names:
            for mine, other in ((_PROGRAM, _LAST_USE), (_LAST_USE, _PROGRAM)):
                if name.endswith(mine) and name.removesuffix(mine) + other not in names:
                    (folder / name).unlink()
