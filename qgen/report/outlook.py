"""Figures of thresholds and laws: what changes a verdict, which number decides a price, where two laws cross.

All take plain arrays, so that any module's numbers can be drawn through records.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qgen.record import Record
from qgen.report import outlook_tables, select, style, verdict
from qgen.report.draws import FACILITY
from qgen.report.verdict import Thresholds, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SAVES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
BARS = 8
"""Numbers that a small tornado shows at most."""
LEAST_WIDTH = 1.02
"""Narrower bars are not to be seen."""
MARGIN = 100.0
"""Factor between the outermost central values and the ends of the axis of energies."""
FEW_DECADES = 3
"""Up to so many decades an axis is labelled with plain numbers."""
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
    for row in range(1, len(grid)):
        axes.axhline(row - 0.5, color="white", linewidth=1.0)
    if len(words := {word for row in grid for word in row}) == 1:
        # A field of one colour looks like a fault of the figure unless it is said.
        middle = ((len(grid[0]) - 1) / 2, (len(grid) - 1) / 2)
        axes.text(
            *middle,
            f"{words.pop()} at every threshold",
            ha="center",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "boxstyle": "round,pad=0.4"},
        )
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
        colour: its colour where that of its family would not tell it from others.
    """

    label: str
    family: str
    sizes: np.ndarray
    central: np.ndarray
    low: np.ndarray
    high: np.ndarray
    points: np.ndarray
    colour: str = ""


def break_even(
    laws: Sequence[Law],
    crossing: tuple[float, float, float] | None,
    size: str,
    scale: str = "log",
    where: str = "",
) -> "Figure":
    """Energy against problem size on log axes, with the measured points, and the size at which two laws cross.

    Args:
        laws: the curves; extrapolated parts are those beyond a law's points, drawn dashed.
        crossing: the size of the break-even with its interval (central, low, high), None where there is none.
        size: what the size is, for the axis.
        scale: "log" or "linear", of the axis of sizes.
        where: which law it is that crosses, for the legend.
    """
    made = style.figure(3.4)
    axes = made.subplots()
    axes.set_xscale(scale)
    axes.set_yscale("log")
    for law in laws:
        colour = law.colour or style.FAMILIES.get(law.family, "black")
        reach = law.points[0].max() if law.points.size else law.sizes[0]
        inside = law.sizes <= reach
        outside = law.sizes >= law.sizes[inside].max(initial=law.sizes[0])
        axes.plot(law.sizes[inside], law.central[inside], color=colour, label=law.label)
        axes.plot(law.sizes[outside], law.central[outside], color=colour, linestyle="--")
        axes.fill_between(law.sizes, law.low, law.high, color=colour, alpha=0.12, linewidth=0)
        if law.points.size:
            axes.plot(law.points[0], law.points[1], marker="o", markersize=3, color=colour, linestyle="none")
    if crossing:
        axes.axvspan(crossing[1], crossing[2], color="#BBBBBB", alpha=0.3, linewidth=0)
        axes.axvline(crossing[0], color="#555555", linewidth=0.8, label=f"break-even: {crossing[0]:.2g}{where}")
    # A band of a law far beyond its points may span any number of decades: the axis follows the central curves.
    axes.set_ylim(min(law.central.min() for law in laws) / MARGIN, max(law.central.max() for law in laws) * MARGIN)
    decades = np.log10(max(law.sizes.max() for law in laws) / min(law.sizes.min() for law in laws))
    if scale == "linear" or decades < FEW_DECADES:
        for labelled in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            labelled("{x:g}")
    axes.grid(linewidth=0.3, color="#E8E8E8")
    axes.set_xlabel(size)
    axes.set_ylabel("energy (J)")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    return made


def break_evens(records: Sequence[Record], facts: Mapping[str, select.StageFacts]) -> Iterator[tuple[str, "Figure"]]:
    """A figure per circuit and per task: the measured law of the rival and the best machine of each date."""
    found = select.newest(records, "breakeven")
    rivals = {(row.stage, row.arm, row.config["task"]): row for row in select.newest(records, "laws")}
    for (stage, task, size_name), rows in outlook_tables.grouped(found, "task", "size_name").items():
        able = [row for row in rows if row.metrics and (stage, row.config["rival"], task) in rivals]
        shown = outlook_tables.best_by_date(able)
        if not shown:
            continue
        measured = rivals[stage, shown[0].config["rival"], task]
        fitted = np.array(measured.trace["fitted"]) > 0
        points = np.array([measured.trace["size"], measured.trace["energy_j"]])[:, fitted]
        laws = [_in_its_building(_law(measured.arm, "classical", measured, points))]
        for row in shown:
            date = select.date(row.config["machine"])
            # What was priced is no extrapolation; a power law through priced sizes is one beyond them.
            own = row.trace if "size" in row.trace else {"size": row.trace["curve_size"], "energy_j": []}
            points = (
                np.array([own["size"], own["energy_j"]]) if own["energy_j"] else np.array([own["size"][-1:], [np.nan]])
            )
            laws.append(_law(row.config["machine"], "quantum", row, points)._replace(colour=style.DATES[date]))
        first = min(shown, key=lambda row: row.metrics.get("size", np.inf))
        nearest = first.metrics
        crossing = (
            (nearest["size"], nearest["size_low"], nearest.get("size_high", nearest["searched_high"]))
            if "size" in nearest
            else None
        )
        title = outlook_tables.TITLES.get((stage, task)) or f"{facts[stage].title}: {shown[0].arm}"
        scale = "linear" if measured.metrics["exponential"] else "log"
        made = break_even(laws, crossing, size_name, scale, f" ({first.config['machine']})" if len(shown) > 1 else "")
        if claim := shown[0].config.get("claim"):
            made.axes[0].axvline(claim, color="#555555", linewidth=0.8, linestyle=":", label=f"published: {claim:g}")
            made.axes[0].legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
        made.axes[0].set_title(title)
        yield f"break_even_{task}", made


def at_best(rows: Sequence[Record]) -> "Figure":
    """A panel per stage: the best classical arm in proportion to size, the best machine of each date as its root."""
    panels = {stage: outlook_tables.best_by_date(own) for (stage,), own in outlook_tables.grouped(rows).items()}
    columns = 2
    count = -(-len(panels) // columns)
    made = style.figure(0.5 + 1.75 * count)
    grid = made.subplots(count, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    for axes, (stage, shown) in zip(grid.flat, panels.items(), strict=False):
        axes.set_xscale("log")
        axes.set_yscale("log")
        first = shown[0].metrics
        crossings = [row.metrics["size"] for row in shown if "size" in row.metrics]
        sizes = np.geomspace(1.0, max(MARGIN * max(crossings, default=1.0), 1e4), 100)
        axes.plot(sizes, first["rival_j"] * sizes, color=style.FAMILIES["classical"], label=shown[0].config["rival"])
        for row in shown:
            m, colour = row.metrics, style.DATES[select.date(row.config["machine"])]
            middle, low, high = (
                m[f"energy_j{end}"] * np.sqrt(sizes) + m["host_j"] * sizes for end in ("", "_low", "_high")
            )
            axes.plot(sizes, middle, color=colour, label=row.config["machine"])
            axes.fill_between(sizes, low, high, color=colour, alpha=0.12, linewidth=0)
            if "size" in m:
                axes.plot(m["size"], first["rival_j"] * m["size"], marker="o", markersize=4, color=colour)
        axes.set_title(f"{stage}: {shown[0].arm.partition('/')[2]}", fontsize=7)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, fontsize=5.5, handlelength=1.6)
        axes.grid(linewidth=0.3, color="#E8E8E8")
    made.supxlabel("times this problem's size, were the machine's energy to grow as the square root", fontsize=8)
    made.supylabel("energy (J), with building", fontsize=8)
    return made


def _in_its_building(law: Law) -> Law:
    """A measured law with the facility factor, so that it crosses a machine's where the break-even is."""
    _, factor, _ = FACILITY
    return law._replace(
        label=f"{law.label} × {factor:g} (PUE)",
        central=factor * law.central,
        low=factor * law.low,
        high=factor * law.high,
        points=law.points * np.array([[1.0], [factor]]),
    )


def _law(label: str, family: str, row: Record, points: np.ndarray) -> Law:
    sizes, central, low, high = (
        np.array(row.trace[name]) for name in ("curve_size", "curve_j", "curve_low_j", "curve_high_j")
    )
    return Law(label, family, sizes, central, low, high, points)


def tornados(rows: Sequence[Record]) -> "Figure":
    """One small tornado per stage: the widest numbers of the best machine, next to each other on axes of their own."""
    columns = 2
    shown = [(row, [entry for entry in outlook_tables.widths(row) if entry[3] > LEAST_WIDTH][:BARS]) for row in rows]
    heights = [max(len(bars) for _, bars in shown[k : k + columns]) for k in range(0, len(shown), columns)]
    made = style.figure(0.4 + sum(0.87 + 0.13 * height for height in heights))
    grid = made.subplots(len(heights), columns, squeeze=False, height_ratios=[3 + height for height in heights])
    for axes in grid.flat[len(shown) :]:
        axes.axis("off")
    for axes, (row, bars) in zip(grid.flat, shown, strict=False):
        _bars(axes, [entry[0] for entry in bars], [entry[1:3] for entry in bars], row.metrics["central_j"])
        axes.set_title(f"{row.stage}: {row.arm.partition('/')[2]}\non {row.config['machine']}", fontsize=7)
    made.supxlabel("projected energy (J); blue: number at its low end, orange: at its high end", fontsize=8)
    return made


def _bars(axes: "Axes", names: Sequence[str], ends: Sequence[tuple[float, float]], central: float) -> None:
    axes.set_xscale("log")
    for y, pair in enumerate(ends):
        for end, colour in zip(pair, ("#6BAED6", "#D55E00"), strict=True):
            left, right = min(central, end), max(central, end)
            axes.barh(y, right - left, left=left, height=0.7, color=colour, linewidth=0)
    axes.axvline(central, color="black", linewidth=0.8)
    axes.use_sticky_edges = False
    axes.autoscale()
    axes.set_yticks(range(len(names)), list(names))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def supply(rows: Sequence[Record]) -> "Figure":
    """Grams per kWh by region and year with their range, and what storage technologies cost; the unproven one apart."""
    regions = [row for row in rows if row.arm.startswith("region/")]
    storages = [row for row in rows if row.arm.startswith("storage/")]
    made = style.figure(3.0)
    left, right = made.subplots(1, 2, width_ratios=[3, 2])
    colours = ("#000000", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#E69F00")
    for row, colour in zip(regions, colours, strict=False):
        trace = row.trace
        left.plot(trace["year"], trace["g_per_kwh"], color=colour, label=row.arm.removeprefix("region/"))
        left.fill_between(
            trace["year"], trace["g_per_kwh_low"], trace["g_per_kwh_high"], color=colour, alpha=0.08, linewidth=0
        )
    left.set_ylim(bottom=0)
    years = regions[0].trace["year"]
    left.set_xticks(years, [f"{year:.0f}" for year in years])
    left.set_ylabel("CO2 per kWh used in a data centre (g)")
    left.set_title("grid, data centre and storage (bands: 5 % to 95 %)")
    left.legend(ncols=2)
    for y, row in enumerate(storages):
        if row.metrics:
            low, high = row.metrics["round_trip_low"], row.metrics["round_trip_high"]
            right.hlines(y, low, high, color="#0072B2", linewidth=1.1)
            right.plot(row.metrics["round_trip"], y, "o", color="#0072B2", markersize=4)
            right.text(high + 0.02, y, row.note.split(",")[0], va="center", fontsize=6, color="#666666")
        else:
            right.text(0.0, y, "no reproducible evidence (grade D): excluded", va="center", fontsize=6, color="#D55E00")
    right.set_yticks(range(len(storages)), [row.arm.removeprefix("storage/").replace("_", " ") for row in storages])
    right.set_ylim(len(storages) - 0.5, -0.5)
    right.set_xlim(-0.03, 1.3)
    right.set_xticks((0, 0.5, 1))
    right.tick_params(axis="y", length=0)
    right.set_title("round trip of storage")
    return made


def all_figures(records: Sequence[Record], facts: Mapping[str, select.StageFacts]) -> Iterator[tuple[str, "Figure"]]:
    """Name and figure of everything that these records can show."""
    yield from break_evens(records, facts)
    if rows := [row for row in select.newest(records, "breakeven") if row.config["task"] == outlook_tables.AT_BEST]:
        yield "break_even_at_best", at_best(rows)
    if rows := select.newest(records, "tornado"):
        yield "tornado", tornados(rows)
    if rows := select.newest(records, "scenario"):
        yield "scenario", supply(rows)
