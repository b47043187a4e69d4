"""The bottom line of the whole life: all stages classical, and with one stage's quantum arm swapped in.

The effect of a swap on the later stages is measured: their reference arms ran again on what the quantum arm handed on.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from qgen.record import Record
from qgen.report import draws, select, statistics
from qgen.report.compare import Energy
from qgen.report.select import REFERENCE, Runs, StageFacts
from qgen.report.statistics import Interval

FINAL = ("deployment", "monitoring")
"""The stages whose headline scores are the quality of a whole life."""


class Life(NamedTuple):
    """One whole life, mean over seeds.

    Attributes:
        swap: stage and arm that were swapped in; None for the all-classical life.
        seeds: the seeds for which every stage ended well.
        missing: why there is no total, empty where there is one.
        measured: everything that this machine would still do, in J: all reference arms and the host part of the
            quantum arm, without compilation, which depends on what ran before.
        quality: stage of FINAL -> its score with 95 % interval.
        totals: profile -> energy of the whole life in J, median with 5 % and 95 %.
        ratios: profile -> the same over the all-classical life.
    """

    swap: tuple[str, str] | None
    seeds: tuple[int, ...] = ()
    missing: str = ""
    measured: Energy | None = None
    quality: Mapping[str, Interval] = {}
    totals: Mapping[str, Interval] = {}
    ratios: Mapping[str, Interval] = {}


def lives(records: Sequence[Record], stages: Mapping[str, StageFacts]) -> list[Life]:
    """The all-classical life and one life for each swap.

    Args:
        records: rows of one experiment, as `select.latest` gives them.
        stages: stage name -> facts, in the order of the life; those without records are left out.
    """
    present = {name: facts for name, facts in stages.items() if any(record.stage == name for record in records)}
    chain = {name: select.arms(records, name).get(facts.reference) for name, facts in present.items()}
    swaps = [(name, facts.swap) for name, facts in present.items() if facts.swap in select.arms(records, name)]
    others = {record.upstream.partition("=") for record in records if record.upstream != REFERENCE}
    swaps += sorted({(stage, arm) for stage, _, arm in others} - set(swaps))
    return [_life(None, chain, chain, present), *(_swapped(records, swap, chain, present) for swap in swaps)]


def _swapped(
    records: Sequence[Record],
    swap: tuple[str, str],
    reference: Mapping[str, Runs | None],
    stages: Mapping[str, StageFacts],
) -> Life:
    stage, arm = swap
    names = list(stages)
    chain = dict(reference)
    chain[stage] = select.arms(records, stage).get(arm)
    for name in names[names.index(stage) + 1 :]:
        chain[name] = select.arms(records, name, upstream=f"{stage}={arm}").get(stages[name].reference)
    return _life(swap, chain, reference, stages)


def _life(
    swap: tuple[str, str] | None,
    chain: Mapping[str, Runs | None],
    reference: Mapping[str, Runs | None],
    stages: Mapping[str, StageFacts],
) -> Life:
    absent = [name for name, runs in chain.items() if runs is None]
    if absent:
        return Life(swap, missing=f"{', '.join(absent)}: not run")
    complete = {name: runs for name, runs in chain.items() if runs is not None}
    seeds = tuple(sorted(set.intersection(*(set(runs.ok) for runs in complete.values()))))
    if not seeds:
        failed = [f"{name}: {runs.failed[0].reason}" for name, runs in complete.items() if not runs.ok]
        return Life(swap, missing=failed[0] if failed else "no seed ended well in every stage")
    here = swap[0] if swap else ""
    fields = [
        [row for name, runs in complete.items() for row in _parts(runs.ok[seed], swapped=name == here)]
        for seed in seeds
    ]
    life = Life(
        swap,
        seeds,
        measured=_total(fields, next(iter(complete.values())).any.measured),
        quality={
            name: statistics.mean_interval(
                [complete[name].ok[seed].metrics[stages[name].quality.name] for seed in seeds]
            )
            for name in FINAL
            if name in complete
        },
    )
    if not swap:
        return life
    arm = complete[here]
    rows = [arm.ok[seed] for seed in seeds]
    profiles = [p for p in rows[0].projected if all("energy_j" in row.projected.get(p, {}) for row in rows)]
    shared = [seed for seed in seeds if all(runs is not None and seed in runs.ok for runs in reference.values())]
    others = [runs for name, runs in complete.items() if name != here]
    everything = [runs for runs in reference.values() if runs]
    # What the machines share is drawn once.
    rest, paired, classical = (_measured(*part) for part in ((others, seeds), (others, shared), (everything, shared)))
    sample, shared_sample = draws.joint(len(seeds)), draws.joint(max(1, len(shared)))
    totals, ratios = {}, {}
    for profile in profiles:
        totals[profile] = statistics.summary(rest + draws.projected(rows, profile, sample))
        if shared:
            quantum = draws.projected([arm.ok[seed] for seed in shared], profile, shared_sample)
            ratios[profile] = statistics.summary((paired + quantum) / classical)
    return life._replace(totals=totals, ratios=ratios)


def _parts(row: Record, swapped: bool) -> list[Mapping]:
    """What this machine would do itself: of a swapped arm the host part only, its simulation is no part of a life."""
    if swapped and row.resources:
        return [row.host] if row.host else []
    return [row.measured]


def _total(fields: Sequence[Sequence[Mapping]], meter: Mapping) -> Energy:
    """Sum over parts, mean over seeds; the ranges add, because they are one meter's systematic error."""
    central, low, high = (
        float(np.mean([sum(part[name] for part in parts) for parts in fields]))
        for name in ("energy_j", "energy_low_j", "energy_high_j")
    )
    return Energy(central, low, high, meter["meter"], meter["provenance"])


def _measured(stages: Sequence[Runs], seeds: Sequence[int]) -> np.ndarray:
    """Measured energy of some stages together in J, one entry per draw; 0 without stages or seeds."""
    total = np.zeros(statistics.DRAWS)
    for runs in stages if seeds else ():
        total += draws.measured([runs.ok[seed].measured for seed in seeds], draws.joint(len(seeds)))
    return total
