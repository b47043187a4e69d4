"""The barren plateau: variance of a circuit's gradient against qubits and layers, for every way to start."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qgen.record import Record
from qgen.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7")


def figure(rows: Sequence[Record]) -> "Figure":
    """Two panels: against qubits at the most layers, and against layers at the most qubits.

    Args:
        rows: the rows of the experiment "search_starts".
    """
    made = style.figure(2.6)
    left, right = made.subplots(1, 2, sharey=True)
    for axes, along, fixed in ((left, "qubits", "layers"), (right, "layers", "qubits")):
        most = max(row.config[fixed] for row in rows)
        for start, colour in zip(dict.fromkeys(row.arm for row in rows), COLOURS, strict=False):
            own = [row for row in rows if row.arm == start and row.config[fixed] == most]
            own.sort(key=lambda row: row.config[along])
            axes.plot(
                [row.config[along] for row in own],
                [row.metrics["gradient_variance"] for row in own],
                "o-",
                color=colour,
                markersize=3,
                label=start.split("/")[1].replace("_", " "),
            )
        axes.set_yscale("log")
        axes.set_xlabel(along)
        axes.set_title(f"{most} {fixed}")
    left.set_ylabel("mean variance of the gradient")
    left.legend()
    return made
