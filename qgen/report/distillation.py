"""Tables and figures of low-rank distillation: compression, lessons, few samples and energy."""

from pathlib import Path
from typing import TYPE_CHECKING

from qgen.report import distillation_encoder, distillation_figures, style, tables
from qgen.report.distillation_rows import (
    Rows,
    by_arm,
    controls,
    curves,
    excess,
    gaps,
    interval,
    main_block,
    mean,
    number,
    of,
    projected,
    provenance,
    values,
)
from qgen.report.tables import Group, Table

if TYPE_CHECKING:
    from rich.console import Console


def write(rows: Rows, out: Path, console: "Console | None" = None) -> None:
    """Writes every table and figure for which there are rows, and prints the tables.

    Args:
        rows: the rows of a run of `experiments.distillation`.
        out: the folder that receives `tables/` and `figures/`.
        console: where to print; None prints nothing.
    """
    drawn = out / "figures"
    drawn.mkdir(parents=True, exist_ok=True)
    for name, table in all_tables(rows).items():
        tables.save(table, out / "tables", name)
        if console is not None:
            tables.show(table, console)
    with style.applied():
        figures = {
            "parameters": distillation_figures.parameters,
            "few_samples": distillation_figures.learning_curves,
            "energy": distillation_figures.joules,
        }
        if of(rows, distillation_encoder.STUDENTS):
            figures["encoder"] = distillation_encoder.figure
        for name, draw in figures.items():
            style.save(draw(rows), drawn / name)


def all_tables(rows: Rows) -> dict[str, Table]:
    """The tables by the stem of their file."""
    return distillation_encoder.all_tables(rows) | {
        "compression": compression(rows),
        "lessons": lessons(rows),
        "few_samples": few_samples(rows),
        "students": students(rows),
        "energy": energy(rows),
    }


def compression(rows: Rows) -> Table:
    """Every low-rank arm at every rank, before any distillation."""
    found = of(rows, "distillation_compression")
    groups = []
    for rank in sorted(values(found, "rank"), reverse=True):
        own = by_arm(of(found, "distillation_compression", rank=rank))
        first = next(iter(own.values()))[0].metrics
        lines = [
            [
                arm,
                interval([row.metrics["output_error"] for row in made], 3),
                interval(excess(made), 3),
                "-" if arm.startswith("quantum/") else mean([row.measured["energy_j"] for row in made]),
                projected(made),
            ]
            for arm, made in own.items()
        ]
        share = 100 * first["share_of_blocks"]
        title = f"{rank}: {first['parameters']:.0f} parameters, blocks {share:.1f} % of the teacher's"
        groups.append(Group(title, "", lines, controls(own)))
    return Table(
        caption="Low-rank arms on every matrix of the blocks: means over teachers with 95 % intervals.",
        header=("arm", "output error", "loss over teacher, nats", f"{provenance(found)} J", "projected J"),
        groups=groups,
        label="rank",
        notes=[
            "Output error: relative Frobenius error of the layers' outputs on held-out activations.",
            "Projected J: the quantum part on the machine of the least median; - where none can run it.",
        ],
    )


def lessons(rows: Rows) -> Table:
    """The full factorial: who found the factors, by what was taught."""
    rank, count = main_block(rows)
    found = of(rows, "distillation", rank=rank, samples=count)
    starts = values(found, "start")
    lines = []
    for arm, made in by_arm(found).items():
        cells = [interval(excess([row for row in made if row.config["start"] == start]), 3) for start in starts]
        lines.append([arm, *cells])
    before = of(rows, "distillation_compression", rank=rank)
    plain = [interval(excess([row for row in before if row.arm == start]), 2) for start in starts]
    return Table(
        caption=f"Loss over the teacher's in nats per token after distillation on {count} documents at rank {rank}.",
        header=("lesson", *(start.split("/")[1].replace("_", " ") for start in starts)),
        groups=[Group("", "", [["none: factors alone", *plain], *lines])],
        notes=["Means over teachers with 95 % intervals; every student has as many learning rates tried."],
    )


def few_samples(rows: Rows) -> Table:
    """Lessons against the number of samples, and the quantum kernel against the best classical lesson."""
    found, counts = curves(rows)
    lines = [[arm, *(interval(curve[count], 3) for count in counts)] for arm, curve in found.items()]
    for name, gap in gaps(found, counts).items():
        lines.append([name, *(interval(gap[count], 4) for count in counts)])
    return Table(
        caption="Few samples: loss over the teacher's in nats per token, activation-aware factors.",
        header=("lesson", *(f"{count} documents" for count in counts)),
        groups=[Group("", "", lines, frozenset(range(len(found), len(lines))))],
        notes=[
            "Below: paired differences over teachers; negative favours the quantum kernel.",
            "The best classical lesson is the one of the least mean at that number of documents.",
        ],
    )


def students(rows: Rows) -> Table:
    """Students with a circuit on compressed features, and their twins."""
    found = by_arm(of(rows, "distillation_student"))
    lines = []
    for arm, made in found.items():
        metrics = made[0].metrics
        lines.append(
            [
                arm,
                f"{metrics['parameters']:.0f}",
                f"{metrics['parameters'] - metrics['body_parameters'] - metrics['frozen_parameters']:.0f}",
                interval(excess(made), 3),
                projected(made),
            ]
        )
    return Table(
        caption="Students behind the teacher's first block: compressed features, a circuit or its twin, a read-out.",
        header=("student", "parameters", "trained behind the block", "loss over teacher, nats", "projected J"),
        groups=[Group("", "", lines, controls(found))],
        notes=["Every number is counted: embedding, first block, compression, angles and read-out. All learn by KD."],
    )


def energy(rows: Rows) -> Table:
    """Joules of a distillation step by lesson, of a whole student, and of a generated token."""
    steps = by_arm(of(rows, "distillation_step"))
    rank, count = main_block(rows)
    students = by_arm(of(rows, "distillation", rank=rank, samples=count))
    lines = []
    for arm, made in steps.items():
        row = made[0]
        per_step = row.metrics["energy_per_step_j"]
        whole = per_step * row.config["steps"] * len(row.config["rates"])
        lines.append([arm, number(per_step), number(whole), projected(students[arm])])
    tokens = [
        [
            "teacher" if not row.config["rank"] else f"student of rank {row.config['rank']}",
            f"{row.metrics['parameters']:.0f}",
            number(1e3 * row.metrics["energy_per_token_j"]),
            "",
        ]
        for row in sorted(of(rows, "distillation_use"), key=lambda row: -row.metrics["parameters"])
    ]
    found = provenance(next(iter(steps.values())))
    return Table(
        caption=f"Energy of distilling and of generating, {found}; the quantum kernel's is projected.",
        header=("", "J per step | numbers", "J per student | mJ per token", "projected J"),
        groups=[Group("distilling", "", lines), Group("generating", "", tokens)],
        label="what",
        notes=[
            "A simulated quantum kernel's joules are those of its simulation, and no machine's.",
            "Projected J: its shots on the machine of the least median; - where none can run it.",
        ],
    )
