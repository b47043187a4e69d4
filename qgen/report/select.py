"""Which records make a table: the newest run of each stage, arm by arm, paired by seed."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from qgen.record import QUANTILE_LEVELS, Record

REFERENCE = "reference"


class ReportError(ValueError):
    """Records from which the asked-for table cannot be made."""


class Quality(NamedTuple):
    """A stage's headline score, and the margin below which two arms are of equal quality."""

    name: str
    higher_is_better: bool
    margin: float


class StageFacts(NamedTuple):
    """What a table says of a stage beside its records: the article's words, the headline score, the two chosen arms."""

    title: str
    classical: str
    enhancement: str
    rationale: str
    time_scale: str
    potential: str
    quality: Quality
    reference: str
    swap: str

    @property
    def claim(self) -> str:
        """The article's claim: time scale, potential."""
        return f"{self.time_scale}, {self.potential}"


class Runs(NamedTuple):
    """The rows of one arm under one upstream: seed -> row that ended well, and the rows that did not."""

    ok: Mapping[int, Record]
    failed: tuple[Record, ...]

    @property
    def any(self) -> Record:
        """A row that stands for all in what does not change with the seed."""
        return next(iter(self.ok.values())) if self.ok else self.failed[0]


def article() -> dict[str, StageFacts]:
    """Stage name -> the facts of `article.toml`, in the order of the life."""
    table = tomllib.loads((Path(__file__).parent / "article.toml").read_text(encoding="utf-8"))
    return {name: StageFacts(**(entry | {"quality": Quality(**entry["quality"])})) for name, entry in table.items()}


def latest(records: Iterable[Record], experiment: str) -> list[Record]:
    """The rows of one experiment in its newest state.

    Of several presets only that of the last row stays, and of several configs of a stage only that of the stage's last
    row, so that arms are compared on one problem. A row that was run again replaces its older self; a failure stays
    only where no run of the same key ended well.

    Args:
        records: rows in the order in which they were written.
        experiment: the experiment's name.

    Raises:
        ReportError: if the experiment has no rows.
    """
    rows = [record for record in records if record.experiment == experiment]
    if not rows:
        raise ReportError(f"There are no records of the experiment `{experiment}`.")
    preset = rows[-1].preset
    rows = [row for row in rows if row.preset == preset]
    configs = {row.stage: _config(row) for row in rows}
    newest: dict[tuple, Record] = {}
    for row in rows:
        if _config(row) != configs[row.stage]:
            continue
        if row.status == "ok" or newest.get(row.key, row).status != "ok":
            newest[row.key] = row
    return list(newest.values())


IDENTITY = ("task", "machine", "rival", "size_name", "region", "year", "storage", "width", "depth")
"""The settings that tell the rows of a study of break-evens apart; its other settings say what they were made from."""


def newest(records: Iterable[Record], experiment: str) -> list[Record]:
    """The rows that ended well of an experiment whose rows are made from other rows, each in its newest state.

    Of several presets only that of the last row stays, and of several `inputs` of an arm's task only those of its last
    row.

    Args:
        records: rows in the order in which they were written.
        experiment: the experiment's name.
    """
    rows = [record for record in records if record.experiment == experiment and record.status == "ok"]
    inputs = {(row.stage, row.arm, row.config.get("task")): row.config.get("inputs") for row in rows}
    found: dict[tuple, Record] = {}
    for row in rows:
        if (
            row.preset == rows[-1].preset
            and row.config.get("inputs") == inputs[row.stage, row.arm, row.config.get("task")]
        ):
            found[row.stage, row.arm, *(row.config.get(name) for name in IDENTITY)] = row
    return list(found.values())


def _config(row: Record) -> str:
    return json.dumps(row.config, sort_keys=True)


def arms(records: Iterable[Record], stage: str, upstream: str = REFERENCE) -> dict[str, Runs]:
    """Arm name -> its rows in one stage, in order of first appearance."""
    rows = [row for row in records if row.stage == stage and row.upstream == upstream]
    result = {}
    for name in dict.fromkeys(row.arm for row in rows):
        own = sorted((row for row in rows if row.arm == name), key=lambda row: row.seed)
        good = {row.seed: row for row in own if row.status == "ok"}
        result[name] = Runs(good, tuple(row for row in own if row.status != "ok"))
    return result


def family(arm: str) -> str:
    """The arm's family: "classical", "quantum", "inspired" or "control"."""
    return arm.split("/", 1)[0]


def date(profile: str) -> str:
    """The date of a profile, "today", "mid" or "long", or the empty string for a profile without one."""
    suffix = profile.rsplit("_", 1)[-1]
    return suffix if suffix in ("today", "mid", "long") else ""


def least_machine(rows: Iterable[Record]) -> tuple[str, float] | None:
    """The machine whose median joules, averaged over the rows, are least, and these; None where none can run them."""
    middle = QUANTILE_LEVELS.index(0.5)
    energies: dict[str, list[float]] = {}
    for row in rows:
        for machine, projection in row.projected.items():
            if "energy_j" in projection:
                energies.setdefault(machine, []).append(projection["energy_j"][middle])
    means = {name: fmean(found) for name, found in energies.items()}
    return min(means.items(), key=lambda item: item[1], default=None)
