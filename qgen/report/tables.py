"""A table as data, and how it becomes Markdown, LaTeX, CSV or lines of a terminal."""

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from qgen.report import words

if TYPE_CHECKING:
    from rich.console import Console


class Group(NamedTuple):
    """Rows under one heading.

    Attributes:
        title: the heading; the empty string for rows without one.
        claim: what stands beside the heading.
        rows: cells, one per column.
        faint: which rows are printed faintly, such as those of controls.
    """

    title: str
    claim: str
    rows: Sequence[Sequence[str]]
    faint: frozenset[int] = frozenset()


class Table(NamedTuple):
    """A table of text.

    Attributes:
        caption: what it shows, one sentence.
        header: the columns' titles.
        groups: its rows.
        label: the column title of the groups' headings, empty where they have none.
        claim: the column title of the groups' claims, empty where they have none.
        notes: footnotes.
    """

    caption: str
    header: Sequence[str]
    groups: Sequence[Group]
    label: str = ""
    claim: str = ""
    notes: Sequence[str] = ()


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown; headings and claims are columns of their own."""
    header = [*([table.label] if table.label else []), *table.header, *([table.claim] if table.claim else [])]
    lines = [_row(header), _row(["---"] * len(header))]
    for group in table.groups:
        for index, cells in enumerate(group.rows):
            before = [group.title if index == 0 else ""] if table.label else []
            after = [group.claim if index == 0 else ""] if table.claim else []
            lines.append(_row([*before, *cells, *after]))
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([f"**{table.caption}**", "", *lines, "", *notes]).rstrip() + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


def latex(table: Table, columns: str = "") -> str:
    """The table as a `longtable` for `\\input`; headings and claims span all columns; needs booktabs and longtable.

    Args:
        table: the table.
        columns: LaTeX's column specification; left-aligned columns where it is empty.
    """
    n = len(table.header)
    lines = [
        f"\\begin{{longtable}}{{{columns or 'l' * n}}}",
        f"\\caption{{{words.tex(table.caption)}}}\\\\",
        r"\toprule",
        " & ".join(words.tex(title) for title in table.header) + r" \\",
        r"\midrule",
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
    ]
    for index, group in enumerate(table.groups):
        if group.title:
            claim = rf" \quad {words.tex(table.claim)}: {words.tex(group.claim)}" if group.claim else ""
            space = r"\addlinespace " if index else ""
            lines.append(rf"{space}\multicolumn{{{n}}}{{l}}{{\textbf{{{words.tex(group.title)}}}{claim}}} \\*")
        lines += [" & ".join(words.tex(cell) for cell in cells) + r" \\" for cells in group.rows]
    lines.append(r"\end{longtable}")
    if table.notes:
        lines += [r"\begin{footnotesize}", *(rf"\noindent {words.tex(note)}\par" for note in table.notes)]
        lines.append(r"\end{footnotesize}")
    return "\n".join(lines) + "\n"


def show(table: Table, console: "Console") -> None:
    """Prints the table; a heading spans all columns, and where the terminal is narrow the widest columns wrap."""
    from rich.table import Table as Grid
    from rich.text import Text

    # A file or a pipe has no width of its own; a terminal's is kept.
    available = console.width if console.is_terminal else max(console.width, 150)
    widths = column_widths(table, available - 2 * len(table.header))

    def line(cells: Sequence[str], style: str) -> None:
        grid = Grid.grid(padding=(0, 2, 0, 0))
        for width in widths:
            grid.add_column(width=width)
        grid.add_row(*(Text(cell) for cell in cells), style=style)
        console.print(grid, width=available, crop=False)

    console.print()
    console.print(Text(table.caption, style="bold"), width=available)
    line(table.header, "bold")
    for group in table.groups:
        if group.title:
            claim = f"   {table.claim}: {group.claim}" if group.claim else ""
            console.print(Text.assemble((group.title, "bold cyan"), (claim, "cyan")), width=available)
        for index, cells in enumerate(group.rows):
            line(cells, "dim" if index in group.faint else "")
    for note in table.notes:
        console.print(Text(note, style="dim"), width=available)


def column_widths(table: Table, available: int) -> list[int]:
    """Widths in letters: as wide as the longest cell, the widest made narrower until all fit or every word is alone."""
    columns = list(zip(table.header, *(cells for group in table.groups for cells in group.rows), strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    # The first column names the rows and never wraps.
    least = [widths[0], *(max(len(word) for cell in column for word in [*cell.split(), ""]) for column in columns[1:])]
    while sum(widths) > available and any(width > low for width, low in zip(widths, least, strict=True)):
        room = [width if width > low else 0 for width, low in zip(widths, least, strict=True)]
        widths[room.index(max(room))] -= 1
    return widths


def comma_separated(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Plain CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
