"""The table and the learning curves of policies: circuits, their controls, and networks of as many trained numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qgen.record import Record
from qgen.report import statistics, style, tables, words
from qgen.report.statistics import Interval
from qgen.report.tables import Group, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

RIVAL = "classical/mlp"
COLOURS = {
    "classical/mlp": "#0072B2",
    "classical/linear": "#56B4E9",
    "quantum/circuit": "#D55E00",
    "control/infinite_shots": "#E69F00",
    "control/no_entanglement": "#009E73",
    "control/frozen_circuit": "#7A7A7A",
}
Runs = Mapping[str, Mapping[str, Mapping[int, Record]]]
"""Task and rule -> arm -> seed -> row."""


def runs(rows: Sequence[Record]) -> Runs:
    """The rows by task and rule, arm and seed."""
    made: dict[str, dict[str, dict[int, Record]]] = {}
    for row in rows:
        if row.experiment == "reinforcement" and row.status == "ok":
            made.setdefault(row.stage, {}).setdefault(row.arm, {})[row.seed] = row
    return made


def write(rows: Sequence[Record], out: Path, console: "Console | None" = None) -> None:
    """Writes the table and the figure, and prints the table.

    Args:
        rows: the rows of a run of `experiments.reinforcement`.
        out: the folder that receives `tables/` and `figures/`.
        console: where to print; None prints nothing.
    """
    found = runs(rows)
    if not found:
        return
    drawn = out / "figures"
    drawn.mkdir(parents=True, exist_ok=True)
    made = table(found)
    tables.save(made, out / "tables", "policies")
    if console is not None:
        tables.show(made, console)
    with style.applied():
        style.save(curves(found), drawn / "curves")


def difference(own: Mapping[int, Record], other: Mapping[int, Record]) -> Interval:
    """The paired difference of the final return over the seeds that both have, with its 95 % interval."""
    shared = sorted(own.keys() & other.keys())
    return statistics.mean_interval([own[seed].metrics["return"] - other[seed].metrics["return"] for seed in shared])


def table(found: Runs) -> Table:
    """Final return of every arm, what it took, and the difference to the network of as many trained numbers."""
    groups = []
    for stage, arms in found.items():
        lines, faint = [], set()
        for arm, own in arms.items():
            some = next(iter(own.values()))
            if arm.startswith("control/"):
                faint.add(len(lines))
            shots = float(np.mean([row.resources.get("shots", 0) for row in own.values()]))
            rival = arms.get(RIVAL)
            lines.append(
                [
                    arm,
                    f"{some.metrics['parameters']:.0f} + {some.metrics['value_parameters']:.0f}",
                    f"{np.mean([row.metrics['first_return'] for row in own.values()]):.3g}",
                    _pm(statistics.mean_interval([row.metrics["return"] for row in own.values()])),
                    _pm(statistics.mean_interval([row.metrics["mean_return"] for row in own.values()])),
                    f"{some.metrics['rate']:g}{'*' if some.metrics['at_edge'] else ''}",
                    words.significant(some.metrics["run_energy_j"]),
                    words.significant(shots) if shots else "",
                    "" if rival is None or arm == RIVAL else _pm(difference(own, rival), sign="+"),
                ]
            )
        groups.append(Group(stage.replace("/", ", "), "", lines, frozenset(faint)))
    some = next(iter(next(iter(found.values())).values()))
    config = next(iter(some.values())).config
    return Table(
        caption="Policy gradients with circuits and networks: means over seeds with 95 % intervals.",
        header=(
            "arm",
            "trained: policy + value",
            "first return",
            "final return",
            "mean return",
            "rate",
            "J per run",
            "shots per run",
            "final return less the network's",
        ),
        groups=groups,
        label="task",
        notes=[
            f"{len(some)} seeds. Final: the last tenth of the updates; mean: all of them. cartpole: steps that the "
            "pole stays up; brackets: share of samples whose brackets balance.",
            f"Learning rates {', '.join(f'{rate:g}' for rate in config['rates'])} for every arm, chosen on as many "
            "runs with other seeds. *: the highest or lowest of them.",
            "J per run: a population's joules over its runs, compilation apart; for circuits, of simulating them.",
            f"Shots: {config['shots']} per circuit, at every step taken and for two shifted circuits per angle.",
        ],
    )


def _pm(interval: Interval, sign: str = "") -> str:
    # Steps of a cart or shares of samples.
    digits = 1 if max(abs(interval.central), abs(interval.high - interval.central)) >= 3 else 3
    half = "" if np.isnan(interval.high) else f" ± {interval.high - interval.central:.{digits}f}"
    return f"{interval.central:{sign}.{digits}f}{half}"


def curves(found: Runs) -> "Figure":
    """Mean return against updates with 95 % intervals, a panel per task and rule."""
    columns = min(2, len(found))
    rows = -(-len(found) // columns)
    made = style.figure(2.5 * rows + 0.3)
    panels = made.subplots(rows, columns, squeeze=False).ravel()
    for axes, (stage, arms) in zip(panels, found.items(), strict=False):
        for arm, own in arms.items():
            values = np.array([row.trace["return"] for row in own.values()])
            # Five updates at a time: a batch holds few episodes.
            width = max(1, min(5, values.shape[1] // 4))
            smooth = np.array([np.convolve(row, np.full(width, 1 / width), "valid") for row in values])
            updates = np.arange(smooth.shape[1]) + width
            intervals = [statistics.mean_interval(column) for column in smooth.T]
            colour = COLOURS[arm]
            line = "--" if arm.startswith("control/") else "-"
            axes.plot(updates, [i.central for i in intervals], line, color=colour, label=arm.replace("_", " "))
            if len(own) > 1 and not arm.startswith("control/"):
                low, high = [i.low for i in intervals], [i.high for i in intervals]
                axes.fill_between(updates, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_title(stage.replace("/", ": "))
        axes.set_xlabel("updates")
        axes.set_ylabel("steps" if stage.startswith("cartpole") else "share of balanced samples")
    for axes in panels[len(found) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=6.5)
    return made
