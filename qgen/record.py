"""Record: one run, one row, one schema; JSON lines that are only ever appended to.

No number reaches a table, a figure or a page except through a Record. A row is flat: nested mappings become dotted keys
(`metrics.bits_per_byte`, `projected.sc_today.energy_j`).
"""

import dataclasses
import functools
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

SCHEMA = 1
VERSIONED = ("jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn")
QUANTILE_LEVELS = (0.005, *(round(0.05 * k, 2) for k in range(1, 20)), 0.995)
"""The levels at which a projected distribution is stored: enough to draw from it again."""


class RecordError(ValueError):
    """A file of records that cannot be read or a row that must not be written."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One run of one arm.

    Attributes:
        experiment: the script that made the row, such as "lifecycle".
        stage: the stage (or case) that the run belongs to.
        arm: the arm, such as "classical/minhash".
        seed: the run's seed.
        preset: the preset's name.
        config: every hyperparameter of the stage, name -> value.
        upstream: which arms made the inputs: "reference", or "stage=arm" where one earlier stage used another arm.
        status: "ok" or "failed".
        reason: why it failed, empty otherwise.
        note: what the arm says of itself.
        metrics: score name -> number.
        resources: field of Resources -> total, empty for an arm without a quantum part.
        measured: what this machine used: `time_s`, `energy_j`, `energy_low_j`, `energy_high_j`, `compile_time_s`,
            `compile_energy_j`, `idle_w`, `repeats`, `meter`, `provenance` (MEASURED or MODELLED), `steal_share`,
            `others_share`.
        host: the same fields for the part of a quantum arm that stays classical beside a quantum machine; empty where
            the arm has none.
        use: the same fields for one use of the answer, with `unit` (such as "token") and `energy_per_unit_j`.
        projected: profile name -> `energy_j` (marginal), `amortised_energy_j` (with the machine's waiting share) and
            `time_s`, each a list of quantiles at QUANTILE_LEVELS, or `reason`, one sentence on why that machine cannot
            run it; with the `fingerprint` of the machine's numbers.
        trace: name -> list of numbers, for curves.
        provenance: commit, dirty, host, device, versions, start.
    """

    experiment: str
    stage: str
    arm: str
    seed: int
    preset: str
    config: Mapping[str, Any]
    upstream: str = "reference"
    status: str = "ok"
    reason: str = ""
    note: str = ""
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    resources: Mapping[str, float] = dataclasses.field(default_factory=dict)
    measured: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    host: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    use: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    projected: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    trace: Mapping[str, list[float]] = dataclasses.field(default_factory=dict)
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def key(self) -> tuple:
        """What makes a row unique: a second run with the same key is not run again."""
        settings = json.dumps(self.config, sort_keys=True)
        return (self.experiment, self.stage, self.arm, self.upstream, self.preset, settings, self.seed)


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one flat dict with dotted keys; an empty mapping stays as an empty dict."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = dict(value) if isinstance(value, Mapping) else value
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`."""
    nested: dict[str, Any] = {}
    for dotted, value in flat.items():
        *path, last = dotted.split(".")
        place = nested
        for name in path:
            place = place.setdefault(name, {})
        place[last] = value
    return nested


def append(path: Path, record: Record) -> None:
    """Appends one row and forces it to disk.

    Args:
        path: a `.jsonl` file; it and its folder are made where they are missing.
        record: the row.

    Raises:
        RecordError: if a number of the row is NaN or infinite, or a name holds a dot.
    """
    row = dataclasses.asdict(record)
    flat = flatten(row)
    if unflatten(flat) != row:
        raise RecordError(f"A name in the record of {record.stage} {record.arm} holds a dot.")
    for name, value in flat.items():
        values = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(v, float) and not math.isfinite(v) for v in values):
            raise RecordError(f"Field `{name}` of {record.stage} {record.arm} is not finite: {value}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    _end_torn_line(path)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(flat, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _end_torn_line(path: Path) -> None:
    """A killed writer can leave half a line: cut it off, so that the next row starts on a line of its own."""
    if not path.exists() or path.stat().st_size == 0:
        return
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def load(path: Path) -> list[Record]:
    """Reads every row of a file, or of all `*.jsonl` files of a folder; a torn last line is passed over.

    Raises:
        RecordError: if the path is missing, a whole line is no JSON object, or a row has another schema or fields.
    """
    if path.is_dir():
        return [row for file in sorted(path.glob("*.jsonl")) for row in load(file)]
    if not path.exists():
        raise RecordError(f"There are no records at {path}.")
    fields = dataclasses.fields(Record)
    known = {field.name for field in fields}
    needed = [field.name for field in fields if field.default is field.default_factory is dataclasses.MISSING]
    records = []
    lines = path.read_bytes().decode("utf-8", errors="replace").splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            break
        try:
            row = unflatten(json.loads(line))
        except (json.JSONDecodeError, AttributeError, TypeError) as error:
            raise RecordError(f"{path}, line {number}, is not a record: {error}.") from error
        if row.get("schema") != SCHEMA:
            found = row.get("schema")
            raise RecordError(f"{path}, line {number}, has schema {found}, but this version reads {SCHEMA}.")
        if unknown := set(row) - known:
            raise RecordError(f"{path}, line {number}, has unknown fields: {', '.join(sorted(unknown))}.")
        if missing := [name for name in needed if name not in row]:
            raise RecordError(f"{path}, line {number}, lacks the fields: {', '.join(missing)}.")
        records.append(Record(**row))
    return records


def done(records: Iterable[Record]) -> dict[tuple, Record]:
    """Key -> row for every row that ended well; the last one counts. Failed rows are run again."""
    return {record.key: record for record in records if record.status == "ok"}


@functools.cache
def _origin() -> tuple[str, bool]:
    """Commit and dirty flag of the code, read once: a run is of the commit that it began with."""
    root = Path(__file__).resolve().parent.parent
    # Where git does not answer, nothing is known of the tree, and it counts as changed.
    changes = _git(root, "status", "--porcelain", "--", "qgen", "experiments")
    return _git(root, "rev-parse", "HEAD") or "unknown", changes is None or bool(changes)


def provenance(start: str) -> dict[str, Any]:
    """Where and with what a row was made; `start` is the run's start in UTC, ISO 8601."""
    import jax

    commit, dirty = _origin()
    return {
        "commit": commit,
        "dirty": dirty,
        "command": " ".join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]]),
        "host": platform.node(),
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in VERSIONED},
        "start": start,
    }


def _git(root: Path, *arguments: str) -> str | None:
    """What git says, or None where it does not answer or fails."""
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"
