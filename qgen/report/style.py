"""One look for every figure: fonts, colours of families and words, saving. No pyplot, no global state."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart.
FAMILIES = {"classical": "#0072B2", "quantum": "#D55E00", "inspired": "#009E73", "control": "#7A7A7A"}
DATES = {"today": "#A63603", "mid": "#E6550D", "long": "#FDAE6B", "": "#D55E00"}
MARKERS = {"today": "o", "mid": "s", "long": "D", "": "^"}
WORDS = {"near": "#1B7837", "medium": "#7FBF7B", "long": "#E7D4E8", "beyond": "#762A83"}
POTENTIALS = {"none": "#F2F2F2", "low": "#C6DBEF", "medium": "#6BAED6", "high": "#08519C"}
PROBABILITY = "YlGnBu"
WIDTH_IN = 7.2
_RC: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "figure.facecolor": "white",
    # Letters stay letters in a PDF, so that a reader can search and copy them.
    "pdf.fonttype": 42,
}


@contextmanager
def applied() -> Iterator[None]:
    """The look, for the figures that are made and saved inside."""
    import matplotlib

    # Where a script has asked for log lines (absl does), subsetting a font writes hundreds of them.
    fonts = logging.getLogger("fontTools")
    level = fonts.level
    fonts.setLevel(logging.WARNING)
    try:
        with matplotlib.rc_context(_RC):
            yield
    finally:
        fonts.setLevel(level)


def figure(height_in: float) -> "Figure":
    """An empty figure of the text's width."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    FigureCanvasAgg(made)
    return made


def save(made: "Figure", stem: Path) -> None:
    """Writes `stem.png` and `stem.pdf`; without dates, so that the same records give the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf

    # `savefig` would draw every figure twice for each file.
    made.dpi = 170
    FigureCanvasAgg(made).print_png(stem.with_suffix(".png"))
    # The places are settled now; finding them again would take most of the time.
    made.set_layout_engine("none")
    FigureCanvasPdf(made).print_pdf(stem.with_suffix(".pdf"), metadata={"CreationDate": None})
