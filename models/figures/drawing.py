"""How every picture of the product looks, and how it becomes bytes."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE = "#1f5f99"
GREY = "#8a8f98"
RED = "#b3372b"
PALETTE = (BLUE, "#c96f2e", "#3c8d5a", "#7d4f9e", "#a88a1f", "#4aa3b5", "#b34d78", "#5b5f66")


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1):
    """A figure and its (rows, columns) array of axes; no pyplot, so that no global state is left behind."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel():
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    return figure, axes


def to_png(figure: "Figure", dots_per_inch: int = 100) -> bytes:
    """The figure as PNG, without a time stamp: equal results give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return buffer.getvalue()
