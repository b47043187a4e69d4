"""Strategy: how the next configurations are chosen; and `play`, the loop of proposals and losses that every study is.

A strategy is a generator of Proposals that is sent their losses. It is a function of its key, the space, the budget and
the losses, so that an interrupted study resumes by playing the losses that were stored.
"""

import math
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import numpy as np

from qgen import check
from qgen.resources import Resources
from qgen.search.space import Space
from qgen.search.sweep import Ended, Rung
from qgen.types import Float, Key

SAME = 1e-9
"""Coordinates that differ by less are equal."""


class Proposal(NamedTuple):
    """Configurations to train.

    Attributes:
        points: in the unit cube, [n, axes].
        rungs: stops at which only the best of them go on.
        resources: what finding them took on a quantum machine.
        coherent: training runs that a quantum oracle evaluated in superposition to find them; spent from the budget.
        simulated: the runs stand for what the oracle knows: a simulator needs them, a quantum machine would not, so
            they are neither trials nor spent.
    """

    points: Float[np.ndarray, "n axes"]
    rungs: tuple[Rung, ...] = ()
    resources: tuple[Resources, ...] = ()
    coherent: float = 0.0
    simulated: bool = False


Proposals = Generator[Proposal, np.ndarray, None]


class Strategy(NamedTuple):
    """A way to search.

    Attributes:
        name: `family/method`, as an arm's.
        start: `(key, space, budget) -> Proposals`; the losses it is sent have no NaN: a failed training counts as the
            worst loss that was seen.
        least: the smallest budget, in trainings, that it can work with.
        note: one sentence on what is simulated or left out.
        propose: for a strategy whose next proposal follows from what was trained alone:
            `(key, space, seen points, their losses) -> Proposal`, or None where nothing is left to train.
    """

    name: str
    start: Callable[[Key, Space, int], Proposals]
    least: int = 1
    note: str = ""
    propose: Callable[[Key, Space, Any, Any], Proposal | None] | None = None


class Trial(NamedTuple):
    """One training run of a study.

    Attributes:
        number: its place in the study.
        point: its canonical point.
        loss: the validation loss, NaN where the run failed.
        steps: the steps that it did.
        spent: what the study has spent with it, in whole trainings, coherent oracle calls included.
        coherent: coherent oracle calls so far.
    """

    number: int
    point: tuple[float, ...]
    loss: float
    steps: int
    spent: float
    coherent: float

    @property
    def ok(self) -> bool:
        """Whether the run ended with a number."""
        return not math.isnan(self.loss)


class History(NamedTuple):
    """What a study did.

    Attributes:
        trials: the trainings, in order.
        resources: what the strategy took on a quantum machine.
        simulated: trainings that only the simulation of an oracle needed.
    """

    trials: tuple[Trial, ...]
    resources: tuple[Resources, ...]
    simulated: int

    @property
    def best(self) -> Trial:
        """The best trial of those that trained longest.

        Raises:
            ValueError: if every trial failed.
        """
        finished = [trial for trial in self.trials if trial.ok]
        if not finished:
            raise ValueError(f"All {len(self.trials)} trials failed.")
        most = max(trial.steps for trial in finished)
        return min((trial for trial in finished if trial.steps == most), key=lambda trial: trial.loss)


Evaluate = Callable[[Proposal, int | None], Sequence[Ended]]
"""`(proposal, number of its first trial, or None where it is simulated) -> how its runs ended`, in order."""


def play(key: Key, space: Space, strategy: Strategy, budget: int, steps: int, evaluate: Evaluate) -> History:
    """Runs a strategy until its budget is spent or it has nothing more to propose.

    Args:
        key: the strategy's random key.
        space: the space.
        strategy: the strategy.
        budget: whole trainings; a run of fewer steps counts as its share. Proposals beyond it are cut short, and a
            bracket of successive halving that does not fit ends the study.
        steps: steps of a whole training.
        evaluate: trains.

    Raises:
        ValueError: if the budget is smaller than the strategy needs.
    """
    check.at_least("budget", budget, 1)
    if budget < strategy.least:
        raise ValueError(
            f"Argument `budget` must be at least {strategy.least} trainings for {strategy.name}, but is {budget}."
        )
    trials: list[Trial] = []
    resources: list[Resources] = []
    spent = coherent = 0.0
    simulated, worst = 0, -math.inf
    proposals = strategy.start(key, space, budget)
    proposal = next(proposals)
    while True:
        coherent += proposal.coherent
        spent += proposal.coherent
        resources += proposal.resources
        points = space.canonical(proposal.points)
        if not proposal.rungs and not proposal.simulated:
            points = points[: max(0, math.ceil(budget - spent - 1e-9))]
        over = proposal.rungs and spent + cost(proposal.rungs, len(points), steps) > budget + 1e-9
        if over or not len(points):
            break
        found = evaluate(proposal._replace(points=points), None if proposal.simulated else len(trials))
        if proposal.simulated:
            simulated += len(points)
        else:
            for point, how in zip(points, found, strict=True):
                spent += how.steps / steps
                trials.append(Trial(len(trials), tuple(point.tolist()), how.loss, how.steps, spent, coherent))
        losses = np.array([how.loss for how in found])
        worst = max([worst, *losses[np.isfinite(losses)].tolist()])
        if spent >= budget - 1e-9:
            break
        try:
            proposal = proposals.send(np.where(np.isfinite(losses), losses, worst if math.isfinite(worst) else 0.0))
        except StopIteration:
            break
    proposals.close()
    return History(tuple(trials), tuple(resources), simulated)


def cost(rungs: Sequence[Rung], lanes: int, steps: int) -> float:
    """What a bracket spends, in whole trainings."""
    total, done = 0, 0
    for rung in rungs:
        total += lanes * (rung.steps - done)
        lanes, done = rung.keep, rung.steps
    return (total + lanes * (steps - done)) / steps


def best_so_far(history: History) -> tuple[np.ndarray, list[Trial]]:
    """What was spent at every trial, and the trial that was the best until then (longest trained, then least loss)."""
    spent, best, chosen = [], None, []
    for trial in history.trials:
        if trial.ok and (best is None or (-trial.steps, trial.loss) < (-best.steps, best.loss)):
            best = trial
        if best is not None:
            spent.append(trial.spent)
            chosen.append(best)
    return np.array(spent), chosen


def seed_of(key: Key) -> int:
    """A seed of 32 bits for a host library's generator."""
    import jax

    return int(jax.random.bits(key, dtype="uint32"))


def without_repeats(points: Any, candidates: Any) -> np.ndarray:
    """Which candidates are none of the points: [candidates] of bool."""
    gaps = np.abs(np.asarray(candidates)[:, None, :] - np.asarray(points)[None, :, :])
    return np.asarray(gaps.max(axis=2).min(axis=1) >= SAME)
