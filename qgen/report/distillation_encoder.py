"""Tables and the figure of low-rank distillation on a pretrained encoder."""

from typing import TYPE_CHECKING

import numpy as np

from qgen.report import statistics, style
from qgen.report.distillation_rows import (
    KERNELS,
    QUANTUM,
    Rows,
    by_arm,
    controls,
    edge,
    gaps,
    interval,
    joules_per_token,
    main_block,
    mean,
    of,
    projected,
    provenance,
    ranged,
    savings,
    size,
    tried,
    values,
)
from qgen.report.tables import Group, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FACTORS = "distillation_encoder"
STUDENTS = "distillation_encoder_student"
USE = "distillation_encoder_use"
KD = "classical/kd"
LINES = {KD: ("#0072B2", "distilled by KD"), QUANTUM: ("#D55E00", "KD, RKD, entangled kernel")}


def all_tables(rows: Rows) -> dict[str, Table]:
    """The tables for which there are rows, by the stem of their file."""
    made = {"encoder": factors(rows)} if of(rows, FACTORS) else {}
    if of(rows, STUDENTS):
        made |= {"encoder_lessons": lessons(rows), "encoder_ranks": ranks(rows)}
    return made


def factors(rows: Rows) -> Table:
    """Every low-rank arm at every rank, before any distillation."""
    found = of(rows, FACTORS)
    groups = []
    for rank in sorted(values(found, "rank"), reverse=True):
        own = by_arm(of(found, FACTORS, rank=rank))
        first = next(iter(own.values()))[0]
        lines = [
            [
                arm,
                interval([row.metrics["output_error"] for row in made], 3),
                interval([row.metrics["embedding_error"] for row in made], 3),
                "-" if arm.startswith("quantum/") else mean([row.measured["energy_j"] for row in made]),
                projected(made),
            ]
            for arm, made in own.items()
        ]
        title = f"{rank}: {first.metrics['parameters']:.0f} parameters, {size(first)}"
        groups.append(Group(title, "", lines, controls(own)))
    return Table(
        caption="Low-rank arms on a pretrained sentence encoder, not retrained; intervals over random draws.",
        header=("arm", "output error", "embedding error, 1 - cosine", f"{provenance(found)} J", "projected J"),
        groups=groups,
        label="rank",
        notes=[
            "Seeds draw the texts that the activation-aware arm reads, and the others' random numbers; truncated SVD "
            "draws nothing.",
            "Projected J: the quantum part on the machine of the least median; - where none can run it.",
            "QSVT at one rank: simulating its read-out takes longest. Variational quantum SVD is left out: its Hadamard"
            " tests control block encodings of a million gates, which take too long to count.",
        ],
    )


def lessons(rows: Rows) -> Table:
    """Lessons against the number of texts, and the quantum kernel against the best classical lesson."""
    rank, most = main_block(rows, STUDENTS)
    found = of(rows, STUDENTS, rank=rank)
    start = next(row.config["start"] for row in found if row.arm == QUANTUM)
    own = by_arm(of(found, STUDENTS, start=start))
    counts = sorted(values(found, "samples"))
    cells = {arm: {count: of(made, STUDENTS, samples=count) for count in counts} for arm, made in own.items()}
    curves = {arm: {count: errors(cell) for count, cell in curve.items()} for arm, curve in cells.items()}
    before = [interval(errors(of(own[KD], STUDENTS, samples=count), "start_error"), 3) for count in counts]
    lines = [["none: factors alone", *before, "", "", ""]]
    for arm, curve in curves.items():
        made = cells[arm][most]
        after = [interval(curve[count], 3) + edge(cells[arm][count]) for count in counts]
        joules = "-" if arm == QUANTUM else mean([row.measured["energy_j"] for row in made])
        relations = interval(errors(made, "relation_error"), 4)
        lines.append([arm, *after, relations, joules, projected(made)])
    for name, gap in gaps(curves, counts).items():
        lines.append([name, *(interval(gap[count], 4) for count in counts), "", "", ""])
    return Table(
        caption=f"A pretrained encoder's students: embedding error, 1 - cosine, by lesson and texts; rank {rank}: "
        f"{size(found[0])}.",
        header=(
            "lesson",
            *(f"{count} texts" for count in counts),
            "relations",
            f"{provenance(found)} J",
            "projected J",
        ),
        groups=[Group("", "", lines, frozenset(range(1 + len(curves), len(lines))))],
        notes=[
            "Means over draws of the texts with 95 % intervals.",
            KERNELS,
            tried(found),
            f"Relations: mean difference of the cosines between two texts, after {most} texts.",
            "Below: paired differences; negative favours the quantum kernel, whose own joules are a simulation's.",
        ],
    )


def ranks(rows: Rows) -> Table:
    """Who found the factors, and how many there are: before and after distillation."""
    _, most = main_block(rows, STUDENTS)
    found = of(rows, STUDENTS, samples=most)
    uses = joules_per_token(of(rows, USE))
    groups = []
    for rank in sorted(values(found, "rank"), reverse=True):
        own = of(found, STUDENTS, rank=rank)
        lines = []
        for start in values(own, "start"):
            made = by_arm(of(own, STUDENTS, start=start))
            taught = [made.get(arm, []) for arm in (KD, QUANTUM)]
            after = [interval(errors(cell), 3) + edge(cell) for cell in taught]
            lines.append([start, interval(errors(made[KD], "start_error"), 3), *after])
        title = f"{rank}: {size(own[0])}, {_millijoules(uses[rank])} mJ per token"
        groups.append(Group(title, "", lines, controls(values(own, "start"))))
    return Table(
        caption=f"A pretrained encoder's students on {most} texts, by who found the factors: embedding error.",
        header=("factors", "before", "after KD", "after KD, RKD, entangled kernel"),
        groups=groups,
        label="rank",
        notes=[
            f"Reading with the encoder itself: {_millijoules(uses[0])} mJ per token; means with the range over rounds.",
            savings(of(rows, USE)),
            tried(found),
        ],
    )


def _millijoules(joules: list[float]) -> str:
    return ranged([1e3 * own for own in joules])


def errors(rows: Rows, name: str = "embedding_error") -> list[float]:
    """A metric, one per seed."""
    return [row.metrics[name] for row in sorted(rows, key=lambda row: row.seed)]


def figure(rows: Rows) -> "Figure":
    """Embedding error against parameters kept and against joules of compressing and distilling."""
    made = style.figure(2.9)
    left, right = made.subplots(1, 2, sharey=True)
    _, most = main_block(rows, STUDENTS)
    students = of(rows, STUDENTS, samples=most)
    start = next(row.config["start"] for row in students if row.arm == QUANTUM)
    alone = of(rows, FACTORS)
    paid = {
        rank: float(np.mean([row.measured["energy_j"] for row in of(alone, FACTORS, rank=rank) if row.arm == start]))
        for rank in values(alone, "rank")
    }
    colours = ("#56B4E9", "#CC79A7", "#000000", "#009E73", "#7A7A7A")
    for (arm, own), colour in zip(by_arm(alone).items(), colours, strict=False):
        name = arm.split("/")[1].replace("_", " ")
        _line(left, own, colour, name, ":", lambda group: group[0].metrics["share_of_blocks"])
        if arm.startswith("quantum/"):
            continue
        _line(right, own, colour, name, ":", lambda group: float(np.mean([row.measured["energy_j"] for row in group])))
    for arm, (colour, label) in LINES.items():
        own = [row for row in students if row.arm == arm and row.config["start"] == start]
        _line(left, own, colour, label, "-", lambda group: group[0].metrics["share_of_blocks"])
        if arm == QUANTUM:
            continue  # its simulation's joules are no machine's

        def joules(group: Rows) -> float:
            return paid[group[0].config["rank"]] + float(np.mean([row.measured["energy_j"] for row in group]))

        _line(right, own, colour, label, "-", joules)
    left.set_xscale("log", base=2)
    left.set_xlabel("share of the blocks' parameters")
    left.set_ylabel("embedding error, 1 - cosine")
    right.set_xscale("log")
    right.set_xlabel("joules of compressing and distilling")
    left.set_title("Parameters kept")
    right.set_title("Energy of one student")
    for axes in (left, right):
        axes.set_yscale("log")
    left.legend(fontsize=5.5)
    return made


def _line(axes, rows: Rows, colour: str, label: str, line: str, place) -> None:
    points = []
    for rank in values(rows, "rank"):
        own = [row for row in rows if row.config["rank"] == rank]
        points.append((place(own), *statistics.mean_interval(errors(own))))
    x, middle, low, high = np.array(sorted(points)).T
    spread = np.nan_to_num([middle - low, high - middle])
    axes.errorbar(x, middle, yerr=spread, color=colour, label=label, linestyle=line, marker="o", markersize=3)
