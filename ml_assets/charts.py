"""The common style of all charts: colours, figures, legends, and export as PNG and Markdown."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Eight colours that people with any colour vision tell apart: Okabe & Ito 2008, "Color Universal Design"; yellow and black,
# which vanish on white and on dark pages, come last.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#595959")
"""Colours of data series, in the order of use."""
REST = "#9A9A9A"
"""Colour of the group of all other series, or of the reference that series are compared with."""
WARNING = "#c2410c"
"""Colour for values that need attention."""
INK, SOFT, LINE = "#1b1b19", "#5c5b55", "#e3e2dd"
"""Colours of text, axes and grids."""
WIDTH = 6.4
"""Default width of a chart in inches."""


@contextmanager
def plot_style() -> Iterator[None]:
    """Context manager that sets the style of charts in its block: few axis lines, no frame, colours of `PALETTE`.

    Figures must be created and saved within the block, because matplotlib reads some of the settings only then.
    """
    import matplotlib
    from cycler import cycler

    with matplotlib.rc_context(
        {
            "font.family": "sans-serif",
            "font.size": 9,
            "text.color": INK,
            "axes.labelcolor": SOFT,
            "axes.edgecolor": LINE,
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.titlepad": 12,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.prop_cycle": cycler(color=list(PALETTE)),
            "grid.color": LINE,
            "grid.linewidth": 0.8,
            "xtick.color": SOFT,
            "ytick.color": SOFT,
            "xtick.major.size": 0,
            "ytick.major.size": 0,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "figure.dpi": 144,
            "savefig.facecolor": "white",
            "svg.fonttype": "none",
            # file names and class names are words here, never formulas
            "text.parse_math": False,
        }
    ):
        yield


def new_figure(height: float, width: float = WIDTH) -> "Figure":
    """Make an empty figure of this size in inches, with the Agg backend and without pyplot, which would keep it in memory."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def legend_below(figure: "Figure") -> None:
    """Add the legend of all series below the axes."""
    figure.legend(loc="outside lower left", ncols=4, handlelength=0.9, handleheight=0.9, columnspacing=1.4)


def as_png(figure: "Figure") -> bytes:
    """Render the figure as a PNG file; returns its bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def markdown(png: bytes, alt: str) -> str:
    """Make a Markdown image with the PNG embedded as a data URL, and the alternative text `alt`."""
    words = " ".join(alt.replace("[", "(").replace("]", ")").replace("\\", "/").split())
    return f"![{words}](data:image/png;base64,{base64.b64encode(png).decode()})"
