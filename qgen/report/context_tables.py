"""Tables of what surrounds a life: other processors, published lives, the supply of energy."""

from collections.abc import Mapping, Sequence

from qgen.record import QUANTILE_LEVELS, Record
from qgen.report import select, words
from qgen.report.statistics import Interval
from qgen.report.tables import Group, Table


def processors(rows: Sequence[Record], facts: Mapping[str, select.StageFacts]) -> Table:
    """Classical work on other hardware: counted operations times published energies per operation."""
    groups = []
    middle, low, high = (QUANTILE_LEVELS.index(level) for level in (0.5, 0.05, 0.95))
    for row in rows:
        m = row.metrics
        cells = []
        if not m:
            groups.append(Group(f"{title(row.stage, facts)}: {row.arm}", "", [("not counted", row.note, "")]))
            continue
        if row.measured:
            ends = Interval(*(row.measured[name] for name in ("energy_j", "energy_low_j", "energy_high_j")))
            digits = 3 if row.measured["provenance"] == "MEASURED" else 2
            cells.append(("this machine", words.si_interval(ends, "J", digits), row.measured["provenance"]))
        for name, entry in row.projected.items():
            quantiles = entry["energy_j"]
            ends = Interval(quantiles[middle], quantiles[low], quantiles[high])
            cells.append((name, words.si_interval(ends, "J"), "PROJECTED"))
        size = f"{words.si(m['parameters'], '', 3).strip()} parameters, {m['tokens']:g} tokens each"
        steps = "1 training step" if m["steps"] == 1 else f"{m['steps']:.0f} training steps"
        work = f"{words.si(m['flops'], 'FLOP')}, {words.si(m['bytes'], 'B')}"
        groups.append(Group(f"{title(row.stage, facts)}: {row.arm}, {steps} of {size}: {work}", "", cells))
    notes = [
        "PROJECTED: operations counted in forward and backward passes times published energies per operation "
        "(qgen/energy/processors.toml), without host and building. This machine: the whole arm as measured, with "
        "updates, validation and what keeps a small model from using a processor well."
    ]
    header = ("processor", "energy", "provenance")
    return Table("Energy of classical work on other hardware", header, groups, "work", notes=notes if groups else ())


def published(rows: Sequence[Record]) -> Table:
    """Where the energy of published lives went: what the verdicts' stage shares are drawn from."""
    lives: dict[str, list[tuple[str, ...]]] = {}
    for row in rows:
        part, _, life = row.arm.partition("/")
        gwh = words.significant(row.metrics["gwh"], 3) if "gwh" in row.metrics else ""
        share = f"{words.significant(100 * row.metrics['share'], 3)} %"
        lives.setdefault(life, []).append((part.replace("_", " "), share, gwh))
    groups = [Group(life, "", cells) for life, cells in lives.items()]
    notes = ["Sources and grades: qgen/energy/lifecycles.toml. Only lives with inference enter a stage's share."]
    header = ("part", "share", "energy (GWh)")
    return Table("Where the energy of published lives went", header, groups, "life", notes=notes if groups else ())


def supply(rows: Sequence[Record]) -> Table:
    """Grams of CO2 per kWh at the machine by region and year, and what storage technologies cost."""
    regions = [row for row in rows if row.arm.startswith("region/")]
    storages = [row for row in rows if row.arm.startswith("storage/")]
    if not regions:
        return Table("", (), [])
    years = regions[0].trace["year"]
    cells = [
        (
            row.arm.removeprefix("region/"),
            *(
                words.plain_interval(Interval(*(row.trace[f"g_per_kwh{end}"][place] for end in ("", "_low", "_high"))))
                for place in range(len(years))
            ),
        )
        for row in regions
    ]
    stored = []
    for row in storages:
        if not row.metrics:
            stored.append((row.arm.removeprefix("storage/"), row.note, *("",) * (len(years) - 1)))
            continue
        trip = words.plain_interval(interval(row, "round_trip"))
        grid = words.plain_interval(interval(row, "j_per_j"), 3)
        line = (row.arm.removeprefix("storage/"), f"round trip {trip}", f"J per J {grid}", row.note)
        stored.append((*line, *("",) * (len(years) + 1 - len(line))))
    header = ("region or storage", *(f"{year:.0f} (g/kWh)" for year in years))
    groups = [Group("Grid, data centre and storage together", "", cells), Group("Storage in the last year", "", stored)]
    return Table(
        "Scenario of energy supply", header, groups, "part", notes=list(dict.fromkeys(row.note for row in regions))
    )


def title(stage: str, facts: Mapping[str, select.StageFacts]) -> str:
    """The stage's title, or its name where it is none of the life's."""
    return facts[stage].title if stage in facts else stage


def interval(row: Record, name: str) -> Interval:
    """A metric with the ends that stand beside it."""
    return Interval(row.metrics[name], row.metrics[f"{name}_low"], row.metrics[f"{name}_high"])
