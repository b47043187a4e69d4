"""Ledger: the rows of a run that computes what follows from others; what is done is not made again."""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qgen import record
from qgen.record import Record


class Ledger:
    """Rows of one run: what is done is not made again, what is made is appended at once."""

    def __init__(self, path: Path, done: dict[tuple, Record], preset: str) -> None:
        self.path, self.done, self.preset = path, done, preset
        self.rows: list[Record] = []
        self.provenance = record.provenance("")

    def has(self, experiment: str, stage: str, arm: str, config: Mapping[str, Any], seed: int = 0) -> bool:
        """Whether the row is there already."""
        return Record(experiment, stage, arm, seed, self.preset, config).key in self.done

    def row(
        self,
        experiment: str,
        stage: str,
        arm: str,
        config: Mapping[str, Any],
        make: Callable[[], Mapping[str, Any]],
        seed: int = 0,
    ) -> Record:
        """The row, made by `make`, which returns fields of Record, unless it is there already."""
        row = Record(experiment, stage, arm, seed, self.preset, config)
        if row.key not in self.done:
            start = datetime.now(UTC).isoformat(timespec="seconds")
            row = dataclasses.replace(row, provenance=self.provenance | {"start": start}, **make())
            record.append(self.path, row)
            self.done[row.key] = row
        self.rows.append(self.done[row.key])
        return self.rows[-1]
