"""Tables of what lies beyond the lifecycle's rows: laws, break-evens, what is needed, what decides, money, supply."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from qgen.record import Record
from qgen.report import context_tables, select, words
from qgen.report.context_tables import interval, title
from qgen.report.statistics import Interval
from qgen.report.tables import Group, Table

EXPERIMENTS = (
    *("laws", "breakeven", "needed", "tornado", "power", "money", "embodied", "processors", "published", "scenario"),
)
AT_BEST = "at_best"
"""The task of a break-even that is computed from a problem of one size."""
TITLES = {
    ("circuit", "evaluation"): "One evaluation of the successor's head, against simulating it (arXiv 2605.02798)",
    ("circuit", "gradient"): "Value and gradient of the same head, against simulating it",
}
"""Headings of circuits; a stage's own heading names its quantum arm and the best classical one."""
FEW = 10_000
"""Counts below this are written out."""
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
        "processors": context_tables.processors(rows["processors"], facts),
        "published": context_tables.published(rows["published"]),
        "scenario": context_tables.supply(rows["scenario"]),
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
        "of each date is shown, all are in the records. Share of draws: how many reach a break-even in the search. "
        "What was measured counts with its data centre's facility factor, as a machine's watts hold its cooling."
    ]
    if any(row.config["task"] == AT_BEST for row in rows):
        notes.append(
            "Times this size: a bound in favour of the machine, from this one size. Were its energy to grow only as "
            "the square root of the best classical arm's (a quadratic speed-up in all it does), and its host part as "
            "that arm's, the problem would have to be so many times larger than here. Never: the host part alone uses "
            "more than that arm."
        )
    return Table("Break-even sizes", header, groups, "what", notes=notes if groups else ())


def crossing(row: Record) -> str:
    """A break-even in words."""
    m = row.metrics
    end = words.significant(m["searched_high"])
    at_best = row.config["task"] == AT_BEST
    if "size" not in m:
        some = f" (5 % below {words.significant(m['size_low'])})" if "size_low" in m else ""
        return f"never{'' if at_best else f' up to {end}'}{some}"
    if m["size"] == m["searched_low"]:
        return f"from {words.significant(m['size'])} on"
    high = words.significant(m["size_high"]) if "size_high" in m else "never" if at_best else f"beyond {end}"
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
                cells.append((row.config["machine"], row.note, *("",) * 7))
                continue
            both = math.sqrt(m["factor"])
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
                    f"{words.si(m['rate_hz'] * both, 'Hz')} at {words.si(m['power_w'] / both, 'W')}",
                    _qubits(m),
                    "; ".join(single) or "none alone is enough",
                )
            )
        groups.append(Group(f"{title(stage, facts)}: {own[0].arm} against {own[0].config['rival']}", "", cells))
    header = (
        *("machine", "energy now", "to spend", "times too much"),
        *("shot rate at the same watts", "watts at the same rate", "both in equal parts"),
        *("qubits (logical)", "single number"),
    )
    notes = [
        "Each column alone would bring the energy down to what there is to spend: the best classical arm's less the "
        "host part's, with their data centre's facility factor. Where a machine has too few qubits, the row shows one "
        "that has enough and is the same in everything else."
    ]
    return Table(
        "What a machine would need, all other numbers central", header, groups, "stage", notes=notes if groups else ()
    )


def _qubits(metrics: Mapping[str, float]) -> str:
    if "qubits" not in metrics:  # rows of the first runs do not say
        return ""
    has, needs = metrics["has_qubits"], metrics["qubits"]
    short = f", has {_count(has)}" if needs > has else ""
    return f"{_count(needs)} ({_count(metrics['logical_qubits'])}){short}"


def _count(number: float) -> str:
    return f"{number:.0f}" if number < FEW else words.si(number, "", 3).strip()


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
        cells.append((title(row.stage, facts), f"{row.arm} on {row.config['machine']}", energy, *named))
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
    if shares := [row.metrics["sum_over_list"] for row in rows if "sum_over_list" in row.metrics]:
        ends = dict.fromkeys(words.significant(end) for end in (min(shares), max(shares)))
        notes.append(
            "Priced here, and in the tables of needs, money and power, is the sum of an arm's circuits, since records "
            f"hold no list of them; its median is {' to '.join(ends)} times that of the list, which all other tables "
            "show."
        )
    return Table("Which number of a machine decides", header, groups, "ranking", notes=notes if cells else ())


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
        groups.append(Group(f"{title(stage, facts)}: {own[0].arm} against {own[0].config['rival']}", "", cells))
    header = (
        *("machine", "its power", "its time", "power here", "time here", "power ratio", "time ratio"),
        "time ratio that cancels a cluster of 1 MW",
    )
    notes = [
        "Power here: with its data centre's facility factor. Energy is power times time: against a cluster of 1 MW a "
        "machine saves only while it runs less than the last "
        "column's number of times longer than the cluster."
    ]
    return Table("Power is not energy", header, groups, "stage", notes=notes if groups else ())


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
                words.si_interval(interval(row, "co2_g"), "g"),
                words.si_interval(interval(row, "classical_co2_g"), "g"),
            )
            for row in own
            if row.metrics
        ]
        if cells:
            groups.append(Group(f"{title(stage, facts)}: {own[0].arm} against {own[0].config['rival']}", "", cells))
    header = (
        *("machine", "its electricity (USD)", "its hours (USD)", "electricity here (USD)"),
        *("its CO2, world grid", "CO2 here, world grid"),
    )
    notes = [
        f"Embodied carbon: {words.significant(100 * row.metrics['embodied_share'])} % of the "
        f"{words.significant(row.metrics['total_t'], 3)} t of BLOOM ({row.note.rstrip('.')})."
        for row in embodied
    ]
    notes.append(
        "What is measured here pays for its building (PUE of the world in qgen/energy/grid.toml); a machine does not, "
        "whose watts hold its cooling."
    )
    return Table("Money and carbon", header, groups, "stage", notes=notes if groups else ())


def grouped(rows: Sequence[Record], *names: str) -> dict[tuple, list[Record]]:
    """(stage, the named settings) -> rows, in order of first appearance."""
    found: dict[tuple, list[Record]] = {}
    for row in rows:
        found.setdefault((row.stage, *(row.config[name] for name in names)), []).append(row)
    return found


def _usd(row: Record, name: str) -> str:
    found = interval(row, name)
    return words.significant(found.central) if np.ptp(found) == 0 else words.plain_interval(found)
