"""Pages whose figures are drawn, each once and small: how they look and are stored is asked in tests/report."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg


def save(figure, folder: Path, name: str, vector: bool) -> bytes:
    """Stands for ``atis_jax.report.page.save``."""
    figure.set_layout_engine("none")
    buffer = io.BytesIO()
    figure.set_dpi(15)
    FigureCanvasAgg(figure).print_png(buffer)  # ``savefig`` draws twice, first for a tight box
    (folder / f"{name}.png").write_bytes(buffer.getvalue())
    return buffer.getvalue()
