"""Run an experiment from a config file.

    python launch.py --config=configs/quickstart.py [--workdir=runs/mine] [--config.any.field=value]

The same command again goes on with an interrupted run. With --sweep it runs every point of the config's get_sweep().
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags, logging
from ml_collections import config_flags

from atis_jax.config import from_config_dict
from atis_jax.numerics import keep_freed_memory
from atis_jax.validation import UserError
from experiments import command_line, registry
from experiments.compile_cache import keep_compiled_programs
from experiments.files import DISK_ERRORS
from experiments.final_table import final_table
from experiments.rundir import open_run
from experiments.sweeps import flags as sweep_flags
from experiments.sweeps.spec import ExecutorSpec

CONFIGS = Path(__file__).parent / "configs"
_PATHS = ("config", "workdir")


def usage() -> str:
    """The text of ``--help``: the command, the flags, every config with its first line."""
    configs = command_line.list_configs(CONFIGS)
    width = max((len(path) for path, _ in configs), default=0)
    lines = [f"  {path:{width}}  {line}" for path, line in configs]
    return "\n".join(
        [
            (__doc__ or "").strip(),
            "",
            "flags:",
            "  --config=FILE[:VARIANT]      the config file",
            "  --config.section.field=VALUE override one field of it",
            "  --workdir=FOLDER             folder of the run; runs/<config name> unless given",
            *sweep_flags.USAGE,
            "",
            "configs:",
            *lines,
        ]
    )


def _parse(argv: Sequence[str]) -> tuple[flags.FlagValues, str]:
    """The flags in ``argv`` and what it gives for ``--config``; every mistake becomes a UserError."""
    argument = command_line.value_of("config", argv)
    if argument is None:
        raise UserError("--config is missing; give one, as in --config=configs/quickstart.py (--help lists them all)")
    config = command_line.load_config(argument)
    argv = command_line.without({"config"}, command_line.choose_kinds(config, argv))
    # Checked here first: ml_collections reports a misspelt field through several unrelated exceptions.
    command_line.check_overrides(config, argv)
    values = flags.FlagValues()  # its own, so that a second command line in this process knows nothing of the first
    values.append_flag_values(flags.FLAGS)  # those of absl and other libraries
    help_text = "Path of the config file, as in configs/quickstart.py."
    config_flags.DEFINE_config_dict("config", config, help_text, values, sys_argv=argv)
    flags.DEFINE_string("workdir", None, "Folder of the run; runs/<config name> unless given.", values)
    sweep_flags.define(values)
    try:
        rest = values(argv)
    except (flags.Error, KeyError, AttributeError, TypeError, ValueError) as error:
        raise UserError(str(error)) from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; write flags as --config=FILE or --workdir=FOLDER")
    flags.FLAGS.mark_as_parsed()
    return values, argument


def _run(argv: Sequence[str]) -> int:
    if any(argument in ("--help", "-help", "-h", "--h") for argument in argv[1:]):
        print(usage(), flush=True)
        return 0
    argv = command_line.paths_expanded(argv, _PATHS)
    values, argument = _parse(argv)
    logging.use_absl_handler()
    if not values["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # Orbax tells of every step of a save at INFO
    config: Any = values["config"].value
    workdir = values["workdir"].value
    where = sweep_flags.sweep_asked(values)
    if where is not None:
        return _sweep(argument, argv, config, workdir, where)
    settings_class, run = registry.find(config.get("experiment"))
    settings: Any = from_config_dict(settings_class, config)
    with open_run(workdir or Path("runs") / command_line.run_name(argument), settings) as folder:
        summary = run(settings, folder)
        if summary is not None:
            final_table(summary)
        if folder.report.exists():
            print(f"report: {folder.report}")
    sys.stdout.flush()
    return 0


def _sweep(argument: str, argv: Sequence[str], config: Any, workdir: str | None, where: ExecutorSpec) -> int:
    from experiments.sweeps.launcher import run_sweep  # submitit is of no use to a single run

    space, front = command_line.load_sweep(argument), command_line.load_front(argument)
    folder = Path(workdir or Path("runs") / f"{command_line.run_name(argument)}-sweep")
    names = [name for name, _ in command_line.overrides(argv)]
    return 1 if run_sweep(argument, config, space, folder, where, names, front) else 0


def cli(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    It is 1 for a sweep in which runs failed, 2 for what the user can put right (a full disk too), 3 for a number that
    is none, 130 when interrupted. The last line then says what went wrong and what to do.
    """
    keep_freed_memory()
    keep_compiled_programs()
    try:
        return _run(list(sys.argv if argv is None else argv))
    except UserError as error:
        return _ended(f"error: {error}", 2)
    except FloatingPointError as error:
        return _ended(f"stopped: {error}", 3)
    except KeyboardInterrupt:
        return _ended("interrupted; the same command goes on from the last checkpoint, if there is one", 130)
    except BrokenPipeError:
        _silence_broken_output()
        return 0  # who read the output has seen enough
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        _silence_broken_output()
        where = f" {error.filename}" if error.filename else ""
        return _ended(f"error: cannot write{where} ({error.strerror}); make room, and the same command goes on", 2)


def _ended(line: str, code: int) -> int:
    """Say why it ended; the exit code."""
    print(line, file=sys.stderr, flush=True)
    return code


def _silence_broken_output() -> None:
    """Write no more to an output that takes nothing: Python would complain of it again, after our last line."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(cli())
