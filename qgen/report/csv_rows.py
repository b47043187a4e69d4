"""The main table as data for other programs: one row per arm and machine."""

from collections.abc import Iterator, Sequence

from qgen.report import words
from qgen.report.compare import Comparison, Projection, StageTable

HEADER = (
    *("stage", "arm", "family", "seeds", "failed", "reason", "quality_name", "quality", "quality_low", "quality_high"),
    *("equal_quality", "best_classical", "meter", "provenance", "measured_j", "measured_low_j", "measured_high_j"),
    *("compile_j", "simulation_j", "use_j_per_unit", "use_unit", "profile", "projected_j", "projected_low_j"),
    *("projected_high_j", "ratio", "ratio_low", "ratio_high", "p_saves", "p_cheaper", "cannot_run", "claim_time_scale"),
    *("claim_potential",),
)


def rows(tables: Sequence[StageTable]) -> Iterator[list[object]]:
    """One row for an arm without a quantum part, one per machine for an arm with one; no value is an empty cell."""
    for table in tables:
        for arm in table.arms:
            projections = arm.projections or {"": Projection(ratio=arm.ratio)}
            for profile, projection in projections.items():
                yield _row(table, arm, profile, projection)


def _row(table: StageTable, arm: Comparison, profile: str, projection: Projection) -> list[object]:
    # Of an arm with a quantum part the measured column holds the host part, never the simulation.
    energy = arm.host if arm.simulated else arm.measured
    digits = 4 if arm.measured and arm.measured.provenance == "MEASURED" else 2
    return [
        *(table.name, arm.arm, arm.family, len(arm.seeds), arm.failed, arm.reason, table.facts.quality.name),
        *_numbers(arm.quality, 6, 3),
        *(arm.equal, arm.best),
        *((arm.measured.meter, arm.measured.provenance) if arm.measured else ("", "")),
        *_numbers((energy.central, energy.low, energy.high) if energy else None, digits, 3),
        *_numbers((arm.compile_j,) if arm.measured else None, digits, 1),
        *_numbers((arm.measured.central,) if arm.measured and arm.simulated else None, digits, 1),
        *((words.significant(arm.use[0], digits), arm.use[1]) if arm.use else ("", "")),
        profile,
        *_numbers(projection.energy, 2, 3),
        *_numbers(projection.ratio, 2, 3),
        *_numbers(None if projection.saves is None else (projection.saves,), 2, 1),
        *_numbers(None if projection.cheaper is None else (projection.cheaper,), 2, 1),
        *(projection.reason, table.facts.time_scale, table.facts.potential),
    ]


def _numbers(values: Sequence[float] | None, digits: int, count: int) -> list[str]:
    if values is None:
        return [""] * count
    return ["" if value != value else words.significant(value, digits) for value in values]
