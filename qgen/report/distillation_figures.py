"""Figures of low-rank distillation."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from qgen.report import statistics, style
from qgen.report.distillation_rows import Rows, by_arm, curves, excess, gaps, main_block, of, values

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#009E73", "#56B4E9", "#CC79A7", "#E69F00", "#D55E00", "#7A7A7A", "#000000")


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
    for (name, gap), colour in zip(gaps(lessons, counts).items(), ("#D55E00", "#7A7A7A"), strict=True):
        found = [statistics.mean_interval(gap[count]) for count in counts]
        errors = np.nan_to_num([[f.central - f.low for f in found], [f.high - f.central for f in found]])
        x = np.array(counts) * (0.97 if colour == "#D55E00" else 1.03)
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
        arm: float(np.mean([row.measured["energy_j"] for row in own]))
        for arm, own in by_arm(of(rows, "distillation_compression", rank=rank)).items()
        if not arm.startswith("quantum/")
    }
    _bars(first, compress, f"Compressing, rank {rank}", "J")
    distil = {
        arm: own[0].metrics["energy_per_step_j"] * own[0].config["steps"] * len(own[0].config["rates"])
        for arm, own in by_arm(of(rows, "distillation_step")).items()
        if not arm.startswith(("quantum/", "control/"))
    }
    _bars(second, distil, "Distilling one student", "J")
    tokens = {
        "teacher" if not row.config["rank"] else f"rank {row.config['rank']}": 1e3 * row.metrics["energy_per_token_j"]
        for row in sorted(of(rows, "distillation_use"), key=lambda row: -row.metrics["parameters"])
    }
    _bars(third, tokens, "Generating one token", "mJ")
    return made


def _bars(axes, heights: Mapping[str, float], title: str, unit: str) -> None:
    names = list(heights)
    colours = [style.FAMILIES.get(name.split("/")[0], "#0072B2") for name in names]
    axes.barh(range(len(names)), [heights[name] for name in names], color=colours, height=0.6)
    axes.set_yticks(range(len(names)), [name.split("/")[-1].replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(title)
