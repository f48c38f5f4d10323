"""What the settings of any comparison of budgets must agree on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from atis_jax.validation import SettingError


def check_budgets(settings: Any, of_each: Sequence[str], windows: Sequence[str]) -> None:
    """Refuse what does not go together.

    Args:
        settings: with ``shares``, ``prefix``, ``batch``, ``budgets`` and the section ``data``.
        of_each: fields with a value a share.
        windows: fields that count windows, which are read in batches.

    Raises:
        SettingError: names the field, its value and the remedy.
    """
    for name in of_each:
        if len(getattr(settings, name)) != len(settings.shares):
            raise SettingError(
                f"config.{name} = {getattr(settings, name)} has {len(getattr(settings, name))} values for the "
                f"{len(settings.shares)} of config.shares = {settings.shares}; give one a share"
            )
    for name in windows:
        if getattr(settings, name) % settings.batch:
            raise SettingError(
                f"config.{name} = {getattr(settings, name)} is no multiple of config.batch = {settings.batch}; change "
                "one"
            )
    length = getattr(settings.data, "length", 0)
    if not settings.prefix < length:
        raise SettingError(
            f"config.prefix = {settings.prefix} must be below config.data.length = {length}: the words behind it are "
            "the loss"
        )
    for budget in settings.budgets:
        budget.kept(settings.prefix)
