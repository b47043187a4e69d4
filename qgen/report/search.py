"""Tables and figures of hyperparameter studies: regret against trainings, what a target costs, and throughput."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qgen.record import Record
from qgen.report import plateau, statistics, style, tables
from qgen.report.select import least_machine
from qgen.report.tables import Group, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

CONTROLS = {
    "quantum/durr_hoyer": "control/no_amplification",
    "quantum/grover_adaptive": "control/no_amplification",
    "quantum/fm_qaoa": "control/fm_random",
    "quantum/fm_annealing": "control/fm_simulated_annealing",
    "quantum/fourier_regressor": "control/fourier_ridge",
    "quantum/kernel_gp": "classical/gp",
    "quantum/q_gp_ucb": "control/gp_ucb",
}
"""Quantum strategy -> what differs from it in the quantum part alone."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A7A7A", "#000000")
FLOOR = 1e-3
"""Regrets below are drawn here: the logarithm of none is none."""

Searches = Mapping[str, Mapping[str, Sequence[Record]]]
"""Table -> strategy -> its searches."""


def searches(rows: Sequence[Record]) -> Searches:
    """The rows of tabular searches, by table and strategy."""
    made: dict[str, dict[str, list[Record]]] = {}
    for row in rows:
        if row.experiment == "search" and row.status == "ok":
            made.setdefault(row.stage, {}).setdefault(row.arm, []).append(row)
    return made


def write(rows: Sequence[Record], out: Path, console: "Console | None" = None) -> None:
    """Writes every table and figure for which there are rows, and prints the tables.

    Args:
        rows: the rows of a run of `experiments.search`.
        out: the folder that receives `tables/` and `figures/`.
        console: where to print; None prints nothing.
    """
    for name, table in all_tables(rows).items():
        tables.save(table, out / "tables", name)
        if console is not None:
            tables.show(table, console)
    drawn = out / "figures"
    drawn.mkdir(parents=True, exist_ok=True)
    with style.applied():
        if searches(rows):
            style.save(regret(searches(rows)), drawn / "regret")
        if speeds := [row for row in rows if row.experiment == "search_speed"]:
            style.save(throughput(speeds), drawn / "throughput")
        if starts := [row for row in rows if row.experiment == "search_starts"]:
            style.save(plateau.figure(starts), drawn / "plateau")


def all_tables(rows: Sequence[Record]) -> dict[str, Table]:
    """The tables for which there are rows, by the stem of their file."""
    made = {}
    if searches(rows):
        made["strategies"] = strategies(searches(rows))
    if speeds := [row for row in rows if row.experiment == "search_speed"]:
        made["speed"] = speed(speeds)
    return made


def strategies(found: Searches) -> Table:
    """Simple regret, trainings and joules to the target loss, and the energy of the strategy itself."""
    groups = []
    notes: dict[str, None] = {}
    for table, arms in found.items():
        order = sorted(arms, key=lambda arm: np.mean([row.metrics["regret"] for row in arms[arm]]))
        lines, faint = [], set()
        for arm in order:
            searched = arms[arm]
            if arm.startswith("control/"):
                faint.add(len(lines))
            lines.append(_line(arm, searched))
            if searched[0].note and arm.startswith("quantum/"):
                notes[f"{arm}: {searched[0].note}"] = None
        training_j = np.mean([row.metrics["training_energy_j"] for arm in arms.values() for row in arm])
        cells = next(iter(arms.values()))[0].config["cells"]
        claim = f"{cells} cells, {_short(float(training_j))} J per training"
        groups.append(Group(table.replace("_", " "), claim, lines, frozenset(faint)))
    return Table(
        caption="Strategies on tabulated trainings: means over seeds with 95 % intervals; least final regret first.",
        header=(
            "strategy",
            "seeds",
            "regret, half budget",
            "regret, whole budget",
            "test regret",
            "reached",
            "trainings to target",
            "J to target",
            "strategy J",
            "coherent calls",
            "projected J",
        ),
        groups=groups,
        label="table",
        claim="trainings",
        notes=[
            "Regret: validation loss of the chosen cell, mean of all its trainings, over the least of all cells.",
            "Target: the loss that 2 % of the cells reach; the median over the searches that reached it.",
            "J to target: trainings run one by one and the strategy here; coherent calls are in projected J alone.",
            "Projected J: the strategy's quantum part on the machine of the least median; - where none can run it.",
            *notes,
        ],
    )


def _line(arm: str, searched: Sequence[Record]) -> list[str]:
    half = [_at(row, 0.5) for row in searched]
    known = [value for value in half if value is not None]
    reached = [row for row in searched if row.metrics["reached"]]
    projected = _projected(searched)
    return [
        arm,
        str(len(searched)),
        _interval(known) if len(known) == len(searched) else "-",
        _interval([row.metrics["regret"] for row in searched]),
        _interval([row.metrics["test_regret"] for row in searched]),
        f"{100 * len(reached) / len(searched):.0f} %",
        _short(float(np.median([row.metrics["trainings_to_target"] for row in reached]))) if reached else "-",
        _short(float(np.median([row.metrics["joules_to_target"] for row in reached]))) if reached else "-",
        _short(float(np.mean([row.metrics["strategy_energy_j"] for row in searched]))),
        _short(float(np.mean([row.metrics["coherent"] for row in searched]))) if arm.startswith("quantum/") else "",
        projected if arm.startswith("quantum/") else "",
    ]


def _at(row: Record, share: float) -> float | None:
    """The regret at a share of the budget, None where nothing had ended by then."""
    budget = share * row.config["budget"]
    known = [regret for spent, regret in zip(row.trace["budget"], row.trace["regret"], strict=True) if spent <= budget]
    return known[-1] if known else None


def _projected(searched: Sequence[Record]) -> str:
    least = least_machine(searched)
    return "-" if least is None else f"{_short(least[1])} ({least[0]})"


def _interval(values: Sequence[float]) -> str:
    found = statistics.mean_interval(values)
    half = "" if np.isnan(found.high) else f" ± {found.high - found.central:.3f}"
    return f"{found.central:.3f}{half}"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1e4 else f"{value:.1e}"


def speed(rows: Sequence[Record]) -> Table:
    """Seconds of a population, compilation apart, and the ratio to our sweep with and without it."""
    populations = sorted({row.config["population"] for row in rows})
    groups = []
    for population in populations:
        own = {row.arm: row.metrics for row in rows if row.config["population"] == population}
        lines = []
        for peer, numbers in own.items():
            if "qgen/sweep" not in own:
                continue
            ours = own["qgen/sweep"]
            whole = numbers["compile_s"] + numbers["train_s"]
            lines.append(
                [
                    peer,
                    f"{numbers['ran']:.0f}",
                    _short(numbers["compile_s"]),
                    _short(numbers["train_s"]),
                    _short(numbers["per_s"]),
                    f"{numbers['train_s'] / ours['train_s']:.2f}",
                    f"{whole / (ours['compile_s'] + ours['train_s']):.2f}",
                ]
            )
        groups.append(Group(f"{population} configurations", "", lines))
    steps = rows[0].config["steps"]
    return Table(
        caption=f"Training a population of 8-qubit, 4-layer hybrid classifiers, batch 32, {steps} steps.",
        header=("peer", "ran", "compile s", "train s", "trainings/s", "over sweep", "over sweep with compiling"),
        groups=groups,
        label="population",
        notes=[
            "Medians of interleaved rounds; loops that ran fewer configurations are scaled up.",
            "pennylane/rebuilt compiles in every trial; that is in its train s.",
        ],
    )


def regret(found: Searches) -> "Figure":
    """Mean regret against trainings with 95 % intervals: classical strategies, and quantum ones beside controls."""
    made = style.figure(2.9 * len(found) + 0.3)
    grid = made.subplots(len(found), 2, squeeze=False, sharey="row")
    for (left, right), (table, arms) in zip(grid, found.items(), strict=True):
        # Twice the budget goes on where the single one ends.
        classical = [arm for arm in arms if arm.startswith("classical/") and arm != "classical/random_2x"]
        for arm, colour in zip(classical, COLOURS, strict=False):
            _curve(left, arms[arm], arm.split("/")[1], colour, "-")
        quantum = [arm for arm in arms if arm.startswith("quantum/")]
        for arm, colour in zip(quantum, COLOURS, strict=False):
            _curve(right, arms[arm], arm.split("/")[1], colour, "-")
            control = CONTROLS.get(arm, "")
            if control in arms:
                _curve(right, arms[control], control.split("/")[1], colour, ":")
        left.set_title(f"{table.replace('_', ' ')}: classical")
        right.set_title(f"{table.replace('_', ' ')}: quantum; dotted: control")
        left.set_ylabel("simple regret (nats)")
        for axes in (left, right):
            axes.set_yscale("log")
            axes.set_xlabel("trainings spent, coherent calls included")
        left.set_ylim(bottom=5e-3)  # intervals of some early means reach below zero
    for axes in grid[-1]:
        axes.legend(fontsize=5.5, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    return made


def _curve(axes, searched: Sequence[Record], label: str, colour: str, line: str) -> None:
    budgets = sorted(set.intersection(*(set(row.trace["budget"]) for row in searched)))
    if not budgets:
        return
    values = np.array(
        [
            [dict(zip(row.trace["budget"], row.trace["regret"], strict=True))[budget] for budget in budgets]
            for row in searched
        ]
    )
    intervals = [statistics.mean_interval(column) for column in values.T]
    middle = np.maximum([interval.central for interval in intervals], FLOOR)
    axes.plot(budgets, middle, line, color=colour, label=label)
    if line == "-" and len(searched) > 1:
        low = np.maximum([interval.low for interval in intervals], FLOOR)
        high = np.maximum([interval.high for interval in intervals], FLOOR)
        axes.fill_between(budgets, low, high, color=colour, alpha=0.13, linewidth=0)


def throughput(rows: Sequence[Record]) -> "Figure":
    """Trainings per second against the population, with compilation (dashed) and without."""
    made = style.figure(2.8)
    axes = made.subplots()
    peers = list(dict.fromkeys(row.arm for row in rows))
    for peer, colour in zip(peers, COLOURS, strict=False):
        own = sorted((row for row in rows if row.arm == peer), key=lambda row: row.config["population"])
        sizes = [row.config["population"] for row in own]
        axes.plot(sizes, [row.metrics["per_s"] for row in own], "o-", color=colour, label=peer, markersize=3)
        whole = [row.config["population"] / (row.metrics["compile_s"] + row.metrics["train_s"]) for row in own]
        axes.plot(sizes, whole, "o--", color=colour, markersize=2, linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("configurations in the population")
    axes.set_ylabel("trainings per second")
    axes.set_title("Throughput; dashed: compilation included")
    axes.legend()
    return made
