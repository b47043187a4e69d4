"""Tables and figures of every study whose records lie in a folder, as its own script writes them.

`STUDY.jsonl` holds the rows of one study, `cases_NAME.jsonl` those of one industry case. The README's and the paper's
excerpts are made from them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from qgen import cases, record
from qgen.cases import claim_list, claims
from qgen.record import Record
from qgen.report import distillation, finetuning, mixers, reinforcement, search

STUDIES: dict[str, Callable[[Sequence[Record], Path], None]] = {
    "search": search.write,
    "finetuning": finetuning.write,
    "distillation": distillation.write,
    "mixers": mixers.write,
    "reinforcement": reinforcement.write,
}
"""Study -> what writes its tables and figures."""


def write(records: Path, out: Path) -> list[str]:
    """Writes `STUDY/tables` and `STUDY/figures` of every study, and the claims that all records together decide.

    Args:
        records: folder of records; the lifecycle's rows in it count for the claims alone.
        out: folder that receives a folder per study.

    Returns:
        The studies that were written.
    """
    written, every = [], []
    for file in sorted(records.glob("*.jsonl")):
        rows = record.load(file)
        every += rows
        name = file.stem.removeprefix("cases_")
        if file.stem in STUDIES:
            STUDIES[name](rows, out / name)
        elif name != file.stem:
            cases.load(name).write(rows, out / name)
        else:
            continue
        written.append(name)
    claims.write(claims.judged(claim_list.CLAIMS, every), out / "claims")
    return [*written, "claims"]
