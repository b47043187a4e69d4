"""Table and figure of token mixers, layers, heads and starts: test loss beside parameters, operations and joules."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qgen.record import QUANTILE_LEVELS, Record
from qgen.report import statistics, style, tables
from qgen.report.tables import Group, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

TITLES = {"equal_parameters": "equal parameters", "equal_operations": "equal operations"}

Trainings = Mapping[str, Mapping[str, Sequence[Record]]]
"""Group -> arm -> its trainings."""


def write(rows: Sequence[Record], out: Path, console: "Console | None" = None) -> None:
    """Writes the table and the figure, and prints the table.

    Args:
        rows: the rows of a run of `experiments.mixers`.
        out: the folder that receives `tables/` and `figures/`.
        console: where to print; None prints nothing.
    """
    found: dict[str, dict[str, list[Record]]] = {}
    for row in rows:
        if row.experiment == "mixers" and row.status == "ok":
            found.setdefault(row.stage, {}).setdefault(row.arm, []).append(row)
    if not found:
        return
    if "equal_operations" in found and "quantum/quixer" in found.get("equal_parameters", {}):
        # Its operations are what the others are made as wide as.
        found["equal_operations"]["quantum/quixer"] = found["equal_parameters"]["quantum/quixer"]
    drawn = out / "figures"
    drawn.mkdir(parents=True, exist_ok=True)
    made = table(found, {row.arm: row for row in rows if row.experiment == "mixers_reading"})
    tables.save(made, out / "tables", "mixers")
    if console is not None:
        tables.show(made, console)
    with style.applied():
        style.save(figure(found), drawn / "mixers")


def _ordered(arms: Mapping[str, Sequence[Record]]) -> list[str]:
    return sorted(arms, key=lambda arm: np.mean([row.metrics["test_loss"] for row in arms[arm]]))


def table(found: Trainings, reading: Mapping[str, Record] | None = None) -> Table:
    """Test loss with its interval, perplexity, parameters, operations, joules, and Quixer's post-selection.

    Args:
        found: the trainings.
        reading: arm -> the row that says what it costs to read one token; printed at equal parameters.
    """
    groups = []
    for group, arms in found.items():
        order = _ordered(arms)
        faint = frozenset(place for place, arm in enumerate(order) if arm.startswith("control/"))
        known = reading or {} if group == "equal_parameters" else {}
        lines = [[*_line(arm, arms[arm]), *_token(known.get(arm))] for arm in order]
        groups.append(Group(TITLES[group], "", lines, faint))
    return Table(
        caption="One transformer block with a part replaced: means over seeds with 95 % intervals, least loss first.",
        header=(
            "arm",
            "seeds",
            "test loss, nats",
            "perplexity",
            "width",
            "trained parameters",
            "MFLOP per window",
            "J per training",
            "learning rate",
            "post-selection succeeds",
            "J per token read",
            "projected J per token",
        ),
        groups=groups,
        label="at",
        notes=[
            "Every arm's learning rate is chosen among the same ones, by validation loss on a training of its own.",
            "MFLOP: gradient on one window as simulated, circuits on the plain engine; J: this machine, simulation.",
            "Post-selection: ||psi||^2, mean over validation tokens after training; its inverse multiplies the shots.",
            "Projected: the mixer's circuits on the machine of the least median, a lower bound; -: none can run it.",
        ],
    )


def _line(arm: str, rows: Sequence[Record]) -> list[str]:
    losses = [row.metrics["test_loss"] for row in rows]
    interval, first = statistics.mean_interval(losses), rows[0].metrics
    half = "" if np.isnan(interval.high) else f" ± {interval.high - interval.central:.3f}"
    known = [row.metrics["success_probability"] for row in rows if "success_probability" in row.metrics]
    return [
        arm,
        str(len(rows)),
        f"{interval.central:.3f}{half}",
        f"{np.exp(interval.central):.2f}",
        f"{first['width']:.0f}",
        f"{first['parameters']:.0f}",
        f"{first['operations'] / 1e6:.2f}",
        f"{np.mean([row.measured['energy_j'] for row in rows]):.3g}",
        f"{first['learning_rate']:g}",
        f"{np.mean(known):.3f}" if known else "",
    ]


def _token(row: Record | None) -> list[str]:
    """What reading one token costs, measured and projected."""
    if row is None:
        return ["", ""]
    middle = QUANTILE_LEVELS.index(0.5)
    priced = {name: found["energy_j"][middle] for name, found in row.projected.items() if "energy_j" in found}
    least = min(priced, key=priced.__getitem__, default="")
    shown = f"{priced[least]:.2g} ({least})" if least else "-" if row.resources else ""
    return [f"{row.metrics['token_j']:.2g}", shown]


def figure(found: Trainings) -> "Figure":
    """Test loss of every arm with its interval, one panel per group."""
    sizes = [len(arms) for arms in found.values()]
    made = style.figure(0.9 + 0.17 * max(sizes))
    panels = made.subplots(1, len(found), squeeze=False, sharex=True, width_ratios=[1] * len(found))[0]
    for axes, (group, arms) in zip(panels, found.items(), strict=True):
        order = _ordered(arms)
        for place, arm in enumerate(order):
            interval = statistics.mean_interval([row.metrics["test_loss"] for row in arms[arm]])
            spread = 0.0 if np.isnan(interval.high) else interval.high - interval.central
            colour = style.FAMILIES[arm.split("/")[0]]
            axes.errorbar(interval.central, place, xerr=spread, fmt="o", color=colour, markersize=3, capsize=2)
        axes.set_yticks(range(len(order)), [arm.replace("_", " ") for arm in order])
        axes.set_ylim(max(sizes) - 0.3, -0.7)
        axes.set_title(TITLES[group])
        axes.set_xlabel("test loss (nats per character)")
        axes.grid(axis="x", linewidth=0.3)
    return made
