"""Tables and figures of low-rank distillation: compression, lessons, few samples and energy."""

from pathlib import Path
from typing import TYPE_CHECKING

from qgen.report import distillation_encoder, distillation_figures, style, tables
from qgen.report.distillation_rows import (
    KERNELS,
    Rows,
    by_arm,
    controls,
    curve_rows,
    curves,
    edge,
    excess,
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
        first = next(iter(own.values()))[0]
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
        title = f"{rank}: {first.metrics['parameters']:.0f} parameters, {size(first)}"
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
        own = [[row for row in made if row.config["start"] == start] for start in starts]
        lines.append([arm, *(interval(excess(cell), 3) + edge(cell) for cell in own)])
    before = of(rows, "distillation_compression", rank=rank)
    plain = [interval(excess([row for row in before if row.arm == start]), 2) for start in starts]
    return Table(
        caption=f"Loss over the teacher's, nats per token, after distillation on {count} documents; rank {rank}: "
        f"{size(found[0])}.",
        header=("lesson", *(start.split("/")[1].replace("_", " ") for start in starts)),
        groups=[Group("", "", [["none: factors alone", *plain], *lines])],
        notes=["Means over teachers with 95 % intervals.", KERNELS, tried(found)],
    )


def few_samples(rows: Rows) -> Table:
    """Lessons against the number of samples, and the quantum kernel against the best classical lesson."""
    found, counts = curve_rows(rows)
    lines = [
        [arm, *(interval(excess(curve[count]), 3) + edge(curve[count]) for count in counts)]
        for arm, curve in found.items()
    ]
    for name, gap in gaps(*curves(rows)).items():
        lines.append([name, *(interval(gap[count], 4) for count in counts)])
    return Table(
        caption="Few samples: loss over the teacher's in nats per token, activation-aware factors.",
        header=("lesson", *(f"{count} documents" for count in counts)),
        groups=[Group("", "", lines, frozenset(range(len(found), len(lines))))],
        notes=[
            "Below: paired differences over teachers; negative favours the quantum kernel.",
            "The best classical lesson is the one of the least mean at that number of documents.",
            KERNELS,
            tried(next(iter(found.values()))[counts[0]]),
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
                interval(excess(made), 3) + edge(made),
                projected(made),
            ]
        )
    return Table(
        caption="Students behind the teacher's first block: compressed features, a circuit or its twin, a read-out.",
        header=("student", "parameters", "trained behind the block", "loss over teacher, nats", "projected J"),
        groups=[Group("", "", lines, controls(found))],
        notes=[
            "Every number is counted: embedding, first block, compression, angles and read-out. All learn by KD.",
            tried(of(rows, "distillation_student")),
        ],
    )


def energy(rows: Rows) -> Table:
    """Joules of a distillation step by lesson, of a whole student, and of a generated token."""
    steps = by_arm(of(rows, "distillation_step"))
    rank, count = main_block(rows)
    students = by_arm(of(rows, "distillation", rank=rank, samples=count))
    lines = []
    for arm, made in steps.items():
        per_step = [row.metrics["energy_per_step_j"] for row in made]
        config = made[0].config
        whole = [own * config["steps"] * len(config["rates"]) for own in per_step]
        lines.append([arm, ranged(per_step), ranged(whole), projected(students[arm])])
    uses = of(rows, "distillation_use")
    tokens = [
        [
            f"student of rank {rank}" if rank else "teacher",
            f"{of(uses, 'distillation_use', rank=rank)[0].metrics['parameters']:.0f}",
            ranged([1e3 * own for own in joules]),
            "",
        ]
        for rank, joules in joules_per_token(uses).items()
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
            "Means with the range over rounds of measurements; generating: of one teacher and its students per round.",
            savings(uses),
        ],
    )
