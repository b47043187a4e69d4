"""Tables of an industry case: published against ours with a verdict, all arms, and the energy of a year's use."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qgen.record import QUANTILE_LEVELS, Record
from qgen.report import draws, select, statistics, tables, words
from qgen.report.statistics import Interval
from qgen.report.tables import Group, Table

if TYPE_CHECKING:
    from rich.console import Console

JOULES_PER_WH = 3600.0
RULE = (
    "Verdict, from our 95 % interval widened by the margin: reproduced, the published number lies in it; else higher "
    "or lower, as ours is. For an effect: larger or smaller, if ours has the same sign; no effect, if the interval "
    "holds none; opposite, if the sign differs. Undecided: there is no interval, or it holds the published number and "
    "none."
)


class Published(NamedTuple):
    """A number of the article, and what of ours stands beside it.

    Attributes:
        what: what it counts, for the table.
        value: the number; None where the article prints none.
        source: where it is printed.
        ours: `rows -> one number per seed`, or an Interval where ours is no mean over seeds; nothing if not run.
        margin: what counts as equal beyond our interval: the article's printed precision, or a stated tolerance.
        none: for an effect, the value that means none at all; None for a plain number.
        unit: printed behind the numbers.
    """

    what: str
    value: float | None
    source: str
    ours: Callable[[Sequence[Record]], Sequence[float] | Interval]
    margin: float = 0.0
    none: float | None = None
    unit: str = ""


class Volume(NamedTuple):
    """How much the operator does in a year: a range (log-uniform on either side of its middle) and its basis."""

    unit: str
    low: float
    central: float
    high: float
    basis: str


class Yearly(NamedTuple):
    """The year's figure: which rows it is made from.

    Attributes:
        volume: units per year.
        classical: the arm whose measured energy is taken.
        quantum: the arm whose projected energy, with its measured host part, is taken.
        chosen: which rows: those of one setting.
        units: units of the volume that one run handles.
    """

    volume: Volume
    classical: str
    quantum: str
    chosen: Callable[[Record], bool]
    units: Callable[[Record], float] = lambda row: 1.0


class Facts(NamedTuple):
    """What a case's tables say beside its records.

    Attributes:
        name: the case.
        title: what it is, who did it.
        source: the article.
        substitutions: what stands in for what could not be had, one sentence each.
        published: the article's numbers.
        yearly: the year's figure.
        columns: metric -> column title of the table of all arms.
        label: a record's config -> the heading of its setting.
        notes: footnotes of the table of all arms.
    """

    name: str
    title: str
    source: str
    substitutions: Sequence[str]
    published: Sequence[Published]
    yearly: Yearly
    columns: Mapping[str, str]
    label: Callable[[Mapping[str, Any]], str]
    notes: Sequence[str] = ()


def write(rows: Sequence[Record], facts: Facts, out: Path, console: "Console | None" = None) -> None:
    """Writes `tables/<case>{,_arms,_yearly}.{md,tex,csv}` and prints them.

    Args:
        rows: the rows of one run of the case.
        facts: the case's facts.
        out: the folder that receives `tables/`.
        console: where to print; None prints nothing.
    """
    made = {
        facts.name: published(rows, facts),
        f"{facts.name}_arms": arms(rows, facts),
        f"{facts.name}_yearly": yearly(rows, facts),
    }
    for name, table in made.items():
        tables.save(table, out / "tables", name)
        if console is not None:
            tables.show(table, console)


def ours(rows: Sequence[Record], number: Published) -> Interval | None:
    """Our number with its 95 % interval; None where nothing was run for it."""
    found = number.ours([row for row in rows if row.status == "ok"])
    if isinstance(found, Interval):
        return found
    return statistics.mean_interval(found) if len(found) else None


def judged(own: Interval, number: Published) -> str:
    """The verdict on a published number by RULE."""
    if number.value is None:
        return "nothing published"
    if np.isnan(own.low):
        return "undecided"
    low, high = own.low - number.margin, own.high + number.margin
    if low <= number.value <= high:
        return "undecided" if number.none is not None and own.low <= number.none <= own.high else "reproduced"
    if number.none is None:
        return "higher" if own.central > number.value else "lower"
    if own.low <= number.none <= own.high:
        return "no effect"
    if (own.central - number.none) * (number.value - number.none) < 0:
        return "opposite"
    return "larger" if abs(own.central - number.none) > abs(number.value - number.none) else "smaller"


def published(rows: Sequence[Record], facts: Facts) -> Table:
    """Published | ours with 95 % interval | verdict; what was not run, for want of its data, is named below."""
    lines, missing = [], []
    for number in facts.published:
        own = ours(rows, number)
        if own is None:
            missing.append(number.what)
            continue
        unit = f" {number.unit}" if number.unit else ""
        lines.append(
            [
                number.what,
                "-" if number.value is None else f"{number.value:g}{unit}",
                f"{words.plain_interval(own, 3)}{unit}",
                judged(own, number),
                number.source,
            ]
        )
    return Table(
        caption=f"{facts.title}: published and ours. {' '.join(facts.substitutions)}",
        header=("number", "published", "ours with 95 % interval", "verdict", "printed in"),
        groups=[Group("", "", lines)],
        notes=[RULE, *([f"Not run: {'; '.join(missing)}."] if missing else []), f"Article: {facts.source}."],
    )


def arms(rows: Sequence[Record], facts: Facts) -> Table:
    """Every arm in every setting: scores as mean and 95 % half-width, joules measured and projected."""
    settings: dict[str, dict[str, list[Record]]] = {}
    for row in rows:
        settings.setdefault(facts.label(row.config), {}).setdefault(row.arm, []).append(row)
    groups, reasons = [], {}
    for title, found in settings.items():
        lines, faint = [], set()
        for arm, own in found.items():
            if select.family(arm) == "control":
                faint.add(len(lines))
            good = [row for row in own if row.status == "ok"]
            if not good:
                lines.append([arm, f"failed: {own[-1].reason.splitlines()[0]}", *[""] * (len(facts.columns) + 1)])
                continue
            if good[0].note:
                reasons[f"{arm}: {good[0].note}"] = None
            lines.append([arm, str(len(good)), *(_mean(good, name) for name in facts.columns), *_joules(good)])
        groups.append(Group(title, "", lines, frozenset(faint)))
    return Table(
        caption=f"{facts.title}: every arm in every setting, means over seeds with 95 % half-widths.",
        header=("arm", "seeds", *facts.columns.values(), "measured J", "projected J"),
        groups=groups,
        label="setting",
        notes=[
            "Measured: one run on this machine, where joules were kept; of a quantum arm the part that stays classical "
            "beside a machine. Projected: its quantum part on the machine of the least median, where it was priced.",
            *facts.notes,
            *reasons,
        ],
    )


def _mean(rows: Sequence[Record], name: str) -> str:
    # A ratio of two equal sums is 1, not 1 and some last bits.
    values = [round(row.metrics[name], 6) for row in rows if name in row.metrics]
    return words.plus_minus(statistics.mean_interval(values)) if values else ""


def _joules(rows: Sequence[Record]) -> tuple[str, str]:
    """Measured and projected energy of one run."""
    quantum = select.family(rows[0].arm) == "quantum"
    fields = [row.host if quantum else row.measured for row in rows]
    joules = [field["energy_j"] for field in fields if field]
    least = cheapest(rows)
    return (
        words.significant(float(np.mean(joules))) if joules else "",
        f"{words.significant(least[1])} ({least[0]})" if least else "",
    )


def machines(rows: Sequence[Record]) -> list[str]:
    """The machines that can run every one of the rows."""
    if not rows:
        return []
    return [name for name in rows[0].projected if all("energy_j" in row.projected.get(name, {}) for row in rows)]


def cheapest(rows: Sequence[Record]) -> tuple[str, float] | None:
    """The machine of the least median energy and the mean over rows of that median."""
    middle = QUANTILE_LEVELS.index(0.5)
    found = {m: float(np.mean([row.projected[m]["energy_j"][middle] for row in rows])) for m in machines(rows)}
    return min(found.items(), key=lambda item: item[1]) if found else None


class Year(NamedTuple):
    """A year's energy of one arm: joules per unit and per year as draws, and how they were had."""

    arm: str
    machine: str
    per_unit_j: np.ndarray
    per_year_j: np.ndarray


def years(rows: Sequence[Record], facts: Facts) -> list[Year]:
    """The year's energy of the classical arm, then of the quantum arm on every machine that can run it."""
    plan = facts.yearly
    good = [row for row in rows if row.status == "ok" and plan.chosen(row)]
    classical = [row for row in good if row.arm == plan.classical]
    quantum = [row for row in good if row.arm == plan.quantum and row.projected]
    volume = volumes(plan.volume)
    made = []
    if classical:
        joint = draws.joint(len(classical))
        per_unit = draws.measured([row.measured for row in classical], joint) / _units(classical, plan)
        made.append(Year(plan.classical, "", per_unit, per_unit * volume))
    for machine in machines(quantum):
        joint = draws.joint(len(quantum))
        per_unit = draws.projected(quantum, machine, joint) / _units(quantum, plan)
        made.append(Year(plan.quantum, machine, per_unit, per_unit * volume))
    return made


def _units(rows: Sequence[Record], plan: Yearly) -> float:
    return float(np.mean([plan.units(row) for row in rows]))


def volumes(volume: Volume) -> np.ndarray:
    """Units per year, [DRAWS]: log-uniform on either side of the middle."""
    place = np.random.default_rng(8_000).uniform(-1, 1, statistics.DRAWS)
    ends = np.where(place < 0, volume.low, volume.high)
    return volume.central * (ends / volume.central) ** np.abs(place)


def yearly(rows: Sequence[Record], facts: Facts) -> Table:
    """Energy per unit and per year, both arms, with 5 % and 95 % of all that is uncertain."""
    volume, found = facts.yearly.volume, years(rows, facts)
    rival = next((year for year in found if not year.machine), None)
    lines = []
    for year in found:
        ratio = year.per_year_j / rival.per_year_j if rival and year.machine else None
        lines.append(
            [
                year.arm,
                "measured here" if not year.machine else f"projected: {year.machine}",
                words.si_interval(statistics.summary(year.per_unit_j), "J"),
                words.si_interval(statistics.summary(year.per_year_j / JOULES_PER_WH), "Wh"),
                "" if ratio is None else words.plain_interval(statistics.summary(ratio)),
                "" if ratio is None else words.probability(float(np.mean(ratio < 1))),
            ]
        )
    return Table(
        caption=f"{facts.title}: energy of a year's use, {words.significant(volume.central)} "
        f"[{words.significant(volume.low)}, {words.significant(volume.high)}] {volume.unit}.",
        header=("arm", "energy is", "per unit", "per year", "ratio to classical", "P(less)"),
        groups=[Group("", "", lines)],
        notes=[
            f"Volume: {volume.basis}",
            "Median [5 %, 95 %] over seeds, the meter's range, the building, the machine's ranges and the volume, "
            "which multiplies one run's energy; the machine's waiting is not charged; a simulator's energy is in no "
            "row.",
        ],
    )
