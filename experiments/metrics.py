"""``metrics.jsonl``: one JSON object a line, cut back to the restored step when a run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atis_jax.validation import UserError
from experiments.files import plain


class MetricsError(UserError):
    """``metrics.jsonl`` does not fit the checkpoint it should go on from."""


class MetricsLog:
    """Appends records; each is handed to the system at once, so a kill loses at most the line being written.

    ``step`` is the number of updates done, starting at 1. Every record of step s is written before the
    checkpoint of step s, so what the file holds up to s is what the run up to s produced.
    """

    def __init__(self, path: str | os.PathLike, after_step: int = 0):
        """Open ``path`` and drop what follows ``after_step``.

        Args:
            path: the file; made if it does not exist.
            after_step: the restored checkpoint's step, 0 for a run from the beginning.

        Raises:
            MetricsError: the file is missing although a checkpoint was restored, or a line is not a record.
        """
        self.path = Path(path)
        self._last_step = after_step
        if after_step > 0 and not self.path.exists():
            raise MetricsError(
                f"{self.path}: missing, but the checkpoint goes on from step {after_step}; put the file "
                "back, or delete the folder checkpoints/ to start again from the beginning"
            )
        try:
            self._file = open(self.path, "ab", buffering=0)
        except OSError as error:
            raise MetricsError(f"{self.path}: cannot be written ({error.strerror})") from error
        os.truncate(self.path, self._end_of(after_step))

    def _end_of(self, after_step: int) -> int:
        """Byte at which the first record later than ``after_step`` begins."""
        end = 0
        if after_step == 0:
            return 0
        content = self.path.read_bytes()
        for number, line in enumerate(content.splitlines(keepends=True), start=1):
            torn = not line.endswith(b"\n")
            try:
                step = json.loads(line)["step"]
            except (ValueError, KeyError, TypeError):
                if torn:
                    break
                raise MetricsError(
                    f"{self.path}, line {number}: not a record; remove that line, or delete the folder "
                    "checkpoints/ to start again from the beginning"
                ) from None
            if torn or step > after_step:
                break
            end += len(line)
        return end

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record.

        Args:
            record: has an integer ``step`` not smaller than the one before; numbers, texts, lists, arrays.

        Raises:
            FloatingPointError: a value is NaN or infinite; names it and the step.
            ValueError: ``step`` goes backwards, or does not lie after the restored step.
        """
        step = int(record["step"])
        if step < max(self._last_step, 1):
            raise ValueError(f"record of step {step} after step {self._last_step}; steps count from 1 and only up")
        try:
            line = json.dumps(plain(record), allow_nan=False)
        except FloatingPointError as error:
            raise FloatingPointError(f"step {step}: {error}") from None
        self._file.write(line.encode() + b"\n")
        self._last_step = step

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_metrics(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Every whole record of a ``metrics.jsonl``; a torn last line is left out."""
    lines = Path(path).read_bytes().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")]
