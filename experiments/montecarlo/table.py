"""``cells.csv``: one row a cell, appended chunk by chunk, so that an interrupted evaluation goes on where it was."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atis_jax.validation import UserError

NAME = "cells.csv"


class CellTable:
    """The rows of finished cells. Rows of a chunk are handed to the system in one write.

    The file loads in one line: ``pandas.read_csv("runs/yield/cells.csv")``.
    """

    def __init__(self, path: str | os.PathLike, columns: Sequence[str]):
        """Open or make the file, empty until the first rows; a last line torn by a kill is cut off.

        Args:
            path: the file.
            columns: names, the first of them ``cell``, the cell's number.

        Raises:
            UserError: the file has other columns, a damaged row or a cell twice, or cannot be written.
        """
        self.path, self.columns = Path(path), tuple(columns)
        header = ",".join(self.columns) + "\n"
        try:
            self._file = open(self.path, "a+b", buffering=0)
            self._file.seek(0)
            content = self._file.read()
            whole = content[: content.rfind(b"\n") + 1]
            if whole == header.encode():
                whole = b""  # killed, or made by an older version, before there was a row
            if len(whole) != len(content):
                os.truncate(self.path, len(whole))
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror}); choose another --workdir") from error
        if whole and not whole.startswith(header.encode()):
            raise UserError(
                f"{self.path}: its columns are not those of this evaluation; move the file away to start again"
            )
        self.done = self._numbers(whole.decode())

    def _numbers(self, text: str) -> set[int]:
        found: set[int] = set()
        for line, row in enumerate(list(csv.reader(io.StringIO(text)))[1:], start=2):
            if len(row) != len(self.columns) or not row[0].isdigit() or int(row[0]) in found:
                raise UserError(f"{self.path}, line {line}: is damaged or a cell twice; remove that line to go on")
            found.add(int(row[0]))
        return found

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add the rows of a finished chunk.

        Raises:
            ValueError: a cell that is in the table already.
        """
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        if not self.done:
            writer.writeheader()
        for row in rows:
            if row["cell"] in self.done:
                raise ValueError(f"cell {row['cell']} is in {self.path} already")
            writer.writerow(row)
        self._file.write(text.getvalue().encode())
        self.done.update(row["cell"] for row in rows)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> CellTable:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_table(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Every row, in the order of the cells; numbers as numbers."""
    with open(path, newline="") as file:
        rows = [{name: _value(text) for name, text in row.items()} for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: row["cell"])


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
