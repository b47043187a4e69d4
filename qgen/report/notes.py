"""Footnotes that every table carries, written from the records: hardware, meter, windows, seeds, versions, rules."""

from collections.abc import Sequence

import numpy as np

from qgen.record import Record
from qgen.report import words
from qgen.report.compare import StageTable
from qgen.report.draws import FACILITY
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
        for note in [
            *(*_reading(tables), *_fewer(tables), *_failures(tables)),
            *(*_machine(records), *_meter(ok), *_profiles(ok)),
        ]
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
        "Projected energy: median [5 %, 95 %] over the ranges of the machine's numbers, with the host part. A machine "
        "is charged while it works, not while it waits (tables/amortised has both). Shown is the machine of each date "
        "that most likely saves energy; all machines are in tables/profiles.",
        "Boundary: a machine's watts contain its cooling and air conditioning, a meter's joules do not. So the "
        "measured column is as the meter read it, and in projected energy, ratios and P(saves) everything measured "
        f"counts {FACILITY[1]:g} times [{FACILITY[0]:g}, {FACILITY[2]:g}] (PUE of data centres, one draw for all "
        "rows), and nothing projected does.",
        "Ratio: over the classical arm of least energy whose quality is not below the best classical one by more than "
        f"the margin ({margins}). {_rivals(tables)}P(saves): probability that the arm needs less energy at equal "
        "quality, over joint draws of seeds, meter range, facility factor and machine. "
        f"{UNEQUAL} not of equal quality: the ratio compares unequal work.",
    ]


def _rivals(tables: Sequence[StageTable]) -> str:
    """Who may be the best classical arm, where the table shows arms that run classically and may not."""
    controls = {arm.arm for table in tables for arm in table.arms if arm.family == "control" and not arm.simulated}
    return "A control is never the best classical arm, even where it runs classically. " if controls else ""


def _fewer(tables: Sequence[StageTable]) -> list[str]:
    """Machines on which only some seeds' circuits run: their means are over those seeds."""
    few: dict[str, list[str]] = {}
    for table in tables:
        for arm in table.arms:
            for name, projection in arm.projections.items():
                if projection.energy and projection.seeds < len(arm.seeds):
                    few.setdefault(f"{table.name} {arm.arm}", []).append(
                        f"{name} {projection.seeds} of {len(arm.seeds)}"
                    )
    if not few:
        return []
    listed = "; ".join(f"{arm}: {', '.join(names)}" for arm, names in few.items())
    return [f"Projected over the seeds whose circuits the machine can run, which are fewer than were run: {listed}."]


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
    commits = list(dict.fromkeys(str(row.get("commit", "unknown"))[:12] for row in rows))
    dirty = " with uncommitted changes" if any(row.get("dirty", True) for row in rows) else ""
    seeds = sorted({record.seed for record in records})
    mixed = f"Rows of {len(commits)} commits are in one table: what changed between them may be in its numbers."
    return [
        mixed if len(commits) > 1 else "",
        f"Hardware: {_values(rows, 'device')}, {_values(rows, 'cores')} cores. Python {_values(rows, 'python')}; "
        f"{listed}. Commit {', '.join(commits)}{dirty}. Preset {records[0].preset}, "
        f"seeds {', '.join(map(str, seeds))}.",
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
    counted = [name for name in ("nvml", "rapl", "zeus") if name in kinds]
    left_out = "Counters see boards and packages, not power supplies, fans and disks. " if counted else ""
    steal = max((field.get("steal_share", 0.0) for field in fields), default=0.0)
    return [
        f"Meter: {kinds}. {left_out}{_range(repeats)} repeats in windows of {words.si(min(windows), 's')} to "
        f"{words.si(max(windows), 's')}. Idle power "
        + (f"{words.si(float(np.median(idle)), 'W')} (reported, not subtracted). " if idle else "not known. ")
        + f"At most {100 * steal:.1f} % of processor time was stolen by other virtual machines."
    ]


def _range(values: Sequence[float]) -> str:
    low, high = int(min(values)), int(max(values))
    return f"{low}" if low == high else f"{low} to {high}"


def _profiles(ok: Sequence[Record]) -> list[str]:
    found: dict[str, set[str]] = {}
    for record in ok:
        for name, entry in record.projected.items():
            found.setdefault(name, set()).add(entry.get("fingerprint", ""))
    if not found:
        return []
    stale = [name for name, fingerprints in found.items() if len(fingerprints) > 1]
    return [
        f"Quantum machines, whose numbers, sources and grades are in qgen/energy/profiles.toml: {', '.join(found)}.",
        f"Priced with different numbers in different rows, which do not compare: {', '.join(stale)}." if stale else "",
    ]
