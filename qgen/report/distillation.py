"""Tables and figures of low-rank distillation: compression, lessons, few samples and energy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qgen.record import QUANTILE_LEVELS
from qgen.report import distillation_figures, statistics, style, tables, words
from qgen.report.distillation_rows import Rows, by_arm, curves, excess, gaps, main_block, of, values
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
        for name, draw in figures.items():
            style.save(draw(rows), drawn / name)


def all_tables(rows: Rows) -> dict[str, Table]:
    """The tables by the stem of their file."""
    extra = {"encoder": encoder(rows)} if of(rows, "distillation_encoder") else {}
    return extra | {
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
                _interval([row.metrics["output_error"] for row in made], 3),
                _interval(excess(made), 3),
                "-" if arm.startswith("quantum/") else _mean([row.measured["energy_j"] for row in made]),
                _projected(made),
            ]
            for arm, made in own.items()
        ]
        share = 100 * first["share_of_blocks"]
        title = f"{rank}: {first['parameters']:.0f} parameters, blocks {share:.1f} % of the teacher's"
        groups.append(Group(title, "", lines, _controls(own)))
    return Table(
        caption="Low-rank arms on every matrix of the blocks: means over teachers with 95 % intervals.",
        header=("arm", "output error", "loss over teacher, nats", f"{_provenance(found)} J", "projected J"),
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
        cells = [_interval(excess([row for row in made if row.config["start"] == start]), 3) for start in starts]
        lines.append([arm, *cells])
    before = of(rows, "distillation_compression", rank=rank)
    plain = [_interval(excess([row for row in before if row.arm == start]), 2) for start in starts]
    return Table(
        caption=f"Loss over the teacher's in nats per token after distillation on {count} documents at rank {rank}.",
        header=("lesson", *(start.split("/")[1].replace("_", " ") for start in starts)),
        groups=[Group("", "", [["none: factors alone", *plain], *lines])],
        notes=["Means over teachers with 95 % intervals; every student has as many learning rates tried."],
    )


def few_samples(rows: Rows) -> Table:
    """Lessons against the number of samples, and the quantum kernel against the best classical lesson."""
    found, counts = curves(rows)
    lines = [[arm, *(_interval(curve[count], 3) for count in counts)] for arm, curve in found.items()]
    for name, gap in gaps(found, counts).items():
        lines.append([name, *(_interval(gap[count], 4) for count in counts)])
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
                _interval(excess(made), 3),
                _projected(made),
            ]
        )
    return Table(
        caption="Students behind the teacher's first block: compressed features, a circuit or its twin, a read-out.",
        header=("student", "parameters", "trained behind the block", "loss over teacher, nats", "projected J"),
        groups=[Group("", "", lines, _controls(found))],
        notes=["Every number is counted: embedding, first block, compression, angles and read-out. All learn by KD."],
    )


def encoder(rows: Rows) -> Table:
    """A pretrained encoder's matrices."""
    found = of(rows, "distillation_encoder")
    groups = []
    for rank in sorted(values(found, "rank"), reverse=True):
        own = by_arm(of(found, "distillation_encoder", rank=rank))
        first = next(iter(own.values()))[0].metrics
        lines = [
            [
                arm,
                _interval([row.metrics["output_error"] for row in made], 3),
                _interval([row.metrics["embedding_error"] for row in made], 3),
                _mean([row.measured["energy_j"] for row in made]),
            ]
            for arm, made in own.items()
        ]
        title = f"{rank}: {first['parameters']:.0f} parameters, blocks {100 * first['share_of_blocks']:.1f} %"
        groups.append(Group(title, "", lines, _controls(own)))
    return Table(
        caption="Low-rank arms on a pretrained sentence encoder, not retrained; intervals over random draws.",
        header=("arm", "output error", "embedding error, 1 - cosine", f"{_provenance(found)} J"),
        groups=groups,
        label="rank",
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
        lines.append([arm, _number(per_step), _number(whole), _projected(students[arm])])
    tokens = [
        [
            "teacher" if not row.config["rank"] else f"student of rank {row.config['rank']}",
            f"{row.metrics['parameters']:.0f}",
            _number(1e3 * row.metrics["energy_per_token_j"]),
            "",
        ]
        for row in sorted(of(rows, "distillation_use"), key=lambda row: -row.metrics["parameters"])
    ]
    provenance = next(iter(steps.values()))[0].measured.get("provenance", "")
    return Table(
        caption=f"Energy of distilling and of generating, {provenance.lower()}; the quantum kernel's is projected.",
        header=("", "J per step | numbers", "J per student | mJ per token", "projected J"),
        groups=[Group("distilling", "", lines), Group("generating", "", tokens)],
        label="what",
        notes=[
            "A simulated quantum kernel's joules are those of its simulation, and no machine's.",
            "Projected J: its shots on the machine of the least median; - where none can run it.",
        ],
    )


def _provenance(rows: Rows) -> str:
    """How the joules were found: measured or modelled."""
    return rows[0].measured.get("provenance", "").lower()


def _controls(own: Mapping[str, object]) -> frozenset[int]:
    return frozenset(place for place, arm in enumerate(own) if arm.startswith("control/"))


def _interval(numbers: Sequence[float], digits: int) -> str:
    if len(numbers) == 0:
        return "-"
    found = statistics.mean_interval(numbers)
    half = "" if np.isnan(found.high) else f" ± {found.high - found.central:.{digits}f}"
    return f"{found.central:.{digits}f}{half}"


def _mean(numbers: Sequence[float]) -> str:
    return _number(float(np.mean(numbers)))


def _number(value: float) -> str:
    return words.significant(value, 2)


def _projected(rows: Rows) -> str:
    middle = QUANTILE_LEVELS.index(0.5)
    energies: dict[str, list[float]] = {}
    for row in rows:
        for machine, projection in row.projected.items():
            if "energy_j" in projection:
                energies.setdefault(machine, []).append(projection["energy_j"][middle])
    if not energies:
        return "-" if rows[0].resources else ""
    means = {name: float(np.mean(own)) for name, own in energies.items()}
    least = min(means, key=means.__getitem__)
    return f"{_number(means[least])} ({least})"
