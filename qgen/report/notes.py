"""Footnotes that every table carries, written from the records: hardware, meter, windows, seeds, versions, rules."""

from collections.abc import Sequence

import numpy as np

from qgen.record import Record
from qgen.report import words
from qgen.report.compare import StageTable
from qgen.report.lines import UNEQUAL


def footnotes(records: Sequence[Record], tables: Sequence[StageTable]) -> list[str]:
    """Sentences on how the numbers of these records came about.

    Args:
        records: the rows that the table shows.
        tables: the comparisons made from them.
    """
    ok = [record for record in records if record.status == "ok"]
    return [
        note
        for note in [*_reading(tables), *_failures(tables), *_machine(records), *_meter(ok), *_profiles(ok)]
        if note
    ]


def _reading(tables: Sequence[StageTable]) -> list[str]:
    margins = "; ".join(
        f"{table.name} {words.significant(table.facts.quality.margin)} {table.facts.quality.name}" for table in tables
    )
    return [
        "Quality: mean over seeds with 95 % interval (Student's t). Measured energy: mean over seeds, in brackets the "
        "range that the meter declares. Compilation is not in it. Simulation: what simulating the quantum part cost "
        "this machine; it is no estimate of a quantum machine's energy and enters no ratio.",
        "Projected energy: median [5 %, 95 %] over the ranges of the machine's numbers, with the measured host part. "
        "A machine is charged while it works, not while it waits. Its cooling is in its watts; no PUE is added to "
        "measured energy. Shown is the machine of each date that most likely saves energy; all machines are in "
        "tables/profiles.",
        "Ratio: over the classical arm of least energy whose quality is not below the best classical one by more than "
        f"the margin ({margins}). P(saves): probability that the arm needs less energy at equal quality, over joint "
        "draws of seeds, meter range and machine. "
        f"{UNEQUAL} not of equal quality: the ratio compares unequal work.",
    ]


def _failures(tables: Sequence[StageTable]) -> list[str]:
    return [
        f"{table.name}, {arm.arm}: {arm.failed} of {arm.failed + len(arm.seeds)} runs failed: {arm.reason}"
        for table in tables
        for arm in table.arms
        if arm.failed
    ]


def _machine(records: Sequence[Record]) -> list[str]:
    rows = [record.provenance for record in records]
    versions = [dict(row.get("versions", {})) for row in rows]
    listed = ", ".join(
        f"{name} {', '.join(sorted({str(version[name]) for version in versions if name in version}))}"
        for name in dict.fromkeys(name for version in versions for name in version)
    )
    commits = ", ".join(dict.fromkeys(str(row.get("commit", "unknown"))[:12] for row in rows))
    dirty = " with uncommitted changes" if any(row.get("dirty", True) for row in rows) else ""
    seeds = sorted({record.seed for record in records})
    return [
        f"Hardware: {_values(rows, 'device')}, {_values(rows, 'cores')} cores. Python {_values(rows, 'python')}; "
        f"{listed}. Commit {commits}{dirty}. Preset {records[0].preset}, seeds {', '.join(map(str, seeds))}."
    ]


def _values(rows: Sequence, name: str) -> str:
    return " and ".join(dict.fromkeys(str(row.get(name, "unknown")) for row in rows))


def _meter(ok: Sequence[Record]) -> list[str]:
    fields = [record.measured for record in ok]
    if not fields:
        return []
    kinds = " and ".join(dict.fromkeys(f"{field['meter']} ({field['provenance']})" for field in fields))
    repeats = [field.get("repeats", 1) for field in fields]
    windows = [field["time_s"] * field.get("repeats", 1) for field in fields]
    idle = [field["idle_w"] for field in fields if "idle_w" in field]
    steal = max((field.get("steal_share", 0.0) for field in fields), default=0.0)
    return [
        f"Meter: {kinds}. {_range(repeats)} repeats in windows of {words.si(min(windows), 's')} to "
        f"{words.si(max(windows), 's')}. Idle power "
        + (f"{words.si(float(np.median(idle)), 'W')} (reported, not subtracted). " if idle else "not known. ")
        + f"At most {100 * steal:.1f} % of processor time was stolen by other virtual machines."
    ]


def _range(values: Sequence[float]) -> str:
    low, high = int(min(values)), int(max(values))
    return f"{low}" if low == high else f"{low} to {high}"


def _profiles(ok: Sequence[Record]) -> list[str]:
    names = dict.fromkeys(name for record in ok for name in record.projected)
    if not names:
        return []
    return [
        f"Quantum machines, whose numbers, sources and grades are in qgen/energy/profiles.toml: {', '.join(names)}."
    ]
