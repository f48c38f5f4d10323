"""Sentences of about one length share a batch: a short one is not computed at the length of the longest."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int

from atis_jax.validation import SettingError, setting


def buckets_setting() -> Any:
    """The field ``buckets`` of a section of text."""
    return setting(
        (), low=1, ascending=True, doc="lengths that a batch is padded to, the last is length; empty: length alone"
    )


def check_buckets(buckets: tuple[int, ...], length: int) -> None:
    """Whether every sentence finds a bucket.

    Raises:
        SettingError: the last is not the length of the longest.
    """
    if buckets and buckets[-1] != length:
        raise SettingError(
            f"config.data.buckets = {buckets} ends with {buckets[-1]}, and the longest sentence has config.data.length "
            f"= {length}; let both be the same"
        )


def bucket_of(length: Int[np.ndarray, " n"], buckets: tuple[int, ...]) -> Int[np.ndarray, " n"] | None:
    """The smallest bucket that holds each sentence; None where there are none."""
    return np.asarray(buckets)[np.searchsorted(buckets, length)] if buckets else None
