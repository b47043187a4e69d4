"""The articles' claims: one rule each, from all records to a value, a verdict and the rows behind it."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qgen.record import Record
from qgen.report import cases, select, tables, words
from qgen.report.statistics import Interval
from qgen.report.tables import Group, Table

HOLDS, FAILS, UNDECIDED, UNTESTABLE = "holds", "does not hold", "undecided", "not testable here"
HEADER = ("no.", "claim", "what was measured", "value with 95 % interval", "verdict", "records")


class Answer(NamedTuple):
    """What a rule finds: the value as text, the verdict, and the rows that it read."""

    value: str
    verdict: str
    rows: Sequence[Record]


class Book:
    """All records at hand, in the order in which they were written."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = list(records)

    def case(self, name: str) -> list[Record]:
        """The rows that ended well of a case's newest preset; of rows run twice the newer."""
        rows = [row for row in self.records if row.experiment == "cases" and row.stage == name and row.status == "ok"]
        return list({row.key: row for row in rows if row.preset == rows[-1].preset}.values())

    def lifecycle(self, stage: str, arm: str) -> list[Record]:
        """The rows of an arm in the lifecycle's newest reference run."""
        if not any(row.experiment == "lifecycle" for row in self.records):
            return []
        found = select.arms(select.latest(self.records, "lifecycle"), stage).get(arm)
        return list(found.ok.values()) if found else []

    def of(self, experiment: str, stage: str = "") -> list[Record]:
        """The rows of an experiment that ended well, of one stage or all; of rows run twice the newer."""
        rows = [row for row in self.records if row.experiment == experiment and row.status == "ok"]
        return list({row.key: row for row in rows if stage in ("", row.stage)}.values())


class Claim(NamedTuple):
    """A claim of the articles.

    Attributes:
        text: what is claimed.
        measured: what stands for it here.
        rule: gives the Answer, or None where its records are missing.
        command: what makes its records.
    """

    text: str
    measured: str
    rule: Callable[[Book], Answer | None]
    command: str


class Line(NamedTuple):
    """One row of the table."""

    number: int
    claim: Claim
    answer: Answer


def judged(claims: Sequence[Claim], records: Iterable[Record]) -> list[Line]:
    """Every claim with its answer; where records are missing, undecided, with the command that makes them."""
    book = Book(records)
    lines = []
    for number, claim in enumerate(claims, start=1):
        answer = claim.rule(book) or Answer("-", f"{UNDECIDED}: run {claim.command}", ())
        lines.append(Line(number, claim, answer))
    return lines


def table(lines: Sequence[Line]) -> Table:
    """The claims table."""
    rows = [
        [
            str(line.number),
            line.claim.text,
            line.claim.measured,
            line.answer.value,
            line.answer.verdict,
            ids(line.answer),
        ]
        for line in lines
    ]
    counts = {word: sum(line.answer.verdict.startswith(word) for line in lines) for word in VERDICTS}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return Table(
        caption=f"The articles' {len(lines)} claims: {told}.",
        header=HEADER,
        groups=[Group("", "", rows)],
        notes=[
            "Intervals are 95 % over seeds or splits; 5 to 95 % of all draws where energy is projected.",
            "Holds and does not hold: the interval lies on one side of what the claim says; else undecided. Published "
            "effects hold where ours is as large or larger, by the rule of the cases' tables.",
            "Records: experiment, stage, number of rows, and a digest of their keys.",
        ],
    )


VERDICTS = (HOLDS, FAILS, UNDECIDED, UNTESTABLE)


def write(lines: Sequence[Line], out: Path) -> Table:
    """Writes `tables/claims.{md,tex,csv}` and returns the table."""
    made = table(lines)
    tables.save(made, out / "tables", "claims")
    return made


def ids(answer: Answer) -> str:
    """The rows behind an answer, as experiment/stage, their number and a digest of their keys."""
    groups: dict[str, list[str]] = {}
    for row in answer.rows:
        groups.setdefault(f"{row.experiment}/{row.stage}", []).append(repr(row.key))
    digest = {place: hashlib.sha256("".join(sorted(keys)).encode()).hexdigest()[:8] for place, keys in groups.items()}
    return "; ".join(f"{place} x{len(keys)} #{digest[place]}" for place, keys in groups.items())


def above(own: Interval, bound: float) -> str:
    """Holds if the interval lies above a bound."""
    if np.isnan(own.low):
        return UNDECIDED
    return HOLDS if own.low > bound else FAILS if own.high <= bound else UNDECIDED


def below(own: Interval, bound: float) -> str:
    """Holds if the interval lies below a bound."""
    if np.isnan(own.low):
        return UNDECIDED
    return HOLDS if own.high < bound else FAILS if own.low >= bound else UNDECIDED


def all_of(verdicts: Sequence[str]) -> str:
    """Holds if all do; does not hold if one does not."""
    if FAILS in verdicts:
        return FAILS
    return HOLDS if set(verdicts) == {HOLDS} else UNDECIDED


def effect(own: Interval | None, published: cases.Published) -> str:
    """The verdict of a case's table in a claim's words."""
    if own is None:
        return UNDECIDED
    word = cases.judged(own, published)
    if word == "undecided":
        return UNDECIDED
    return HOLDS if word in ("reproduced", "larger") else FAILS


def shown(own: Interval | None, unit: str = "") -> str:
    """A value with its interval."""
    return "-" if own is None else words.plain_interval(own, 3) + (f" {unit}" if unit else "")
