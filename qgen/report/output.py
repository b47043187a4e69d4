"""Writes all tables and figures of a set of records, and prints the main ones."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qgen.record import Record
from qgen.report import compare, csv_rows, life, lines, notes, outlook_tables, select, tables, verdict, weights
from qgen.report.compare import StageTable
from qgen.report.life import Life
from qgen.report.select import StageFacts
from qgen.report.verdict import Verdict

if TYPE_CHECKING:
    from rich.console import Console

EXPERIMENT = "lifecycle"


class Study(NamedTuple):
    """Everything that tables and figures show, computed once."""

    records: Sequence[Record]
    stages: Sequence[StageTable]
    lives: Sequence[Life]
    verdicts: Sequence[Verdict]
    notes: Sequence[str]
    outlook: Sequence[Record] = ()
    facts: Mapping[str, StageFacts] = {}


def study(records: Iterable[Record], stages: Mapping[str, StageFacts]) -> Study:
    """Computes the comparisons, the bottom line and the verdicts.

    Args:
        records: all rows at hand.
        stages: stage name -> facts.

    Raises:
        ReportError: if no row belongs to the lifecycle, or one cannot be placed in it.
    """
    everything = list(records)
    rows = select.latest(everything, EXPERIMENT)
    compared = compare.stage_tables(rows, stages)
    return Study(
        records=rows,
        stages=compared,
        lives=life.lives(rows, stages),
        verdicts=verdict.verdicts(rows, compared, weights.shares(everything, rows, stages), verdict.thresholds()),
        notes=notes.footnotes(rows, compared),
        outlook=[row for row in everything if row.experiment in outlook_tables.EXPERIMENTS],
        facts=stages,
    )


def write(records: Iterable[Record], out: Path, console: "Console | None", stages: Mapping[str, StageFacts]) -> None:
    """What `report.lifecycle` does."""
    found = study(records, stages)
    if console is None:
        write_tables(found, out / "tables")
        write_figures(found, out / "figures")
        return
    with console.status("drawing tables and figures"):
        write_tables(found, out / "tables")
        write_figures(found, out / "figures")
    tables.show(lines.lifecycle(found.stages, found.notes), console)
    for table in (lines.use(found.stages), lines.amortised(found.stages)):
        if table.groups:
            tables.show(table, console)
    tables.show(lines.bottom_line(found.lives, found.stages), console)
    tables.show(lines.verdicts(found.verdicts), console)
    show_outlook(found.outlook, found.facts, console)


def scaling(rows: Sequence[Record], out: Path, console: "Console | None", facts: Mapping[str, StageFacts]) -> None:
    """What `report.scaling` does."""
    write_outlook_tables(rows, out / "tables", facts)
    write_outlook_figures(rows, out / "figures", facts)
    if console is not None:
        show_outlook(rows, facts, console, (*SHOWN, *ALSO_SHOWN))


SHOWN = ("breakeven", "tornado", "processors")
"""Tables of the outlook that the lifecycle prints; all are written."""
ALSO_SHOWN = ("laws", "needed", "power", "money", "scenario")


def show_outlook(
    rows: Sequence[Record], facts: Mapping[str, StageFacts], console: "Console", names: Sequence[str] = SHOWN
) -> None:
    """Prints tables of the outlook, of those that there are."""
    made = outlook_tables.tables(rows, facts)
    for name in names:
        if name in made:
            tables.show(made[name], console)


def write_outlook_tables(rows: Sequence[Record], folder: Path, facts: Mapping[str, StageFacts]) -> None:
    """Every table of the outlook as Markdown and LaTeX."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in outlook_tables.tables(rows, facts).items():
        (folder / f"{name}.md").write_text(tables.markdown(table), encoding="utf-8")
        (folder / f"{name}.tex").write_text(tables.latex(table, name), encoding="utf-8")


def write_outlook_figures(rows: Sequence[Record], folder: Path, facts: Mapping[str, StageFacts]) -> None:
    """Every figure of the outlook as PNG and PDF."""
    from qgen.report import outlook, style

    folder.mkdir(parents=True, exist_ok=True)
    with style.applied():
        for name, figure in outlook.all_figures(rows, facts):
            style.save(figure, folder / name)


def write_tables(found: Study, folder: Path) -> None:
    """Every table as Markdown and LaTeX; the main one as CSV with all machines as well."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "lifecycle": lines.lifecycle(found.stages, found.notes),
        "profiles": lines.profiles(found.stages),
        "amortised": lines.amortised(found.stages),
        "use": lines.use(found.stages),
        "bottom_line": lines.bottom_line(found.lives, found.stages),
        "verdict": lines.verdicts(found.verdicts),
    }
    for name, table in made.items():
        (folder / f"{name}.md").write_text(tables.markdown(table), encoding="utf-8")
        (folder / f"{name}.tex").write_text(tables.latex(table, name.replace("_", "")), encoding="utf-8")
    (folder / "lifecycle.csv").write_text(
        tables.comma_separated(csv_rows.HEADER, list(csv_rows.rows(found.stages))), encoding="utf-8"
    )
    write_outlook_tables(found.outlook, folder, found.facts)


def write_figures(found: Study, folder: Path) -> None:
    """Every figure as PNG and PDF."""
    from qgen.report import figures, outlook, style

    folder.mkdir(parents=True, exist_ok=True)
    with style.applied():
        for name, figure in figures.all_figures(found.records, found.stages, found.lives):
            style.save(figure, folder / name)
        if found.verdicts:
            style.save(outlook.sensitivity(found.verdicts, verdict.thresholds()), folder / "sensitivity")
    write_outlook_figures(found.outlook, folder, found.facts)
