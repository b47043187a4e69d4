"""The lifecycle's figures: functions of comparisons, lives and verdicts that return a matplotlib Figure."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qgen.record import Record
from qgen.report import lines, select, style
from qgen.report.compare import Comparison, StageTable
from qgen.report.life import Life
from qgen.report.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_IN = 0.15


def energy(stages: Sequence[StageTable]) -> "Figure":
    """Energy of every arm on a log axis: measured where it is classical, projected per date where it is quantum."""
    rows: list[tuple[str, Comparison | None, int]] = []
    bands: list[tuple[float, int, int]] = []
    for stage in stages:
        start = len(rows)
        rows.append((stage.facts.title, None, 1))
        rows += [(arm.arm, arm, len(_machines(arm))) for arm in stage.arms if arm.measured]
        if stage.best and stage.best.measured:
            bands.append((stage.best.measured.central, start, len(rows)))
    # Each projected date has a line of its own.
    tops = np.concatenate([[0], np.cumsum([max(1, count) for _, _, count in rows])])
    made = style.figure(1.0 + ROW_IN * float(tops[-1]))
    axes = made.subplots()
    axes.set_xscale("log")
    for central, start, stop in bands:
        axes.vlines(
            central, tops[start] + 0.5, tops[stop] - 0.3, color="#BBBBBB", linewidth=0.7, linestyle=":", zorder=0
        )
    for (_, arm, _), top in zip(rows, tops[:-1], strict=True):
        if arm is not None:
            _energy_row(axes, arm, float(top))
    axes.set_yticks(tops[:-1], [label for label, _, _ in rows])
    for tick, (_, arm, _) in zip(axes.get_yticklabels(), rows, strict=True):
        if arm is None:
            tick.set_fontweight("bold")
        elif arm.family in style.FAMILIES:
            tick.set_color(style.FAMILIES[arm.family])
    axes.set_ylim(float(tops[-1]) - 0.3, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", linewidth=0.3, color="#E0E0E0")
    axes.margins(x=0.12)
    axes.set_xlabel("energy (J); bars: range of the meter (without building), or 5 % to 95 % of the projection")
    _legend(made, _family_handles(stages) + _date_handles(stages), columns=5)
    return made


def _machines(arm: Comparison) -> list:
    return lines.best_by_date(dict(arm.projections)) if arm.simulated else []


def _energy_row(axes: "Axes", arm: Comparison, top: float) -> None:
    assert arm.measured is not None
    colour = style.FAMILIES.get(arm.family, "black")
    if not arm.simulated:
        interval = Interval(arm.measured.central, arm.measured.low, arm.measured.high)
        _point(axes, interval, top, colour, "o", filled=True)
        return
    # A little above the line, where it hides no machine's name.
    axes.plot(arm.measured.central, top - 0.3, marker="x", color="#999999", markersize=3.5, linestyle="none")
    for index, (name, projection) in enumerate(_machines(arm)):
        place = top + index
        _point(axes, projection.energy, place, colour, style.MARKERS[select.date(name)], filled=False)
        axes.annotate(
            name,
            (projection.energy.high, place),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=5.5,
            color="#666666",
            va="center",
        )


def _point(axes: "Axes", interval: Interval, y: float, colour: str, marker: str, filled: bool) -> None:
    axes.hlines(y, interval.low, interval.high, color=colour, linewidth=1.1)
    face = colour if filled else "white"
    axes.plot(interval.central, y, marker=marker, color=colour, markerfacecolor=face, markersize=4, linestyle="none")


def quality(stages: Sequence[StageTable]) -> "Figure":
    """The headline score of every arm with its 95 % interval, and the band that counts as equal quality."""
    from matplotlib.patches import Patch

    columns = 2
    shown = [[(arm, arm.quality) for arm in stage.arms if arm.quality] for stage in stages]
    heights = [max(len(arms) for arms in shown[i : i + columns]) for i in range(0, len(shown), columns)]
    made = style.figure(0.5 + sum(0.62 + ROW_IN * height for height in heights))
    grid = made.subplots(len(heights), columns, squeeze=False, height_ratios=[3.6 + height for height in heights])
    for axes in grid.flat[len(stages) :]:
        axes.axis("off")
    for axes, stage, arms in zip(grid.flat, stages, shown, strict=False):
        score = stage.facts.quality
        if stage.best and stage.best.quality:
            edge = stage.best.quality.central - score.margin * (1 if score.higher_is_better else -1)
            axes.axvspan(stage.best.quality.central, edge, color=style.FAMILIES["classical"], alpha=0.12, linewidth=0)
        for y, (arm, value) in enumerate(arms):
            if np.isnan(value.low):
                value = Interval(value.central, value.central, value.central)
            _point(axes, value, y, style.FAMILIES.get(arm.family, "black"), "o", filled=not arm.simulated)
        axes.set_yticks(range(len(arms)), [arm.arm for arm, _ in arms])
        axes.set_ylim(len(arms) - 0.5, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=5)
        axes.set_title(stage.facts.title)
        axes.set_xlabel(f"{score.name} ({'higher' if score.higher_is_better else 'lower'} is better)")
    band = Patch(color=style.FAMILIES["classical"], alpha=0.12, linewidth=0, label="equal to the best classical arm")
    _legend(made, [*_family_handles(stages), band], columns=5)
    return made


def saves(stages: Sequence[StageTable]) -> "Figure":
    """P(saves energy at equal quality) of every quantum arm on every machine."""
    arms = [(stage.name, arm) for stage in stages for arm in stage.arms if arm.projections and arm.family == "quantum"]
    names = list(dict.fromkeys(name for _, arm in arms for name in arm.projections))
    names.sort(key=lambda name: list(style.MARKERS).index(select.date(name)))
    grid = np.full((len(arms), len(names)), np.nan)
    made = style.figure(1.75 + 0.24 * len(arms))
    axes = made.subplots()
    for row, (_, arm) in enumerate(arms):
        for column, name in enumerate(names):
            projection = arm.projections.get(name)
            if projection and projection.saves is not None:
                grid[row, column] = projection.saves
                if projection.saves >= 0.005:
                    shade = "white" if projection.saves > 0.55 else "black"
                    text = "1" if projection.saves >= 0.995 else f"{projection.saves:.2f}".lstrip("0")
                    axes.text(column, row, text, ha="center", va="center", fontsize=5, color=shade)
            elif projection and projection.reason:
                axes.text(column, row, "–", ha="center", va="center", fontsize=6, color="#AAAAAA")
    image = axes.imshow(grid, vmin=0, vmax=1, cmap=style.PROBABILITY, aspect="auto")
    axes.set_yticks(range(len(arms)), [f"{stage}: {arm.arm}" for stage, arm in arms])
    axes.set_xticks(range(len(names)), [name.removesuffix(f"_{select.date(name)}") for name in names], rotation=90)
    axes.tick_params(length=0)
    dates = [select.date(name) for name in names]
    for date in dict.fromkeys(dates):
        first, last = dates.index(date), len(dates) - 1 - dates[::-1].index(date)
        axes.text((first + last) / 2, -0.75, lines.DATES[date], ha="center", va="bottom", fontweight="bold")
        if first:
            axes.axvline(first - 0.5, color="black", linewidth=0.8)
    for row in range(1, len(arms)):
        if arms[row][0] != arms[row - 1][0]:
            axes.axhline(row - 0.5, color="#CCCCCC", linewidth=0.5)
    bar = made.colorbar(image, ax=axes, location="bottom", shrink=0.5, aspect=40, pad=0.03)
    bar.set_label("P(saves energy at equal quality); – the machine cannot run it")
    return made


def curves(records: Sequence[Record]) -> "Figure | None":
    """Every trace of the records against its step: mean over seeds with their range; None without traces."""
    traced = [
        record for record in records if record.trace and record.upstream == select.REFERENCE and record.status == "ok"
    ]
    panels = list(dict.fromkeys((record.stage, name) for record in traced for name in record.trace))
    if not panels:
        return None
    from matplotlib.ticker import MaxNLocator

    columns = 2
    count = -(-len(panels) // columns)
    made = style.figure(0.3 + 1.5 * count)
    grid = made.subplots(count, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    for axes, (stage, name) in zip(grid.flat, panels, strict=False):
        own = [record for record in traced if record.stage == stage and name in record.trace]
        seen: dict[str, int] = {}
        for arm in dict.fromkeys(record.arm for record in own):
            family = select.family(arm)
            dashes = ("-", "--", ":", "-.")[seen.setdefault(family, 0) % 4]
            seen[family] += 1
            values = [record.trace[name] for record in own if record.arm == arm]
            # Runs of one arm may end at different steps; the mean covers the steps that all have.
            stack = np.array([value[: min(map(len, values))] for value in values])
            steps = np.arange(1, stack.shape[1] + 1)
            colour = style.FAMILIES.get(family, "black")
            axes.plot(steps, stack.mean(axis=0), color=colour, linestyle=dashes, label=arm)
            axes.fill_between(steps, stack.min(axis=0), stack.max(axis=0), color=colour, alpha=0.15, linewidth=0)
        axes.set_title(f"{stage}: {name}")
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        # Beside the curves: no place among them is free in every panel.
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, fontsize=5.5, handlelength=1.6)
    return made


def lives(found: Sequence[Life]) -> "Figure":
    """Energy of the whole life with one quantum arm swapped in, over that of the all-classical life."""
    swaps = [life for life in found if life.swap and life.ratios]
    machines = [lines.best_by_date({name: _as_projection(life, name) for name in life.ratios}) for life in swaps]
    counts = [len(shown) for shown in machines]
    tops = np.concatenate([[0], np.cumsum([count + 0.6 for count in counts])])
    made = style.figure(1.0 + ROW_IN * float(tops[-1]))
    axes = made.subplots()
    axes.set_xscale("log")
    axes.axvline(1, color=style.FAMILIES["classical"], linewidth=1)
    for shown, life, top in zip(machines, swaps, tops[:-1], strict=True):
        for index, (name, _) in enumerate(shown):
            ratio = life.ratios[name]
            _point(axes, ratio, top + index, style.FAMILIES["quantum"], style.MARKERS[select.date(name)], filled=False)
            # A name stands where it does not cross the line of the all-classical life.
            left = ratio.high < 1
            axes.annotate(
                name,
                (ratio.low if left else ratio.high, top + index),
                xytext=(-5 if left else 5, 0),
                textcoords="offset points",
                fontsize=5.5,
                color="#666666",
                ha="right" if left else "left",
                va="center",
            )
    axes.margins(x=0.15)
    axes.set_yticks(tops[:-1], [f"{life.swap[0]}: {life.swap[1]}" for life in swaps if life.swap])
    axes.set_ylim(float(tops[-1]) - 0.3, -0.8)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", linewidth=0.3, color="#E0E0E0")
    axes.set_xlabel("energy of the whole life with this arm swapped in, over the all-classical life (line)")
    _legend(made, _markers({select.date(name) for shown in machines for name, _ in shown}), columns=3)
    return made


def _as_projection(life: Life, name: str):
    return lines.Projection(energy=life.totals[name])


def _legend(made: "Figure", handles: list, columns: int) -> None:
    if handles:
        made.legend(handles=handles, loc="outside upper left", ncols=columns, handletextpad=0.3, columnspacing=1.2)


def _family_handles(stages: Sequence[StageTable]) -> list:
    from matplotlib.lines import Line2D

    present = {arm.family for stage in stages for arm in stage.arms if arm.quality}
    return [
        Line2D([], [], color=colour, marker="o", markersize=4, label=family)
        for family, colour in style.FAMILIES.items()
        if family in present
    ]


def _date_handles(stages: Sequence[StageTable]) -> list:
    from matplotlib.lines import Line2D

    dates = {select.date(name) for stage in stages for arm in stage.arms for name, _ in _machines(arm)}
    cross = Line2D([], [], color="#999999", marker="x", markersize=4, linestyle="none", label="simulation, here")
    dotted = Line2D([], [], color="#BBBBBB", linestyle=":", label="best classical arm")
    return [*_markers(dates), *([cross] if dates else []), dotted]


def _markers(dates: set[str]) -> list:
    from matplotlib.lines import Line2D

    return [
        Line2D(
            [],
            [],
            color="black",
            marker=marker,
            markerfacecolor="white",
            markersize=4,
            linestyle="none",
            label=f"projected, {lines.DATES[date]}",
        )
        for date, marker in style.MARKERS.items()
        if date in dates
    ]


def all_figures(
    records: Sequence[Record], stages: Sequence[StageTable], found: Sequence[Life]
) -> Iterator[tuple[str, "Figure"]]:
    """Name and figure of everything that these records can show."""
    yield "energy", energy(stages)
    yield "quality", quality(stages)
    if any(arm.projections for stage in stages for arm in stage.arms if arm.family == "quantum"):
        yield "saves", saves(stages)
    if (made := curves(records)) is not None:
        yield "curves", made
    if any(life.ratios for life in found):
        yield "life", lives(found)
