"""Every arm of a stage against the best classical arm of equal quality: ratio of energies and probability of a saving.

All uncertain numbers are drawn jointly. One draw resamples the seeds that both arms share, picks one place in the
meter's declared range (one systematic error for all readings of the machine), one facility factor (`draws` says why)
and one place in the profile's distribution (one machine for all seeds). A quantum arm costs its projected energy plus
the measured host part, and never its simulation. On each machine the seeds count whose circuits it can run.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from qgen.record import Record
from qgen.report import draws, select, statistics
from qgen.report.select import ReportError, Runs, StageFacts
from qgen.report.statistics import Interval

RIVALS = ("classical", "inspired")
"""Families that may be the best classical arm: a quantum-inspired method runs classically."""


class Energy(NamedTuple):
    """A measured energy in J, mean over seeds, with the range that its meter declares."""

    central: float
    low: float
    high: float
    meter: str
    provenance: str


class Projection(NamedTuple):
    """What an arm would need on one quantum machine.

    Attributes:
        energy: projected energy in J with the host part, median with 5 % and 95 %; None where it cannot run. It is
            marginal: the machine is charged while it works.
        amortised: the same with the machine's waiting charged; None where the records do not hold it.
        ratio: energy over that of the best classical arm; None where there is none.
        saves: P(less energy than the best classical arm, at equal quality).
        cheaper: P(less energy), whatever the quality.
        seeds: how many seeds' circuits the machine can run.
        reason: why the machine cannot run it, empty otherwise.
    """

    energy: Interval | None = None
    amortised: Interval | None = None
    ratio: Interval | None = None
    saves: float | None = None
    cheaper: float | None = None
    seeds: int = 0
    reason: str = ""


class Comparison(NamedTuple):
    """One arm of one stage, as the table shows it.

    Attributes:
        arm: its name.
        seeds: the seeds that ended well.
        failed: how many runs failed.
        reason: why, empty if none did.
        note: what the arm says of itself.
        quality: mean of the headline score with 95 % interval; None where every run failed.
        measured: energy of this machine in J; for an arm with a quantum part, that of its simulation.
        simulated: whether it has a quantum part.
        compile_j: energy of compilation in J, mean over seeds.
        host: measured energy of the part that stays classical; None where there is none.
        use: energy per unit of use of the answer in J, and the unit; None where using it is not measured.
        equal: whether its quality is not below that of the best classical arm by more than the margin.
        best: whether it is the best classical arm.
        ratio: its measured energy over that of the best classical arm; None for an arm with a quantum part.
        projections: profile name -> Projection, for an arm with a quantum part.
    """

    arm: str
    seeds: tuple[int, ...]
    failed: int
    reason: str
    note: str
    quality: Interval | None = None
    measured: Energy | None = None
    simulated: bool = False
    compile_j: float = 0.0
    host: Energy | None = None
    use: tuple[float, str] | None = None
    equal: bool = False
    best: bool = False
    ratio: Interval | None = None
    projections: Mapping[str, Projection] = {}

    @property
    def family(self) -> str:
        """The arm's family."""
        return select.family(self.arm)


class StageTable(NamedTuple):
    """All arms of a stage, compared."""

    name: str
    facts: StageFacts
    arms: tuple[Comparison, ...]

    @property
    def best(self) -> Comparison | None:
        """The best classical arm, None where every classical arm failed."""
        return next((arm for arm in self.arms if arm.best), None)


def stage_tables(records: Sequence[Record], stages: Mapping[str, StageFacts]) -> list[StageTable]:
    """Compares the arms of every stage that has records, in the order of `stages`.

    Args:
        records: rows of one experiment, as `select.latest` gives them.
        stages: stage name -> facts.

    Raises:
        ReportError: if a row's stage has no facts, or a row lacks its stage's headline score.
    """
    if unknown := {record.stage for record in records} - set(stages):
        raise ReportError(f"There are no facts for the stages: {', '.join(sorted(unknown))}.")
    tables = []
    for name, facts in stages.items():
        arms = select.arms(records, name)
        for run in arms.values():
            for row in run.ok.values():
                if facts.quality.name not in row.metrics:
                    raise ReportError(f"A record of {name} {row.arm} has no score `{facts.quality.name}`.")
        if arms:
            best = best_classical(arms, facts)
            tables.append(StageTable(name, facts, tuple(compare(arm, runs, best, facts) for arm, runs in arms.items())))
    return tables


def best_classical(arms: Mapping[str, Runs], facts: StageFacts) -> Runs | None:
    """Of the classical arms whose quality is not below the best one's by more than the margin, that of least energy.

    Quality is compared by the mean paired difference over shared seeds.

    Args:
        arms: arm name -> its rows.
        facts: the stage's facts.

    Returns:
        The arm's rows, or None where no classical arm ended well.
    """
    rivals = [runs for arm, runs in arms.items() if select.family(arm) in RIVALS and runs.ok and not runs.any.resources]
    if not rivals:
        return None
    sign = 1 if facts.quality.higher_is_better else -1
    leader = max(rivals, key=lambda runs: sign * np.mean(_scores(runs, runs.ok, facts)))
    equals = [runs for runs in rivals if is_equal(runs, leader, facts)]
    return min(equals, key=lambda runs: np.mean([row.measured["energy_j"] for row in runs.ok.values()]))


def is_equal(runs: Runs, rival: Runs, facts: StageFacts) -> bool:
    """Whether the mean paired quality is not below the rival's by more than the margin; False without a shared seed."""
    shared = _shared(runs, rival)
    return bool(shared) and bool(_not_below(np.mean(_advantage(runs, rival, shared, facts)), facts))


def compare(arm: str, runs: Runs, best: Runs | None, facts: StageFacts) -> Comparison:
    """One arm against the best classical arm.

    Args:
        arm: its name.
        runs: its rows.
        best: the rows of the best classical arm; None where there is none.
        facts: the stage's facts.
    """
    rows = list(runs.ok.values())
    # A run that failed and was then repeated well is gone already; what is left here has no good row of the same key.
    line = Comparison(
        arm, tuple(runs.ok), len(runs.failed), runs.failed[0].reason if runs.failed else "", runs.any.note
    )
    if not rows:
        return line
    simulated = bool(rows[0].resources)
    line = line._replace(
        quality=statistics.mean_interval(_scores(runs, runs.ok, facts)),
        measured=_energy([row.measured for row in rows]),
        simulated=simulated,
        compile_j=float(np.mean([row.measured.get("compile_energy_j", 0.0) for row in rows])),
        host=_energy([row.host for row in rows]) if rows[0].host else None,
        use=_use(rows),
        equal=best is not None and is_equal(runs, best, facts),
        best=runs is best,
    )
    if simulated:
        profiles = dict.fromkeys(name for row in rows for name in row.projected)
        return line._replace(projections={name: project(runs, best, facts, name) for name in profiles})
    shared = _shared(runs, best) if best else []
    if not best or not shared:
        return line
    sample = draws.joint(len(shared))
    own, rival = (draws.measured([arm.ok[seed].measured for seed in shared], sample) for arm in (runs, best))
    return line._replace(ratio=statistics.summary(own / rival))


def project(runs: Runs, best: Runs | None, facts: StageFacts, profile: str) -> Projection:
    """One arm with a quantum part on one machine, against the best classical arm.

    Args:
        runs: the arm's rows.
        best: the rows of the best classical arm; None where there is none.
        facts: the stage's facts.
        profile: the machine's name.
    """
    able = Runs({s: row for s, row in runs.ok.items() if "energy_j" in row.projected.get(profile, {})}, ())
    if not able.ok:
        reasons = [row.projected[profile].get("reason", "") for row in runs.ok.values() if profile in row.projected]
        return Projection(reason=reasons[0])
    rows, sample = list(able.ok.values()), draws.joint(len(able.ok))
    found = Projection(statistics.summary(draws.projected(rows, profile, sample)), seeds=len(rows))
    if all("amortised_energy_j" in row.projected[profile] for row in rows):
        found = found._replace(amortised=statistics.summary(draws.projected(rows, profile, sample, amortised=True)))
    if not best or not _shared(able, best):
        return found
    ratio, equal = ratio_draws(able, best, facts, profile)
    cheaper = ratio < 1
    return found._replace(
        ratio=statistics.summary(ratio), saves=float(np.mean(cheaper & equal)), cheaper=float(np.mean(cheaper))
    )


def ratio_draws(runs: Runs, best: Runs, facts: StageFacts, profile: str) -> tuple[np.ndarray, np.ndarray]:
    """Energy on one machine over that of the best classical arm, and whether the quality is equal; one entry per draw.

    Args:
        runs: the rows of an arm that the machine can run.
        best: the rows of the best classical arm, with at least one seed of `runs`.
        facts: the stage's facts.
        profile: the machine's name.
    """
    shared = _shared(runs, best)
    sample = draws.joint(len(shared))
    quantum = draws.projected([runs.ok[seed] for seed in shared], profile, sample)
    classical = draws.measured([best.ok[seed].measured for seed in shared], sample)
    return quantum / classical, _not_below(sample.weights @ _advantage(runs, best, shared, facts), facts)


def _shared(runs: Runs, other: Runs) -> list[int]:
    return [seed for seed in runs.ok if seed in other.ok]


def _scores(runs: Runs, seeds, facts: StageFacts) -> np.ndarray:
    return np.array([runs.ok[seed].metrics[facts.quality.name] for seed in seeds])


def _advantage(runs: Runs, rival: Runs, seeds: Sequence[int], facts: StageFacts) -> np.ndarray:
    """Paired difference in quality, positive where the arm is better."""
    sign = 1 if facts.quality.higher_is_better else -1
    return sign * (_scores(runs, seeds, facts) - _scores(rival, seeds, facts))


def _not_below(advantage, facts: StageFacts):
    """Rounding must not decide: a difference of exactly the margin counts as equal."""
    return advantage >= -facts.quality.margin - 1e-12


def _energy(fields: Sequence[Mapping]) -> Energy:
    central, low, high = (
        float(np.mean([field[name] for field in fields])) for name in ("energy_j", "energy_low_j", "energy_high_j")
    )
    return Energy(central, low, high, fields[0]["meter"], fields[0]["provenance"])


def _use(rows: Sequence[Record]) -> tuple[float, str] | None:
    if not rows[0].use:
        return None
    return float(np.mean([row.use["energy_per_unit_j"] for row in rows])), rows[0].use["unit"]
