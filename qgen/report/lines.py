"""The tables' content: comparisons and lives as rows of text."""

from collections.abc import Sequence

from qgen.report import select, words
from qgen.report.compare import Comparison, Energy, Projection, StageTable
from qgen.report.life import Life
from qgen.report.statistics import Interval
from qgen.report.tables import Group, Table
from qgen.report.verdict import Verdict

DATES = {"today": "today", "mid": "mid-term", "long": "long-term", "": "undated"}
UNEQUAL = "†"
CLAIM = "the article says"
_PROJECTED = ("quantum machine", "projected energy", "ratio to best classical", "P(saves)")
_BOTH = ("projected energy, marginal", "projected energy, amortised")


def lifecycle(tables: Sequence[StageTable], notes: Sequence[str] = ()) -> Table:
    """The main table: every arm; an arm with a quantum part on the best machine of each date."""
    header = ("arm", "quality", "measured energy", "compile energy", "simulation", *_PROJECTED)
    groups = []
    for number, table in enumerate(tables, start=1):
        rows: list[tuple[str, ...]] = []
        faint = set()
        for arm in table.arms:
            lines = [(*_measured(arm), *cells) for cells in _shown(arm)]
            # The arm's own cells stand once, beside its first machine.
            lines[1:] = [("",) * len(_measured(arm)) + cells[-len(_PROJECTED) :] for cells in lines[1:]]
            if arm.family == "control":
                faint |= set(range(len(rows), len(rows) + len(lines)))
            rows += lines
        groups.append(Group(heading(number, table), table.facts.claim, rows, frozenset(faint)))
    caption = "Energy of every arm of every lifecycle stage; measured and projected never share a column"
    return Table(caption, header, groups, "stage", CLAIM, notes)


def use(tables: Sequence[StageTable]) -> Table:
    """What using the answers costs, such as the energy of a generated token; measured for every arm's answer alike."""
    groups = []
    for number, table in enumerate(tables, start=1):
        best = table.best.use if table.best else None
        rows = []
        for arm in table.arms:
            if arm.use is None or arm.quality is None:
                continue
            energy, unit = arm.use
            ratio = words.significant(energy / best[0]) if best else ""
            per_joule = f"{words.significant(1 / energy)} {unit}s/J"
            rows.append((arm.arm, words.plus_minus(arm.quality), f"{words.si(energy, 'J')}/{unit}", per_joule, ratio))
        if rows:
            groups.append(Group(heading(number, table), "", rows))
    caption = "Measured energy of using the answers, on this machine whatever method found them"
    return Table(
        caption, ("arm", "quality", "energy per use", "uses per joule", "ratio to best classical"), groups, "stage"
    )


def profiles(tables: Sequence[StageTable]) -> Table:
    """Every arm with a quantum part on every machine, marginal and amortised side by side."""
    groups = []
    for number, table in enumerate(tables, start=1):
        rows = []
        for arm in table.arms:
            for name, projection in arm.projections.items():
                machine, energy, *rest = _projection(arm, name, projection)
                rows.append((arm.arm, machine, energy, _amortised(projection), *rest))
        if rows:
            groups.append(Group(heading(number, table), "", rows))
    caption = "Projected energy of every arm with a quantum part on every machine, with its host part"
    machine, _, *rest = _PROJECTED
    return Table(caption, ("arm", machine, *_BOTH, *rest), groups, "stage")


def amortised(tables: Sequence[StageTable]) -> Table:
    """The quantum arms on the best machine of each date: charged while it works, and with its waiting."""
    groups = []
    for number, table in enumerate(tables, start=1):
        rows = []
        for arm in table.arms:
            if arm.family == "quantum":
                machines = best_by_date(dict(arm.projections))
                names = (arm.arm, *("",) * len(machines))
                rows += [
                    (title, name, words.si_interval(projection.energy, "J"), _amortised(projection))
                    for title, (name, projection) in zip(names, machines, strict=False)
                    if projection.energy
                ]
        if rows:
            groups.append(Group(heading(number, table), "", rows))
    caption = "Projected energy of the quantum arms, charged while the machine works and with its waiting"
    notes = [
        "Marginal: the machine's energy while it works on the arm. Amortised: over its productive share, since it "
        "draws about as much when it waits. Both with the host part. Ratios and P(saves) use the marginal energy, the "
        "lesser of the two; classical energy is likewise charged while it works."
    ]
    return Table(caption, ("arm", "quantum machine", *_BOTH), groups, "stage", notes=notes if groups else ())


def bottom_line(lives: Sequence[Life], stages: Sequence[StageTable]) -> Table:
    """Energy and final quality of the whole life, all classical and with one stage's quantum arm swapped in."""
    facts = {table.name: table.facts for table in stages}
    final = [name for name in lives[0].quality] if lives else []
    header = (
        "life",
        "measured energy",
        "quantum machine",
        "whole life, projected",
        "ratio to all classical",
        *(f"{facts[name].quality.name} ({name})" for name in final),
    )
    rows: list[tuple[str, ...]] = []
    for life in lives:
        title = f"{life.swap[1]} in {life.swap[0]}" if life.swap else "all classical"
        if life.measured is None:
            rows.append((title, f"no total: {short(life.missing)}", *("",) * (len(header) - 2)))
            continue
        own = (title, measured(life.measured))
        quality = tuple(words.plus_minus(life.quality[name]) if name in life.quality else "" for name in final)
        machines = best_by_date({name: Projection(total) for name, total in life.totals.items()})
        cells = [
            (name, words.si_interval(life.totals[name], "J"), _ratio(life.ratios.get(name))) for name, _ in machines
        ] or [_no_machine(life)]
        rows += [
            (*(own if index == 0 else ("",) * 2), *line, *(quality if index == 0 else ("",) * len(quality)))
            for index, line in enumerate(cells)
        ]
    n = len(stages)
    caption = (
        f"Bottom line of the whole life ({n} stage{'s' if n > 1 else ''}; later stages ran on what the swap handed on)"
    )
    handed = ", ".join(f"{table.facts.reference.partition('/')[2]} ({table.name})" for table in stages)
    notes = [
        f"All classical: the arms whose answers are handed on: {handed}. A stage's best classical arm may be another. "
        "Compilation is left out: arms that run later find programs compiled."
    ]
    return Table(caption, header, [Group("", "", rows)], notes=notes if rows else ())


def verdicts(found: Sequence[Verdict]) -> Table:
    """The recomputed table next to the article's words."""
    header = ("stage", "time scale", "article", "potential", "article", "share of a life", "saved share")
    rows = [
        (
            row.facts.title,
            _word(row.scale),
            f"{row.facts.time_scale}: {row.scale_agrees}",
            _word(row.potential),
            f"{row.facts.potential}: {row.potential_agrees}",
            _percent(row.share.interval),
            "nothing runs" if row.saving is None else _saved(row.saving),
        )
        for row in found
    ]
    sources = dict.fromkeys(row.share.source for row in found)
    notes = [f"{row.facts.title}: {row.reason}" for row in found]
    notes.append(
        "In brackets the earliest and latest time scale and the lowest and highest potential that the intervals allow. "
        "Thresholds: qgen/report/thresholds.toml. Stage shares from: " + "; ".join(sources) + ". A published share is "
        "that of the lives that report a part for the stage, so the shares need not add up to one life."
    )
    return Table("The article's table recomputed", header, [Group("", "", rows)], notes=notes if found else ())


def heading(number: int, table: StageTable) -> str:
    """A stage's heading: number, title, headline score."""
    direction = "higher" if table.facts.quality.higher_is_better else "lower"
    return f"{number} {table.facts.title} ({table.facts.quality.name}, {direction} is better)"


def measured(energy: Energy) -> str:
    """A measured energy with its meter's range; three digits if a counter was read, two if it is a model."""
    digits = 3 if energy.provenance == "MEASURED" else 2
    return words.si_interval(Interval(energy.central, energy.low, energy.high), "J", digits)


def best_by_date(projections: dict[str, Projection]) -> list[tuple[str, Projection]]:
    """Of the machines that can run an arm the best one of each date: most likely to save, then least energy."""
    able = [
        (-(projection.saves or 0.0), projection.energy.central, name, projection)
        for name, projection in projections.items()
        if projection.energy
    ]
    best: dict[str, tuple[str, Projection]] = {}
    for _, _, name, projection in sorted(able, key=lambda entry: entry[:2]):
        # Machines without a date are all shown.
        best.setdefault(select.date(name) or name, (name, projection))
    order = [*DATES, *(key for key in best if key not in DATES)]
    return [best[key] for key in order if key in best]


def short(reason: str, letters: int = 70) -> str:
    """The first sentence of a reason, cut at a word."""
    first = reason.split(". ")[0].strip()
    return first if len(first) <= letters else first[:letters].rsplit(" ", 1)[0] + " …"


def _measured(arm: Comparison) -> tuple[str, ...]:
    """Cells of what this machine did: arm, quality, measured energy, compilation, simulation."""
    if arm.quality is None or arm.measured is None:
        return (arm.arm, f"failed: {arm.reason}", "", "", "")
    seeds = "" if len(arm.seeds) > 1 else " (1 seed)"
    host = f"host {measured(arm.host)}" if arm.host else ""
    return (
        arm.arm,
        words.plus_minus(arm.quality) + seeds,
        host if arm.simulated else measured(arm.measured),
        words.si(arm.compile_j, "J"),
        words.si(arm.measured.central, "J") if arm.simulated else "",
    )


def _shown(arm: Comparison) -> list[tuple[str, ...]]:
    """Cells of the projected columns, one line per shown machine."""
    if arm.quality is None:
        return [("", "", "", "")]
    if not arm.simulated:
        ratio = "1 (best)" if arm.best else _ratio(arm.ratio) + ("" if arm.equal or not arm.ratio else f" {UNEQUAL}")
        return [("", "", ratio, "")]
    machines = best_by_date(dict(arm.projections))
    if machines:
        return [_projection(arm, name, projection) for name, projection in machines]
    reasons = [projection.reason for projection in arm.projections.values()]
    return [("none", f"cannot run: {short(reasons[0])}" if reasons else "no machine was asked", "", "")]


def _projection(arm: Comparison, name: str, projection: Projection) -> tuple[str, ...]:
    if projection.energy is None:
        return (name, f"cannot run: {short(projection.reason)}", "", "")
    mark = "" if arm.equal or projection.ratio is None else f" {UNEQUAL}"
    saves = "" if projection.saves is None else words.probability(projection.saves)
    return (name, words.si_interval(projection.energy, "J"), _ratio(projection.ratio) + mark, saves)


def _amortised(projection: Projection) -> str:
    return words.si_interval(projection.amortised, "J") if projection.amortised else ""


def _no_machine(life: Life) -> tuple[str, str, str]:
    if life.swap is None:
        return ("", "", "1")
    needs_one = select.family(life.swap[1]) in ("quantum", "control")
    return ("none", "no machine can run it", "") if needs_one else ("", "", "")


def _ratio(ratio: Interval | None) -> str:
    return words.plain_interval(ratio) if ratio else ""


def _word(found: tuple[str, str, str]) -> str:
    central, low, high = found
    return central if low == high == central else f"{central} [{low}, {high}]"


def _percent(share: Interval) -> str:
    numbers = [words.significant(100 * value) for value in (share.central, share.low, share.high)]
    return f"{numbers[0]} %" if share.low == share.high else f"{numbers[0]} [{numbers[1]}, {numbers[2]}] %"


def _saved(saving: Interval) -> str:
    if saving.high <= 0:
        return "none"
    return (
        _percent(Interval(saving.central, saving.low, saving.high))
        if saving.low > 0
        else (f"{words.significant(100 * max(saving.central, 0.0))} [none, {words.significant(100 * saving.high)}] %")
    )
