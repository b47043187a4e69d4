"""A table as data, and how it becomes Markdown, LaTeX, CSV or lines of a terminal."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qgen.report import words

if TYPE_CHECKING:
    from rich.console import Console

MIN_WIDTH = 5
FILE_WIDTH = 160
"""Letters per line where the output is no terminal."""


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


def latex(table: Table, label: str) -> str:
    """The table as a `longtable` for `\\input`; headings and claims span all columns, long cells are broken into lines.

    It needs the packages array, booktabs and longtable.

    Args:
        table: the table.
        label: what `\\ref{tab:label}` calls it.
    """
    n = len(table.header)
    head = [r"\toprule", " & ".join(words.tex(title) for title in table.header) + r" \\", r"\midrule"]
    lines = [
        f"\\begin{{longtable}}{{{_columns(table)}}}",
        f"\\caption{{{words.tex(table.caption)}}}\\label{{tab:{label}}}\\\\",
        *(*head, r"\endfirsthead", *head, r"\endhead", r"\bottomrule", r"\endfoot"),
    ]
    for index, group in enumerate(table.groups):
        if group.title:
            claim = rf" \quad {words.tex(table.claim)}: {words.tex(group.claim)}" if group.claim else ""
            space = r"\addlinespace " if index else ""
            lines.append(rf"{space}\multicolumn{{{n}}}{{l}}{{\textbf{{{words.tex(group.title)}}}{claim}}} \\*")
        lines += [_latex_row(cells) + r" \\" for cells in group.rows]
    lines.append(r"\end{longtable}")
    if table.notes:
        lines += [r"\begin{footnotesize}", *(rf"\noindent {words.tex(note)}\par" for note in table.notes)]
        lines.append(r"\end{footnotesize}")
    return "\n".join(lines) + "\n"


LONG = 48
"""Characters from which the cells of a column are broken into lines, in the paper."""


def _columns(table: Table) -> str:
    """The columns as LaTeX declares them."""
    rows = [cells for group in table.groups for cells in group.rows if not _is_alone(cells)]
    longest = [max((len(cells[place]) for cells in rows), default=0) for place in range(len(table.header))]
    return "".join("l" if length <= LONG else r">{\raggedright\arraybackslash}p{52mm}" for length in longest)


def _latex_row(cells: Sequence[str]) -> str:
    if _is_alone(cells):
        return rf"{words.tex(cells[0])} & \multicolumn{{{len(cells) - 1}}}{{l}}{{{words.tex(cells[1])}}}"
    return " & ".join(words.tex(cell) for cell in cells)


def _is_alone(cells: Sequence[str]) -> bool:
    """Whether a row has one cell beside its name, which may then be as long as the table is wide."""
    return len(cells) > 2 and not any(cells[2:])


def show(table: Table, console: "Console") -> None:
    """Prints the table; a heading spans all columns, and where the terminal is narrow the widest columns wrap."""
    from rich.table import Table as Grid
    from rich.text import Text

    # A file or a pipe has no width of its own; a terminal's is kept.
    if not console.is_terminal:
        console.width = max(console.width, FILE_WIDTH)
    available = console.width
    table = table._replace(groups=[group._replace(rows=[_tight(row) for row in group.rows]) for group in table.groups])
    widths = column_widths(table, available - 2 * len(table.header))

    def line(cells: Sequence[str], style: str) -> None:
        if _is_alone(cells):
            console.print(Text(f"{cells[0]:{widths[0]}}  {cells[1]}"), style=style, width=available)
            return
        grid = Grid.grid(padding=(0, 2, 0, 0))
        for width in widths:
            grid.add_column(width=width, overflow="fold")
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
    """Widths in letters: as wide as the longest cell, then the widest made narrower until all fit.

    Columns break between words as long as that is enough, and inside of words where the terminal is very narrow.
    """
    rows = [cells for group in table.groups for cells in group.rows if not _is_alone(cells)]
    columns = list(zip(table.header, *rows, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    # The first column names the rows and never wraps.
    least = [widths[0], *(max(len(word) for cell in column for word in [*cell.split(), ""]) for column in columns[1:])]
    narrow = [MIN_WIDTH] * len(widths)
    for bounds in (least, [widths[0], *narrow[1:]], narrow):
        while sum(widths) > available and any(width > bound for width, bound in zip(widths, bounds, strict=True)):
            room = [width if width > bound else 0 for width, bound in zip(widths, bounds, strict=True)]
            widths[room.index(max(room))] -= 1
    return widths


def _tight(cells: Sequence[str]) -> list[str]:
    """Intervals without the blank after the comma, so that a narrow column breaks before them and not inside."""
    return [re.sub(r"(\[[^\]]*), ", r"\1,", cell) for cell in cells]


def save(table: Table, folder: Path, name: str) -> None:
    """Writes a table as `NAME.md`, `NAME.tex` and `NAME.csv`; groups with titles are the CSV's first column.

    Args:
        table: the table.
        folder: where to; it is made if need be.
        name: the files' stem; without underscores also the table's LaTeX label.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(markdown(table), encoding="utf-8")
    (folder / f"{name}.tex").write_text(latex(table, name.replace("_", "")), encoding="utf-8")
    titled = any(group.title for group in table.groups)
    header = [*([table.label or "group"] if titled else []), *table.header]
    rows = [[*([group.title] if titled else []), *cells] for group in table.groups for cells in group.rows]
    (folder / f"{name}.csv").write_text(comma_separated(header, rows), encoding="utf-8")


def comma_separated(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Plain CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
