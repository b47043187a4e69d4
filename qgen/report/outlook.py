"""Figures of thresholds and laws: what changes a verdict, which number decides a price, where two laws cross.

All take plain arrays, so that any module's numbers can be drawn through records.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qgen.report import style, verdict
from qgen.report.verdict import Thresholds, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SAVES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
FACTORS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def sensitivity(found: Sequence[Verdict], rules: Thresholds) -> "Figure":
    """How time scale and potential change with the thresholds; a dot marks the article's word."""
    scales, potentials = verdict.sensitivity(found, rules, SAVES, FACTORS)
    made = style.figure(1.5 + 0.25 * len(found))
    left, right = made.subplots(1, 2, sharey=True)
    claims = [(row.facts.time_scale, row.facts.potential) for row in found]
    _words(left, scales, style.WORDS, [claim for claim, _ in claims])
    left.set_xticks(range(len(SAVES)), [f"{value:g}" for value in SAVES])
    left.set_xlabel("threshold of P(saves)")
    left.set_title("time scale")
    left.set_yticks(range(len(found)), [row.facts.title for row in found])
    _words(right, potentials, style.POTENTIALS, [claim for _, claim in claims])
    right.set_xticks(range(len(FACTORS)), [f"{value:g}" for value in FACTORS])
    right.set_xlabel("factor on the thresholds of the potential")
    right.set_title("potential")
    return made


def _words(axes: "Axes", grid: Sequence[Sequence[str]], colours: Mapping[str, str], claims: Sequence[str]) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    order = list(colours)
    numbers = np.array([[order.index(word) for word in row] for row in grid])
    axes.imshow(numbers, cmap=ListedColormap(list(colours.values())), vmin=-0.5, vmax=len(order) - 0.5, aspect="auto")
    for row, claim in enumerate(claims):
        for column, word in enumerate(grid[row]):
            if word == claim:
                axes.plot(column, row, marker="o", color="black", markersize=2.5)
    axes.tick_params(length=0)
    handles = [
        Patch(facecolor=colour, edgecolor="#888888", linewidth=0.4, label=word) for word, colour in colours.items()
    ]
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=5,
        ncols=4,
        handlelength=1,
        columnspacing=1,
    )


class Law(NamedTuple):
    """A quantity against size: fitted curve with interval, and the points it was fitted to.

    Attributes:
        label: its name in the legend.
        family: which colour it has.
        sizes: where the curve is drawn, [n].
        central: its values, [n].
        low: lower end of the interval, [n].
        high: upper end of the interval, [n].
        points: sizes and values that were measured, [2, m].
    """

    label: str
    family: str
    sizes: np.ndarray
    central: np.ndarray
    low: np.ndarray
    high: np.ndarray
    points: np.ndarray


def break_even(laws: Sequence[Law], crossing: tuple[float, float, float] | None, size: str) -> "Figure":
    """Energy against problem size on log axes, with the measured points, and the size at which two laws cross.

    Args:
        laws: the curves; extrapolated parts are those beyond a law's points, drawn dashed.
        crossing: the size of the break-even with its interval (central, low, high), None where there is none.
        size: what the size is, for the axis.
    """
    made = style.figure(3.2)
    axes = made.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    for law in laws:
        colour = style.FAMILIES.get(law.family, "black")
        reach = law.points[0].max() if law.points.size else law.sizes[0]
        inside = law.sizes <= reach
        outside = law.sizes >= law.sizes[inside].max(initial=law.sizes[0])
        axes.plot(law.sizes[inside], law.central[inside], color=colour, label=law.label)
        axes.plot(law.sizes[outside], law.central[outside], color=colour, linestyle="--")
        axes.fill_between(law.sizes, law.low, law.high, color=colour, alpha=0.15, linewidth=0)
        if law.points.size:
            axes.plot(law.points[0], law.points[1], marker="o", markersize=3, color=colour, linestyle="none")
    if crossing:
        axes.axvspan(crossing[1], crossing[2], color="#BBBBBB", alpha=0.3, linewidth=0)
        axes.axvline(crossing[0], color="#555555", linewidth=0.8, label=f"break-even: {crossing[0]:.2g}")
    for labelled in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        labelled("{x:g}")
    axes.set_xlabel(size)
    axes.set_ylabel("energy (J)")
    axes.legend()
    return made


def tornado(names: Sequence[str], low: Sequence[float], high: Sequence[float], central: float, axis: str) -> "Figure":
    """Which number decides: the result with each input at either end of its range, widest on top.

    Args:
        names: the inputs.
        low: the result with the input at the low end of its range.
        high: the result with the input at the high end.
        central: the result with all inputs central.
        axis: what the result is, for the axis.
    """
    spread = [abs(np.log(b / a)) for a, b in zip(low, high, strict=True)]
    order = sorted(range(len(names)), key=lambda index: spread[index], reverse=True)
    made = style.figure(0.8 + 0.2 * len(names))
    axes = made.subplots()
    axes.set_xscale("log")
    for y, index in enumerate(order):
        for end, colour in ((low[index], "#6BAED6"), (high[index], "#D55E00")):
            left, right = min(central, end), max(central, end)
            axes.barh(y, right - left, left=left, height=0.7, color=colour, linewidth=0)
    axes.axvline(central, color="black", linewidth=0.8)
    axes.use_sticky_edges = False
    axes.autoscale()
    axes.set_yticks(range(len(names)), [names[index] for index in order])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{axis}; blue: input at its low end, orange: at its high end")
    return made
