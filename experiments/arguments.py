"""The command lines of ``python -m experiments...``: help and mistakes look the same in all of them."""

from __future__ import annotations

import argparse


def parser(module: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser whose ``--help`` shows the module's docstring.

    Args:
        module: such as ``experiments.spice.gates``.
        doc: the ``__doc__`` of that module.
    """
    return argparse.ArgumentParser(
        prog=f"python -m {module}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
