"""The article's table recomputed: time scale and potential of each stage, next to the article's words.

Time scale: the first date at which some machine runs some quantum arm of the stage with P(saves energy at equal
quality) at the threshold. Potential: the share of a whole life's energy that would be saved there, the stage's share
times one minus the ratio of energies. The thresholds are in `thresholds.toml`.
"""

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qgen.record import Record
from qgen.report import compare, select, statistics, words
from qgen.report.compare import Projection, StageTable
from qgen.report.select import Runs, StageFacts
from qgen.report.statistics import Interval
from qgen.report.weights import Share

SCALES = ("near", "medium", "long", "beyond")
POTENTIALS = ("none", "low", "medium", "high")


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """When a number becomes a word.

    Attributes:
        dates: profile date -> time scale, in the order of time.
        saves_low: P(saves) from which on a saving cannot be excluded.
        saves: P(saves) that decides.
        saves_high: P(saves) from which on a saving is nearly sure.
        low: share of a life's energy from which on the potential is low.
        medium: the same for medium.
        high: the same for high.
    """

    dates: Mapping[str, str]
    saves_low: float
    saves: float
    saves_high: float
    low: float
    medium: float
    high: float

    def __post_init__(self) -> None:
        """Refuses thresholds that are not in order, and unknown time scales."""
        if not 0 < self.saves_low <= self.saves <= self.saves_high < 1:
            raise ValueError("The thresholds of P(saves) must have 0 < low <= central <= high < 1.")
        if not 0 < self.low <= self.medium <= self.high:
            raise ValueError("The thresholds of the potential must have 0 < low <= medium <= high.")
        if unknown := set(self.dates.values()) - set(SCALES):
            raise ValueError(f"Unknown time scales: {', '.join(sorted(unknown))}; known are: {', '.join(SCALES)}.")


def thresholds() -> Thresholds:
    """The thresholds of `thresholds.toml`."""
    table = tomllib.loads((Path(__file__).parent / "thresholds.toml").read_text(encoding="utf-8"))
    saves = table["saves"]
    return Thresholds(table["dates"], saves["low"], saves["central"], saves["high"], **table["potential"])


class Machine(NamedTuple):
    """One quantum arm on one machine."""

    arm: str
    profile: str
    projection: Projection


class Verdict(NamedTuple):
    """One row of the recomputed table.

    Attributes:
        stage: its name.
        facts: its facts, with the article's words.
        best: date -> the arm and machine most likely to save energy; dates on which nothing runs are missing.
        scale: the computed time scale, its earliest and its latest reading.
        share: the stage's share of a life's energy: what a method that costs nothing would save.
        saving: share of a life's energy that is saved, negative where more is spent; None where nothing runs, which
            saves nothing.
        potential: the computed potential, its lowest and its highest reading.
        scale_agrees: "agree", "disagree" or "undecided" with the article's time scale; "undecided" where no quantum
            arm was priced on any machine.
        potential_agrees: the same for the potential.
        reason: one sentence.
    """

    stage: str
    facts: StageFacts
    best: Mapping[str, Machine]
    scale: tuple[str, str, str]
    share: Share
    saving: Interval | None
    potential: tuple[str, str, str]
    scale_agrees: str
    potential_agrees: str
    reason: str


def verdicts(
    rows: Sequence[Record],
    tables: Sequence[StageTable],
    weights: Mapping[str, Share],
    rules: Thresholds,
) -> list[Verdict]:
    """The recomputed table, for every stage that has a share.

    Args:
        rows: the lifecycle's rows.
        tables: its comparisons.
        weights: stage -> share, from `shares`.
        rules: the thresholds.
    """
    return [verdict(rows, table, weights[table.name], rules) for table in tables if table.name in weights]


def verdict(rows: Sequence[Record], table: StageTable, share: Share, rules: Thresholds) -> Verdict:
    """One stage's verdict; the arguments are those of `verdicts`."""
    best = machines(table, rules)
    chances = {date: machine.projection.saves or 0.0 for date, machine in best.items()}
    scale = (
        time_scale(chances, rules.saves, rules),
        time_scale(chances, rules.saves_low, rules),
        time_scale(chances, rules.saves_high, rules),
    )
    saving = None
    if deciding := _deciding(best, chances, scale[0], rules):
        saving = _saving(rows, table, deciding, share)
    ends = (saving.central, saving.low, saving.high) if saving else (0.0, 0.0, 0.0)
    found = (potential(ends[0], rules), potential(ends[1], rules), potential(ends[2], rules))
    known = bool(best) or bool(_refusal(table))
    return Verdict(
        table.name,
        table.facts,
        best,
        scale,
        share,
        saving,
        found,
        agreement(table.facts.time_scale, scale, SCALES, known=known),
        agreement(table.facts.potential, found, POTENTIALS, known=known),
        _reason(table, deciding, scale[0], rules),
    )


def machines(table: StageTable, rules: Thresholds) -> dict[str, Machine]:
    """Date -> the quantum arm and machine most likely to save energy at equal quality, then of least ratio."""
    best: dict[str, Machine] = {}
    for arm in table.arms:
        for name, projection in arm.projections.items():
            date = select.date(name)
            if arm.family != "quantum" or projection.ratio is None or date not in rules.dates:
                continue
            if date not in best or _rank(projection) < _rank(best[date].projection):
                best[date] = Machine(arm.arm, name, projection)
    return {date: best[date] for date in rules.dates if date in best}


def _rank(projection: Projection) -> tuple[float, float]:
    return (-(projection.saves or 0.0), projection.ratio.central if projection.ratio else np.inf)


def time_scale(chances: Mapping[str, float], threshold: float, rules: Thresholds) -> str:
    """The time scale of the first date whose P(saves) reaches the threshold, else "beyond"."""
    return next((word for date, word in rules.dates.items() if chances.get(date, 0.0) >= threshold), "beyond")


def potential(saved: float, rules: Thresholds) -> str:
    """The word for a saved share of a life's energy."""
    bounds = (rules.low, rules.medium, rules.high)
    return POTENTIALS[sum(saved >= bound for bound in bounds)]


def agreement(claim: str, found: tuple[str, str, str], order: Sequence[str], known: bool) -> str:
    """Whether a computed word agrees with the article's.

    Args:
        claim: the article's word.
        found: the computed word and the two ends of its interval.
        order: all words in order.
        known: whether anything could be computed.

    Returns:
        "agree" if the computed word is the article's, "disagree" if the article's lies outside the interval,
        "undecided" if it lies inside but is not the computed one, or if nothing could be computed.
    """
    if not known:
        return "undecided"
    if claim == found[0]:
        return "agree"
    places = [order.index(word) for word in found]
    return "undecided" if min(places) <= order.index(claim) <= max(places) else "disagree"


def _deciding(
    best: Mapping[str, Machine], chances: Mapping[str, float], scale: str, rules: Thresholds
) -> Machine | None:
    """The machine of the date that passed; where none did, the most promising of all."""
    for date, word in rules.dates.items():
        if word == scale and date in best and chances[date] >= rules.saves:
            return best[date]
    return min(best.values(), key=lambda machine: _rank(machine.projection), default=None)


def _saving(rows: Sequence[Record], table: StageTable, machine: Machine, share: Share) -> Interval:
    arms = select.arms(rows, table.name)
    able = {s: row for s, row in arms[machine.arm].ok.items() if "energy_j" in row.projected.get(machine.profile, {})}
    best = compare.best_classical(arms, table.facts)
    assert best is not None, "a projection with a ratio has a best classical arm"
    ratio, equal = compare.ratio_draws(Runs(able, ()), best, table.facts, machine.profile)
    # Work of lesser quality replaces nothing: in such a draw nothing is saved, though more may be spent.
    gain = np.where(equal, 1 - ratio, np.minimum(1 - ratio, 0))
    place = np.random.default_rng(20_821).uniform(-1, 1, len(gain))
    bounds = share.interval
    return statistics.summary(statistics.within_range(bounds.central, bounds.low, bounds.high, place) * gain)


def _refusal(table: StageTable) -> str:
    """Why no machine of any date runs any quantum arm that was asked; empty where one runs, or none was asked."""
    arms = [arm for arm in table.arms if arm.family == "quantum" and arm.projections]
    if not arms or any(projection.energy for arm in arms for projection in arm.projections.values()):
        return ""
    return f"No machine of any date runs {arms[0].arm}: {next(iter(arms[0].projections.values())).reason}"


def _reason(table: StageTable, machine: Machine | None, scale: str, rules: Thresholds) -> str:
    best = table.best
    if machine is None or best is None or machine.projection.ratio is None:
        return _refusal(table) or "No quantum arm of this stage could be compared on any machine."
    ratio = words.plain_interval(machine.projection.ratio)
    saves = words.probability(machine.projection.saves or 0.0)
    named = f"{machine.arm} on {machine.profile}"
    if scale != "beyond":
        return f"{named} needs {ratio} times the energy of {best.arm}; P(saves) {saves}."
    if (machine.projection.cheaper or 0.0) >= rules.saves:
        return f"{named} needs {ratio} times the energy of {best.arm}, but misses its quality; P(saves) {saves}."
    return f"Even {named} needs {ratio} times the energy of {best.arm}; P(saves) {saves} on every machine at most."


def sensitivity(
    found: Sequence[Verdict], rules: Thresholds, saves: Sequence[float], factors: Sequence[float]
) -> tuple[list[list[str]], list[list[str]]]:
    """How the words change with the thresholds.

    Args:
        found: the verdicts.
        rules: the thresholds.
        saves: thresholds of P(saves) to try.
        factors: factors on the thresholds of the potential to try.

    Returns:
        Time scales, [stages][saves], and potentials, [stages][factors].
    """
    scales, potentials = [], []
    for row in found:
        chances = {date: machine.projection.saves or 0.0 for date, machine in row.best.items()}
        scales.append([time_scale(chances, threshold, rules) for threshold in saves])
        saving = row.saving.central if row.saving else 0.0
        scaled = [
            dataclasses.replace(rules, low=f * rules.low, medium=f * rules.medium, high=f * rules.high) for f in factors
        ]
        potentials.append([potential(saving, changed) for changed in scaled])
    return scales, potentials
