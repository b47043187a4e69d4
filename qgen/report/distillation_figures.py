"""Figures of low-rank distillation."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from qgen.report import statistics, style
from qgen.report.distillation_rows import Rows, by_arm, curves, excess, gaps, joules_per_token, main_block, of, values

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#009E73", "#56B4E9", "#CC79A7", "#E69F00", "#D55E00", "#7A7A7A", "#000000", "#8C510A")


def parameters(rows: Rows) -> "Figure":
    """Loss over the teacher's against parameters kept: factors alone, and after distillation."""
    made = style.figure(3.0)
    left, right = made.subplots(1, 2, sharey=True)
    for (arm, own), colour in zip(by_arm(of(rows, "distillation_compression")).items(), COLOURS, strict=False):
        _line(left, own, colour, arm.split("/")[1].replace("_", " "), "-" if not arm.startswith("control/") else ":")
    _, count = main_block(rows)
    found = of(rows, "distillation", samples=count)
    ranks = values(of(rows, "distillation_compression"), "rank")
    place = 0
    for arm, taught in by_arm(found).items():
        for start in values(taught, "start"):
            own = [row for row in taught if row.config["start"] == start]
            if len(values(own, "rank")) < len(ranks):
                continue
            label = f"{start.split('/')[1]} + {arm.split('/')[1]}".replace("_", " ").replace(
                "activation aware", "aware"
            )
            mark = ("o-", "s--", "^:")[place % 3]
            _line(right, own, COLOURS[place // 3 % len(COLOURS)], label, mark[1:], mark[0])
            place += 1
    left.set_title("Factors alone")
    right.set_title(f"Distilled on {count} documents")
    left.set_ylabel("loss over the teacher's (nats per token)")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel("share of the blocks' parameters")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=5.5)
    return made


def _line(axes, rows: Rows, colour: str, label: str, line: str, mark: str = "o") -> None:
    points = []
    for rank in values(rows, "rank"):
        own = [row for row in rows if row.config["rank"] == rank]
        points.append((own[0].metrics["share_of_blocks"], *statistics.mean_interval(excess(own))))
    x, middle, low, high = np.array(sorted(points)).T
    errors = np.nan_to_num([middle - low, high - middle])
    axes.errorbar(x, middle, yerr=errors, color=colour, label=label, linestyle=line, marker=mark, markersize=3)


def learning_curves(rows: Rows) -> "Figure":
    """Loss against samples by lesson, and the quantum kernel's differences."""
    lessons, counts = curves(rows)
    made = style.figure(2.9)
    left, right = made.subplots(1, 2)
    for place, (arm, curve) in enumerate(lessons.items()):
        found = [statistics.mean_interval(curve[count]) for count in counts]
        # Shifted a little, so that intervals do not hide one another.
        x = np.array(counts) * 1.03 ** (place - len(lessons) / 2)
        errors = np.nan_to_num([[f.central - f.low for f in found], [f.high - f.central for f in found]])
        left.errorbar(x, [f.central for f in found], yerr=errors, color=COLOURS[place], label=arm, marker="o", ms=3)
    for place, ((name, gap), colour) in enumerate(
        zip(gaps(lessons, counts).items(), ("#D55E00", "#0072B2", "#7A7A7A"), strict=True)
    ):
        found = [statistics.mean_interval(gap[count]) for count in counts]
        errors = np.nan_to_num([[f.central - f.low for f in found], [f.high - f.central for f in found]])
        x = np.array(counts) * 1.03 ** (place - 1)
        right.errorbar(x, [f.central for f in found], yerr=errors, color=colour, label=name, marker="o", ms=3)
    right.axhline(0, color="black", linewidth=0.6)
    left.set_ylabel("loss over the teacher's (nats per token)")
    right.set_ylabel("difference (nats per token)")
    left.set_title("Lessons")
    right.set_title("Paired differences; below 0: quantum better")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set_xlabel("documents")
        axes.legend(fontsize=5.5)
    return made


def joules(rows: Rows) -> "Figure":
    """Joules of compressing, of distilling, and per generated token; what is simulated has no bar."""
    made = style.figure(2.7)
    first, second, third = made.subplots(1, 3)
    rank, _ = main_block(rows)
    compress = {
        arm: [row.measured["energy_j"] for row in own]
        for arm, own in by_arm(of(rows, "distillation_compression", rank=rank)).items()
        if not arm.startswith("quantum/")
    }
    _bars(first, compress, f"Compressing, rank {rank}", "J")
    distil = {
        arm: [row.metrics["energy_per_step_j"] * row.config["steps"] * len(row.config["rates"]) for row in own]
        for arm, own in by_arm(of(rows, "distillation_step")).items()
        if not arm.startswith(("quantum/", "control/"))
    }
    _bars(second, distil, "Distilling one student", "J")
    tokens = {
        f"rank {rank}" if rank else "teacher": [1e3 * joules for joules in own]
        for rank, own in joules_per_token(of(rows, "distillation_use")).items()
    }
    _bars(third, tokens, "Generating one token", "mJ")
    return made


def _bars(axes, numbers: Mapping[str, list[float]], title: str, unit: str) -> None:
    """Means with 95 % intervals."""
    names = list(numbers)
    found = [statistics.mean_interval(numbers[name]) for name in names]
    errors = np.nan_to_num([[f.central - f.low for f in found], [f.high - f.central for f in found]])
    colours = [style.FAMILIES.get(name.split("/")[0], "#0072B2") for name in names]
    middle = [f.central for f in found]
    axes.barh(range(len(names)), middle, xerr=errors, color=colours, height=0.6, error_kw={"elinewidth": 0.8})
    axes.set_yticks(range(len(names)), [name.split("/")[-1].replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(title)
