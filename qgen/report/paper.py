"""The paper's tables, figures and numbers, written from records; main.tex holds the words and no number of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from qgen.record import Record
from qgen.report import lines, output, words
from qgen.report.output import Study
from qgen.report.select import ReportError, StageFacts
from qgen.report.verdict import Machine

ORDINALS = {"today": "Today", "mid": "Mid", "long": "Long"}


def write(records: Sequence[Record], folder: Path, stages: Mapping[str, StageFacts], *, draft: bool = False) -> None:
    """Writes `tables/` (with `macros.tex`) and `figures/` into the paper's folder.

    Args:
        records: all rows.
        folder: the paper's folder.
        stages: stage name -> facts.
        draft: take rows of a dirty tree as well, and stamp the paper.

    Raises:
        ReportError: if a row was made from a tree with uncommitted changes and this is no draft, or there are no rows.
    """
    if (rows := dirty(records)) and not draft:
        raise ReportError(
            f"{len(rows)} of {len(records)} records were made from a tree with uncommitted changes "
            f"(the first: {rows[0].stage} {rows[0].arm}, seed {rows[0].seed}); commit and run again."
        )
    found = output.study(records, stages)
    output.write_tables(found, folder / "tables")
    output.write_figures(found, folder / "figures")
    commands = [f"\\newcommand{{\\qgen{name}}}{{{words.tex(text)}}}" for name, text in macros(found, draft).items()]
    (folder / "tables" / "macros.tex").write_text("\n".join(commands) + "\n", encoding="utf-8")


def dirty(records: Sequence[Record]) -> list[Record]:
    """The rows that were made from a tree with uncommitted changes, or from one of which nothing is known."""
    return [row for row in records if row.provenance.get("dirty", True)]


def macros(found: Study, draft: bool) -> dict[str, str]:
    """Name (letters only) -> text of every number that the paper's sentences use."""
    rows = found.records
    ok = [row for row in rows if row.status == "ok"]
    arms = [arm for stage in found.stages for arm in stage.arms]
    classical = found.lives[0]
    result = {
        "Draft": "DRAFT: records of an uncommitted tree, not for citation" if draft else "",
        "Rows": str(len(rows)),
        "Failed": str(len(rows) - len(ok)),
        "Preset": rows[0].preset,
        "Seeds": str(len({row.seed for row in ok})),
        "Stages": str(len(found.stages)),
        "Arms": str(len(arms)),
        "QuantumArms": str(sum(arm.family == "quantum" for arm in arms)),
        "Machines": str(len({name for arm in arms for name in arm.projections})),
        "Meters": " and ".join(dict.fromkeys(f"{row.measured['meter']} ({row.measured['provenance']})" for row in ok)),
        "Device": " and ".join(dict.fromkeys(str(row.provenance.get("device", "unknown")) for row in rows)),
        "Cores": " and ".join(dict.fromkeys(str(row.provenance.get("cores", "unknown")) for row in rows)),
        "Commits": ", ".join(dict.fromkeys(str(row.provenance.get("commit", "unknown"))[:12] for row in rows)),
        "LifeEnergy": lines.measured(classical.measured) if classical.measured else "no total",
        "LifeQuality": "; ".join(
            f"{name} {_score(found, name)} {words.plus_minus(value)}" for name, value in classical.quality.items()
        ),
    }
    scales = [verdict.scale[0] for verdict in found.verdicts]
    for word in ("near", "medium", "long", "beyond"):
        result[f"Scale{word.title()}"] = str(scales.count(word))
    for answer in ("agree", "disagree", "undecided"):
        result[f"Scale{answer.title()}"] = str(sum(verdict.scale_agrees == answer for verdict in found.verdicts))
        result[f"Potential{answer.title()}"] = str(
            sum(verdict.potential_agrees == answer for verdict in found.verdicts)
        )
    for date, suffix in ORDINALS.items():
        machines = [verdict.best[date] for verdict in found.verdicts if date in verdict.best]
        nearest = min(machines, key=_central, default=None)
        result[f"Least{suffix}"] = (
            f"{words.plain_interval(nearest.projection.ratio)} ({nearest.arm} on {nearest.profile})"
            if nearest and nearest.projection.ratio
            else "none"
        )
    return result


def _score(found: Study, stage: str) -> str:
    return next(table.facts.quality.name for table in found.stages if table.name == stage)


def _central(machine: Machine) -> float:
    return machine.projection.ratio.central if machine.projection.ratio else float("inf")
