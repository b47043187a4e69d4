"""The storage of a study: one JSON line per trial, written as it ends; the first line names the study."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from qgen.search.sweep import Ended

FORMAT = 1


class Store:
    """Trials on disk. The first process writes; every process knows what was there at the start."""

    def __init__(self, path: Path, study: Mapping[str, Any]) -> None:
        """Opens a storage, or begins one.

        Args:
            path: a `.jsonl` file; it and its folder are made where they are missing.
            study: what the study is, as JSON can hold it.

        Raises:
            ValueError: if the file belongs to another study, or is no storage.
        """
        self.path = path
        self.known: dict[int, Ended] = {}
        self.simulated: dict[tuple, Ended] = {}
        header = {"format": FORMAT, "study": json.loads(json.dumps(study))}
        lines = _shared(path.read_text(encoding="utf-8") if _writes() and path.exists() else "").splitlines(True)
        if lines and not lines[-1].endswith("\n"):
            lines.pop()  # a killed writer left half a line
        if not lines:
            self._write(header, "w")
            return
        try:
            rows = [json.loads(line) for line in lines]
            stored = rows[0]["study"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no storage of a study: {error}.") from error
        if rows[0] != header:
            different = [name for name in {*stored, *study} if stored.get(name) != header["study"].get(name)]
            named = "; ".join(
                f"{name} was {stored.get(name)!r} and is {header['study'].get(name)!r}" for name in sorted(different)
            )
            raise ValueError(f"{path} belongs to another study: {named or 'its format is another'}.")
        for row in rows[1:]:
            ended = Ended(math.nan if row["loss"] is None else row["loss"], row["steps"])
            if row["number"] is None:
                self.simulated[tuple(row["point"])] = ended
            else:
                self.known[row["number"]] = ended
        if _writes():
            path.write_text("".join(lines), encoding="utf-8")

    def end(self, number: int | None, point: np.ndarray, params: Mapping[str, Any], ended: Ended) -> None:
        """Keeps how a trial ended; a number of None is a run that only a simulated oracle needs."""
        if number is None:
            self.simulated[tuple(point.tolist())] = ended
        else:
            self.known[number] = ended
        row = {
            "number": number,
            "params": {
                name: value if isinstance(value, int | float | str) else repr(value) for name, value in params.items()
            },
            "point": point.tolist(),
            "loss": None if math.isnan(ended.loss) else ended.loss,
            "steps": ended.steps,
        }
        self._write(row, "a")

    def _write(self, row: Mapping[str, Any], mode: str) -> None:
        if not _writes():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open(mode, encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _writes() -> bool:
    return jax.process_index() == 0


def _shared(text: str) -> str:
    """The first process's text, on every process."""
    if jax.process_count() == 1:
        return text
    content = np.frombuffer(text.encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
    padded = np.zeros(max(size, 1), np.uint8)
    padded[: len(content)] = content if _writes() else 0
    return np.asarray(multihost_utils.broadcast_one_to_all(padded)).astype(np.uint8).tobytes()[:size].decode()
