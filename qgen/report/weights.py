"""A stage's share of a whole life's energy: what an enhancement of that stage could save at most."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from qgen.record import Record
from qgen.report import select
from qgen.report.select import StageFacts
from qgen.report.statistics import Interval

SHARES = "shares"
"""Experiment whose rows hold a stage's share of a published life's energy: `metrics.share`, and where the source gives
a range `metrics.share_low` and `metrics.share_high`; the arm is the source, such as "published/olmo3"."""


class Share(NamedTuple):
    """A stage's share of a whole life's energy."""

    interval: Interval
    source: str


def shares(records: Sequence[Record], rows: Sequence[Record], stages: Mapping[str, StageFacts]) -> dict[str, Share]:
    """Stage -> its share of a whole life's energy.

    Args:
        records: all rows; those of the experiment `SHARES` give published lives, median over them with their range.
        rows: the lifecycle's rows, whose reference arms give the share where nothing published is at hand.
        stages: stage name -> facts.
    """
    published: dict[str, dict[str, Interval]] = {}
    for record in records:
        if record.experiment == SHARES and record.status == "ok":
            share, metrics = record.metrics["share"], record.metrics
            interval = Interval(share, metrics.get("share_low", share), metrics.get("share_high", share))
            published.setdefault(record.stage, {})[record.arm] = interval
    own = {}
    for name, facts in stages.items():
        runs = select.arms(rows, name).get(facts.reference)
        if runs and runs.ok:
            own[name] = float(np.mean([row.measured["energy_j"] for row in runs.ok.values()]))
    result = {}
    for name in stages:
        if name in published:
            values = list(published[name].values())
            central = float(np.median([value.central for value in values]))
            interval = Interval(central, min(value.low for value in values), max(value.high for value in values))
            result[name] = Share(interval, ", ".join(sorted(published[name])))
        elif name in own:
            share = own[name] / sum(own.values())
            result[name] = Share(Interval(share, share, share), "this small life, measured here")
    return result
