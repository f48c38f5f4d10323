"""What a person watching a run sees: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import IO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

_RATE_WINDOW = 50
"""Updates over which the rate is averaged."""


class _Bar(RichProgress):
    """The bar, and below it the figures: side by side they do not fit into 80 columns."""

    figures = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield Text(self.figures)


class Progress:
    """Shows how far a run is. Use as a context manager; ``update`` once a step.

    On a terminal a bar; elsewhere one plain line every ``every_s`` seconds and at the end.
    """

    def __init__(
        self,
        total_steps: int,
        *,
        unit: str = "examples",
        start_step: int = 0,
        every_s: float = 10.0,
        stream: IO[str] | None = None,
    ):
        """Prepare; nothing is shown before the ``with`` block.

        Args:
            total_steps: steps of the whole run.
            unit: what is counted for the rate, several of them ("examples", "steps").
            start_step: steps already done when a run goes on.
            every_s: seconds between two plain lines.
            stream: where to write, standard error unless given.
        """
        self._console = Console(file=stream or sys.stderr)
        self._total, self._unit, self._every_s = total_steps, unit, every_s
        self._step, self._phase, self._text = start_step, "", ""
        self._printed_at, self._printed_step = float("-inf"), -1
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RATE_WINDOW)
        self._counted = 0.0
        self._bar: _Bar | None = None
        if self._console.is_terminal:
            self._bar = _Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self._console,
                refresh_per_second=4,
            )
            self._task = self._bar.add_task("", total=total_steps, completed=start_step)

    def __enter__(self) -> Progress:
        self._recent.append((time.monotonic(), 0.0))
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._printed_step != self._step:
            self._print()

    def update(
        self,
        step: int,
        *,
        count: float = 1,
        phase: str = "",
        loss: float | None = None,
        accuracy: float | None = None,
        kept_fraction: float | None = None,
        energy_ratio: float | None = None,
    ) -> None:
        """Say where the run is. What is None is not shown.

        Args:
            step: steps done.
            count: units done since the last call (the batch size for examples).
            phase: name of the current part of the schedule.
            loss: training loss.
            accuracy: share of right answers, 0 to 1.
            kept_fraction: share of tokens kept, 0 to 1.
            energy_ratio: joules an example over those of the dense network.
        """
        self._step = step
        self._counted += count
        self._recent.append((time.monotonic(), self._counted))
        parts = [
            f"{self._rate():.0f} {self._unit}/s",
            "" if loss is None else f"loss {float(loss):.3f}",
            "" if accuracy is None else f"accuracy {100 * float(accuracy):.1f} %",
            "" if kept_fraction is None else f"kept {100 * float(kept_fraction):.0f} %",
            "" if energy_ratio is None else f"energy x{float(energy_ratio):.2f}",
        ]
        self._text = "  ".join(part for part in parts if part)
        self._phase = phase
        if self._bar is not None:
            self._bar.figures = self._text
            self._bar.update(self._task, completed=step, description=phase)
        elif time.monotonic() - self._printed_at >= self._every_s:
            self._print()

    def announce(self, phase: str) -> None:
        """Say at once what comes next and may take a while before the next step, such as ``dense: compiling``."""
        self._phase, self._text = phase, ""
        if self._bar is not None:
            self._bar.figures = ""
            self._bar.update(self._task, description=phase, refresh=True)
        else:
            self._print()

    def _rate(self) -> float:
        (first_s, first), (last_s, last) = self._recent[0], self._recent[-1]
        return (last - first) / max(last_s - first_s, 1e-9)

    def _print(self) -> None:
        self._printed_at, self._printed_step = time.monotonic(), self._step
        line = "  ".join(part for part in (f"step {self._step}/{self._total}", self._phase, self._text) if part)
        self._console.file.write(line + "\n")
        self._console.file.flush()
