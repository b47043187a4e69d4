"""Tables and the figure of adapters: trained parameters against held-out bits per byte, and published counts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qgen.record import Record
from qgen.report import statistics, style, tables, words
from qgen.report.statistics import Interval
from qgen.report.tables import Group, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
FAMILIES = ("classical", "inspired", "quantum", "control")


class Cell(NamedTuple):
    """One method at one size, with its rows by seed."""

    arm: str
    size: str
    rows: Mapping[int, Record]

    @property
    def family(self) -> str:
        """The first half of the name."""
        return self.arm.split("/")[0]

    @property
    def parameters(self) -> float:
        """Trained numbers."""
        return next(iter(self.rows.values())).metrics["parameters"]

    def mean(self, name: str) -> float:
        """The mean of a metric over the seeds."""
        return float(np.mean([row.metrics[name] for row in self.rows.values()]))

    def interval(self, name: str) -> Interval:
        """The mean of a metric with its 95 % interval."""
        return statistics.mean_interval([row.metrics[name] for row in self.rows.values()])


def cells(rows: Sequence[Record]) -> list[Cell]:
    """The trained rows by method and size, fewest numbers first."""
    made: dict[tuple[str, str], dict[int, Record]] = {}
    for row in rows:
        if row.experiment == "finetuning" and row.status == "ok":
            made.setdefault((row.arm, row.config["size"]), {})[row.seed] = row
    found = [Cell(arm, size, own) for (arm, size), own in made.items()]
    return sorted(found, key=lambda cell: (cell.parameters, cell.arm))


def rival(cell: Cell, found: Sequence[Cell]) -> Cell | None:
    """The classical cell of the least mean loss among those of at most as many trained numbers."""
    fewer = [c for c in found if c.family == "classical" and c.parameters <= cell.parameters and c is not cell]
    return min(fewer, key=lambda c: c.mean("bits_per_byte"), default=None)


def nearest(cell: Cell, found: Sequence[Cell]) -> Cell | None:
    """The classical cell of the closest size, as a ratio of trained numbers; of several, the one of least loss."""
    others = [c for c in found if c.family == "classical" and c is not cell]
    return min(
        others,
        key=lambda c: (abs(np.log(c.parameters / cell.parameters)), c.mean("bits_per_byte")),
        default=None,
    )


def gap(cell: Cell, other: Cell) -> Interval:
    """The paired difference of bits per byte with its 95 % interval; below zero: the cell is better."""
    shared = sorted(cell.rows.keys() & other.rows.keys())
    return statistics.mean_interval(
        [cell.rows[seed].metrics["bits_per_byte"] - other.rows[seed].metrics["bits_per_byte"] for seed in shared]
    )


def write(rows: Sequence[Record], out: Path, console: "Console | None" = None) -> None:
    """Writes every table and figure for which there are rows, and prints the tables.

    Args:
        rows: the rows of a run of `experiments.finetuning`.
        out: the folder that receives `tables/` and `figures/`.
        console: where to print; None prints nothing.
    """
    made = {"pareto": pareto_table(cells(rows))} if cells(rows) else {}
    if counted := [row for row in rows if row.experiment == "adapter_counts"]:
        made["counts"] = counts(counted)
    for name, table in made.items():
        tables.save(table, out / "tables", name)
        if console is not None:
            tables.show(table, console)
    if found := cells(rows):
        drawn = out / "figures"
        drawn.mkdir(parents=True, exist_ok=True)
        with style.applied():
            style.save(pareto(found), drawn / "pareto")


def pareto_table(found: Sequence[Cell]) -> Table:
    """Every method and size: trained numbers, loss, joules, and gaps to two classical rivals."""
    groups = []
    for family in FAMILIES:
        own = [cell for cell in found if cell.family == family]
        lines = [_line(cell, found) for cell in sorted(own, key=lambda cell: (cell.arm, cell.parameters))]
        if lines:
            groups.append(Group(family, "", lines, frozenset(range(len(lines)) if family == "control" else ())))
    some = next(iter(found[0].rows.values()))
    before = np.mean([row.metrics["before"] for row in found[0].rows.values()])
    return Table(
        caption="Adapters on a few documents of a second domain: means over seeds with 95 % intervals.",
        header=(
            "method",
            "size",
            "trained",
            "bits per byte",
            "chosen rates",
            "J per training",
            "shots",
            "to the best of no more",
            "to the nearest size",
        ),
        groups=groups,
        label="family",
        notes=[
            f"Before adapting: {before:.3f} bits per byte. {some.config['seeds']} seeds, "
            f"{some.config['steps']} steps of {some.config['batch']} windows, {some.config['samples']} documents.",
            f"Learning rates {', '.join(f'{rate:g}' for rate in some.config['rates'])} for every method; validation "
            "chooses per seed. *: a chosen rate is the highest or lowest of them.",
            "J per training: a population's joules over its trainings, compilation apart; for circuits, of simulating.",
            "Last columns: bits per byte less those of a classical rival (and its trained numbers), paired over seeds, "
            "with 95 % interval; below 0 beats it. No more: the least mean among those of no more trained numbers. "
            "Nearest size: the one of the closest number, above or below.",
        ],
    )


def _line(cell: Cell, found: Sequence[Cell]) -> list[str]:
    loss = cell.interval("bits_per_byte")
    rates = sorted({row.metrics["rate"] for row in cell.rows.values()})
    edge = "*" if cell.mean("at_edge") > 0 else ""
    shots = next(iter(cell.rows.values())).resources.get("shots", 0)
    return [
        cell.arm.split("/")[1],
        cell.size,
        f"{cell.parameters:.0f}",
        _pm(loss),
        ", ".join(f"{rate:g}" for rate in rates) + edge,
        words.significant(cell.mean("training_energy_j")),
        words.significant(shots) if shots else "",
        _against(cell, rival(cell, found)),
        _against(cell, None if cell.family == "classical" else nearest(cell, found)),
    ]


def _against(cell: Cell, other: Cell | None) -> str:
    """A gap and whose it is."""
    if other is None:
        return ""
    return f"{_pm(gap(cell, other), sign='+')} ({other.arm.split('/')[1]} {other.parameters:.0f})"


def _pm(interval: Interval, sign: str = "") -> str:
    half = "" if np.isnan(interval.high) else f" ± {interval.high - interval.central:.3f}"
    return f"{interval.central:{sign}.3f}{half}"


def counts(rows: Sequence[Record]) -> Table:
    """Trained parameters of published settings on a model of 7 billion parameters."""
    lines = [
        [
            row.arm,
            row.config["size"],
            f"{row.metrics['parameters']:,.0f}",
            f"{100 * row.metrics['share']:.4f} %",
            row.note,
        ]
        for row in rows
    ]
    return Table(
        caption="Trained numbers on q_proj and v_proj of LLaMA-2-7B: 64 matrices of 4096 x 4096.",
        header=("method", "size", "trained", "of the model", "published"),
        groups=[Group("", "", lines)],
    )


def pareto(found: Sequence[Cell]) -> "Figure":
    """Trained numbers against held-out bits per byte with 95 % intervals, and the classical front."""
    made = style.figure(3.9)
    axes = made.subplots()
    for family in FAMILIES:
        arms = list(dict.fromkeys(cell.arm for cell in found if cell.family == family))
        for arm, marker in zip(sorted(arms), MARKERS, strict=False):
            own = [cell for cell in found if cell.arm == arm]
            losses = [cell.interval("bits_per_byte") for cell in own]
            half = [0.0 if np.isnan(loss.high) else loss.high - loss.central for loss in losses]
            axes.errorbar(
                [cell.parameters for cell in own],
                [loss.central for loss in losses],
                half,
                fmt=f"{marker}-",
                color=style.FAMILIES[family],
                markersize=4,
                markerfacecolor="white" if family == "control" else None,
                linewidth=0.8,
                elinewidth=0.6,
                label=f"{family}: {arm.split('/')[1].replace('_', ' ')}",
            )
    front: list[Cell] = []
    for cell in found:
        if cell.family == "classical" and (not front or cell.mean("bits_per_byte") < front[-1].mean("bits_per_byte")):
            front.append(cell)
    axes.step(
        [cell.parameters for cell in front],
        [cell.mean("bits_per_byte") for cell in front],
        where="post",
        color=style.FAMILIES["classical"],
        linewidth=4,
        alpha=0.18,
        label="classical front",
        zorder=0,
    )
    axes.set_xscale("log")
    axes.set_xlabel("trained parameters")
    axes.set_ylabel("bits per byte, held-out documents of the second domain")
    axes.set_title("Every adapter on the lifecycle's model; mean and 95 % interval over seeds")
    axes.legend(fontsize=6, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return made
