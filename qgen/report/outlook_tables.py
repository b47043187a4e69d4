"""Tables of what lies beyond the lifecycle's rows: laws, break-evens, what is needed, what decides, money, supply."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from qgen.record import QUANTILE_LEVELS, Record
from qgen.report import select, words
from qgen.report.statistics import Interval
from qgen.report.tables import Group, Table

EXPERIMENTS = ("laws", "breakeven", "needed", "tornado", "power", "money", "embodied", "processors", "scenario")
TITLES = {
    ("circuit", "evaluation"): "One evaluation of the successor's head, against simulating it (arXiv 2605.02798)",
    ("circuit", "gradient"): "Value and gradient of the same head, against simulating it",
}
"""Headings of circuits; a stage's own heading names its quantum arm and the best classical one."""
RANKED = 3
"""Numbers of a machine that the tornado's table names per stage."""


def tables(records: Iterable[Record], facts: Mapping[str, select.StageFacts]) -> dict[str, Table]:
    """Name -> table, of those that these records can fill."""
    rows = {name: select.newest(records := list(records), name) for name in EXPERIMENTS}
    made = {
        "laws": laws(rows["laws"]),
        "breakeven": break_evens(rows["breakeven"], facts),
        "needed": needed(rows["needed"], facts),
        "tornado": tornado(rows["tornado"], facts),
        "power": power(rows["power"], facts),
        "money": money(rows["money"], rows["embodied"], facts),
        "processors": processors(rows["processors"]),
        "scenario": supply(rows["scenario"]),
    }
    return {name: table for name, table in made.items() if any(group.rows for group in table.groups)}


def laws(rows: Sequence[Record]) -> Table:
    """The measured laws: how energy grows with size, and how far the points lie from the line."""
    cells = []
    for row in rows:
        m = row.metrics
        slope = Interval(m["slope"], m["slope_low"], m["slope_high"])
        if m["exponential"]:
            factors = Interval(*(math.exp(value) for value in slope))
            law = f"× {words.plain_interval(factors)} per {row.config['size_name'].rstrip('s')}"
        else:
            law = f"size to the power {words.plain_interval(slope)}"
        used = sum(row.trace["fitted"])
        cells.append(
            (
                f"{row.stage}: {row.config['task']}" if row.config["task"] != row.stage else row.stage,
                row.arm,
                law,
                f"{m['from_size']:g} to {m['to_size']:g} {row.config['size_name']}",
                f"{used:.0f} of {len(row.trace['size'])}",
                words.significant(math.exp(m["residual_sd"]), 3),
                words.significant(math.exp(m["worst_residual"]), 3),
            )
        )
    header = ("what", "arm", "energy grows as", "fitted to", "points", "typical residual", "worst residual")
    notes = [
        "In brackets 90 % intervals. Residuals are factors between a measurement and its law. Sizes whose energy is "
        "not three times the smallest one's are left out of a circuit's law: they measure dispatch, not simulation. "
        "Beyond its largest size a stage's law goes on with a power of at least 1: every item is read."
    ]
    return Table("Measured energy against size", header, [Group("", "", cells)], notes=notes if cells else ())


def break_evens(rows: Sequence[Record], facts: Mapping[str, select.StageFacts]) -> Table:
    """From which size a machine would use less energy, against the simulator and against the best classical arm."""
    groups = []
    for (stage, task, size_name), own in grouped(rows, "task", "size_name").items():
        able = [row for row in own if row.metrics]
        shown = able if len({row.config["machine"] for row in able}) == 1 else best_by_date(able)
        cells = []
        for row in shown:
            claim = row.config.get("claim")
            cells.append(
                (
                    row.config["machine"],
                    row.config["rival"],
                    crossing(row),
                    words.probability(row.metrics["reached"]),
                    _equal(row.metrics),
                    f"about {claim:.0f}" if claim else "",
                )
            )
        if not cells and own:
            cells = [("none", f"no machine can run it: {own[0].note}", "", "", "", "")]
        title = TITLES.get((stage, task)) or f"{facts[stage].title}: {own[0].arm} against the best classical arm"
        groups.append(Group(f"{title}; size: {size_name}", "", cells))
    header = ("machine", "against", "break-even size", "share of draws", "equal quality", "published")
    notes = [
        "Break-even sizes with 5 % and 95 % quantiles over the ranges of machine and law; of several machines the best "
        "of each date is shown, all are in the records. Share of draws: how many reach a break-even in the search."
    ]
    return Table("Break-even sizes", header, groups, notes=notes if groups else ())


def crossing(row: Record) -> str:
    """A break-even in words."""
    m = row.metrics
    end = words.significant(m["searched_high"])
    if "size" not in m:
        some = f" (5 % below {words.significant(m['size_low'])})" if "size_low" in m else ""
        return f"never up to {end}{some}"
    if m["size"] == m["searched_low"]:
        return f"from {words.significant(m['size'])} on"
    high = words.significant(m["size_high"]) if "size_high" in m else f"beyond {end}"
    return f"{words.significant(m['size'])} [{words.significant(m['size_low'])}, {high}]"


def _equal(metrics: Mapping[str, float]) -> str:
    if "equal_quality" not in metrics:
        return "same circuit"
    gap = metrics["quality_gap"]
    return ("yes" if metrics["equal_quality"] else "no") + f" ({'+' if gap >= 0 else '-'}{words.significant(abs(gap))})"


def best_by_date(rows: Sequence[Record]) -> list[Record]:
    """Of the machines of each date the one with the smallest break-even, then the most draws, then the least energy."""

    def rank(row: Record) -> tuple[float, float, float]:
        return (row.metrics.get("size", math.inf), -row.metrics["reached"], row.trace["curve_j"][0])

    best: dict[str, Record] = {}
    for row in sorted(rows, key=rank):
        best.setdefault(select.date(row.config["machine"]), row)
    return [best[date] for date in ("today", "mid", "long", "") if date in best]


def needed(rows: Sequence[Record], facts: Mapping[str, select.StageFacts]) -> Table:
    """The inverse problem: what a machine would have to be to use as little as the best classical arm."""
    groups = []
    for (stage,), own in grouped(rows).items():
        cells = []
        for row in own:
            m = row.metrics
            if m["budget_j"] <= 0:
                cells.append((row.config["machine"], row.note, *("",) * 5))
                continue
            single = [
                f"{name} {words.significant(m[f'needed_{name}'])} (now {words.significant(m[f'today_{name}'])})"
                for name in (key.removeprefix("today_") for key in m if key.startswith("today_"))
                if f"needed_{name}" in m
            ]
            cells.append(
                (
                    row.config["machine"],
                    words.si(m["energy_j"], "J"),
                    words.si(m["budget_j"], "J"),
                    words.significant(m["factor"]),
                    f"{words.si(m['rate_hz'], 'Hz')} to {words.si(m['needed_rate_hz'], 'Hz')}",
                    f"{words.si(m['power_w'], 'W')} to {words.si(m['needed_power_w'], 'W')}",
                    "; ".join(single) or "none alone is enough",
                )
            )
        groups.append(Group(f"{_title(stage, facts)}: {own[0].arm} against {own[0].config['rival']}", "", cells))
    header = (
        *("machine", "energy now", "to spend", "times too much"),
        *("shot rate at the same watts", "watts at the same rate", "single number"),
    )
    return Table("What a machine would need, all other numbers central", header, groups)


def widths(row: Record) -> list[tuple[str, float, float, float]]:
    """(number, energy at its low end, at its high end, ratio of the larger to the smaller), widest first."""
    found = [(name, ends[0], ends[1], max(ends) / max(min(ends), 1e-300)) for name, ends in row.trace.items()]
    return sorted(found, key=lambda entry: -entry[3])


def tornado(rows: Sequence[Record], facts: Mapping[str, select.StageFacts]) -> Table:
    """Which numbers decide: per stage the widest ones, and their ranking over all stages."""
    cells = []
    factors: dict[str, list[float]] = {}
    for row in rows:
        found = widths(row)
        for name, _, _, width in found:
            factors.setdefault(name, []).append(math.log(width))
        named = [f"{name} × {words.significant(width)}" for name, _, _, width in found[:RANKED]]
        named += [""] * (RANKED - len(named))
        energy = words.si(row.metrics["central_j"], "J")
        cells.append((_title(row.stage, facts), f"{row.arm} on {row.config['machine']}", energy, *named))
    ranking = sorted(factors, key=lambda name: -sum(factors[name]))
    total = max(len(rows), 1)
    ranked = [
        (
            f"{place} {name}",
            f"× {words.significant(math.exp(sum(factors[name]) / total))}",
            f"{len(factors[name])} of {len(rows)} stages",
            *("",) * RANKED,
        )
        for place, name in enumerate(ranking[:10], start=1)
    ]
    header = ("stage", "quantum arm and machine", "projected energy", *(f"number {k + 1}" for k in range(RANKED)))
    groups = [Group("By stage", "", cells), Group("Ranking: mean width over all stages", "", ranked)] if cells else []
    notes = [
        "Width: energy with the number at one end of its published range over that at the other, all others central."
    ]
    return Table("Which number of a machine decides", header, groups, notes=notes if cells else ())


def power(rows: Sequence[Record], facts: Mapping[str, select.StageFacts]) -> Table:
    """Watts and seconds of both sides: fewer watts than a cluster's are not less energy."""
    groups = []
    for (stage,), own in grouped(rows).items():
        cells = [
            (
                row.config["machine"],
                words.si(row.metrics["power_w"], "W"),
                words.si(row.metrics["time_s"], "s"),
                words.si(row.metrics["classical_power_w"], "W"),
                words.si(row.metrics["classical_time_s"], "s"),
                words.significant(row.metrics["power_ratio"]),
                words.significant(row.metrics["time_ratio"]),
                words.significant(row.metrics["cluster_time_ratio"]),
            )
            for row in own
        ]
        groups.append(Group(f"{_title(stage, facts)}: {own[0].arm} against {own[0].config['rival']}", "", cells))
    header = (
        *("machine", "its power", "its time", "power here", "time here", "power ratio", "time ratio"),
        "time ratio that cancels a cluster of 1 MW",
    )
    notes = [
        "Energy is power times time: against a cluster of 1 MW a machine saves only while it runs less than the last "
        "column's number of times longer than the cluster."
    ]
    return Table("Power is not energy", header, groups, notes=notes if groups else ())


def money(rows: Sequence[Record], embodied: Sequence[Record], facts: Mapping[str, select.StageFacts]) -> Table:
    """Electricity, machine hours and carbon of both sides."""
    groups = []
    for (stage,), own in grouped(rows).items():
        cells = [
            (
                row.config["machine"],
                _usd(row, "electricity_usd"),
                _usd(row, "machine_usd") if "machine_usd" in row.metrics else "no published price",
                _usd(row, "classical_electricity_usd"),
                words.si_interval(_interval(row, "co2_g"), "g"),
                words.si_interval(_interval(row, "classical_co2_g"), "g"),
            )
            for row in own
            if row.metrics
        ]
        if cells:
            groups.append(Group(f"{_title(stage, facts)}: {own[0].arm} against {own[0].config['rival']}", "", cells))
    header = (
        *("machine", "its electricity (USD)", "its hours (USD)", "electricity here (USD)"),
        *("its CO2, world grid", "CO2 here, world grid"),
    )
    notes = [
        f"Embodied carbon: {words.significant(100 * row.metrics['embodied_share'])} % of the "
        f"{words.significant(row.metrics['total_t'], 3)} t of BLOOM ({row.note.rstrip('.')})."
        for row in embodied
    ]
    return Table("Money and carbon", header, groups, notes=notes if groups else ())


def processors(rows: Sequence[Record]) -> Table:
    """Classical work on other hardware: counted operations times published energies per operation."""
    groups = []
    middle, low, high = (QUANTILE_LEVELS.index(level) for level in (0.5, 0.05, 0.95))
    for row in rows:
        m = row.metrics
        cells = []
        if row.measured:
            ends = Interval(*(row.measured[name] for name in ("energy_j", "energy_low_j", "energy_high_j")))
            digits = 3 if row.measured["provenance"] == "MEASURED" else 2
            cells.append(("this machine", words.si_interval(ends, "J", digits), row.measured["provenance"]))
        for name, entry in row.projected.items():
            quantiles = entry["energy_j"]
            ends = Interval(quantiles[middle], quantiles[low], quantiles[high])
            cells.append((name, words.si_interval(ends, "J"), "PROJECTED"))
        size = f"{words.significant(m['parameters'], 3)} parameters, {m['tokens']:g} tokens"
        work = f"{words.si(m['flops'], 'FLOP')}, {words.si(m['bytes'], 'B')}"
        groups.append(Group(f"Training step of {size}: {work}", "", cells))
    return Table("Energy of classical work on other hardware", ("processor", "energy", "provenance"), groups)


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
        trip = words.plain_interval(_interval(row, "round_trip"))
        grid = words.plain_interval(_interval(row, "j_per_j"), 3)
        line = (row.arm.removeprefix("storage/"), f"round trip {trip}", f"J per J {grid}", row.note)
        stored.append((*line, *("",) * (len(years) + 1 - len(line))))
    header = ("region or storage", *(f"{year:.0f} (g/kWh)" for year in years))
    groups = [Group("Grid, data centre and storage together", "", cells), Group("Storage in the last year", "", stored)]
    return Table("Scenario of energy supply", header, groups, notes=list(dict.fromkeys(row.note for row in regions)))


def grouped(rows: Sequence[Record], *names: str) -> dict[tuple, list[Record]]:
    """(stage, the named settings) -> rows, in order of first appearance."""
    found: dict[tuple, list[Record]] = {}
    for row in rows:
        found.setdefault((row.stage, *(row.config[name] for name in names)), []).append(row)
    return found


def _title(stage: str, facts: Mapping[str, select.StageFacts]) -> str:
    return facts[stage].title if stage in facts else stage


def _interval(row: Record, name: str) -> Interval:
    return Interval(row.metrics[name], row.metrics[f"{name}_low"], row.metrics[f"{name}_high"])


def _usd(row: Record, name: str) -> str:
    found = _interval(row, name)
    return words.significant(found.central) if np.ptp(found) == 0 else words.plain_interval(found)
