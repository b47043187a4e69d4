"""Tables, figures and verdicts: functions of records, and of nothing else."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from qgen.record import Record
from qgen.report.select import ReportError, StageFacts, article

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ReportError", "StageFacts", "article", "lifecycle", "scaling"]


def lifecycle(
    records: Iterable[Record],
    out: Path,
    console: "Console | None" = None,
    *,
    stages: Mapping[str, StageFacts] | None = None,
) -> None:
    """Writes every table and figure of the lifecycle and prints the table and its bottom line.

    Args:
        records: all rows at hand; those of the experiment "lifecycle" make the table (the newest preset, and the newest
            config of each stage), those of the experiment "shares" give each stage's weight in published lifecycles.
        out: the folder that receives `tables/` and `figures/`.
        console: where to print; None prints nothing.
        stages: stage name -> its facts, in the order of the life; None takes `article()`.

    Raises:
        ReportError: if no row belongs to the lifecycle.
    """
    from qgen.report import output

    output.write(records, out, console, stages or article())


def scaling(
    records: Iterable[Record],
    out: Path,
    console: "Console | None" = None,
    *,
    stages: Mapping[str, StageFacts] | None = None,
) -> None:
    """Writes and prints the tables and figures of laws, break-evens, tornados and the supply scenario.

    Args:
        records: all rows at hand; those of other experiments are passed over.
        out: the folder that receives `tables/` and `figures/`.
        console: where to print; None prints nothing.
        stages: stage name -> its facts; None takes `article()`.
    """
    from qgen.report import output

    output.scaling(list(records), out, console, stages or article())
