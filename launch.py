"""Run an experiment from a config file.

    python launch.py --config=configs/quickstart.py [--workdir=runs/mine] [--config.any.field=value]

The same command again goes on with an interrupted run. With --sweep it runs every point of the config's get_sweep().
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from atis_jax.config import from_config_dict
from atis_jax.numerics import keep_freed_memory
from atis_jax.validation import UserError
from experiments import command_line, registry
from experiments.compile_cache import keep_compiled_programs
from experiments.final_table import final_table
from experiments.rundir import open_run
from experiments.sweeps import flags as sweep_flags
from experiments.sweeps.spec import ExecutorSpec

CONFIGS = Path(__file__).parent / "configs"
_CONFIG = config_flags.DEFINE_config_file("config", None, "Path of the config file, as in configs/quickstart.py.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; runs/<config name> unless given.")


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


def _parse(argv: Sequence[str]) -> list[str]:
    """Parse the flags; every mistake in them becomes a UserError."""
    if any(argument in ("--help", "-help", "-h", "--h") for argument in argv[1:]):
        print(usage())
        sys.exit(0)
    given = [argument.partition("=")[2] for argument in argv if argument.lstrip("-").startswith("config=")]
    given += [after for flag, after in zip(argv, argv[1:], strict=False) if flag in ("--config", "-config")]
    if not given:
        raise UserError("--config is missing.\n\n" + usage())
    # Checked here first: ml_collections reports a misspelt field through several unrelated exceptions.
    command_line.check_overrides(command_line.load_config(given[-1]), argv)
    try:
        rest = flags.FLAGS(list(argv))
    except (flags.Error, KeyError, AttributeError, TypeError, ValueError) as error:
        raise UserError(str(error)) from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; write flags as --config=FILE or --workdir=FOLDER")
    return [given[-1], *argv[1:]]


def _main(parsed: Sequence[str]) -> int | None:
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # Orbax tells of every step of a save at INFO
    config = _CONFIG.value
    where = sweep_flags.sweep_asked()
    if where is not None:
        return _sweep(parsed[0], parsed[1:], where)
    settings_class, run = registry.find(config.get("experiment"))
    settings: Any = from_config_dict(settings_class, config)
    with open_run(_WORKDIR.value or Path("runs") / command_line.run_name(parsed[0]), settings) as folder:
        print(f"{'going on in' if folder.resumed else 'starting in'} {folder.path}", flush=True)
        summary = run(settings, folder)
    if summary is not None:
        final_table(summary)
    return None


def _sweep(argument: str, argv: Sequence[str], where: ExecutorSpec) -> int:
    from experiments.sweeps.launcher import run_sweep  # submitit is of no use to a single run

    space, front = command_line.load_sweep(argument), command_line.load_front(argument)
    workdir = Path(_WORKDIR.value or Path("runs") / f"{command_line.run_name(argument)}-sweep")
    names = [name for name, _ in command_line.overrides(argv)]
    return 1 if run_sweep(argument, _CONFIG.value, space, workdir, where, names, front) else 0


def cli(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    It is 1 for a sweep in which runs failed, 2 for a user error, 3 for a number that is none, 130 when interrupted.
    """
    keep_freed_memory()
    keep_compiled_programs()
    try:
        app.run(_main, list(sys.argv if argv is None else argv), flags_parser=_parse)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 0
    return 0


if __name__ == "__main__":
    sys.exit(cli())
