"""A searcher as an arm of a stage whose problem is a grid of configurations."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.search.space import Categorical, Space
from qgen.search.strategy import History, Proposal, play
from qgen.search.sweep import Ended
from qgen.stages.base import Arm, Outcome
from qgen.stages.searchers import SEARCHERS, Settings
from qgen.types import Key

SURROGATES = tuple(name for name, build in SEARCHERS.items() if build(Settings(steps=27)).propose)
"""Searchers with a model of the losses, which proposes one training after the other."""
CONTROLS = {
    "quantum/fm_qaoa": "control/fm_random",
    "quantum/fm_annealing": "control/fm_random",
    "quantum/fourier_regressor": "control/frozen_circuit",
    "quantum/kernel_gp": "classical/gp",
}
"""Quantum searcher -> the one that does its classical work and as many trainings: what stays on the host."""


def arm(
    name: str,
    axes: Sequence[Sequence[float] | int],
    budget: int,
    steps: int,
    loss: Callable[[Any, int], float],
    answer: Callable[[int, int], Any],
) -> Arm:
    """The arm of a searcher that trains one cell after the other.

    Args:
        name: a name of SEARCHERS without partial trainings or coherent calls.
        axes: the grid's axes, the last one fastest: its ascending numbers, or how many unordered choices it has.
        budget: trainings, at least 3.
        steps: steps of one training.
        loss: `(problem, cell) -> validation loss`.
        answer: `(chosen cell, trainings) -> the stage's answer`.

    Returns:
        An Arm that trains at most `budget` different cells; of a quantum searcher `host` does all but its circuits.

    Raises:
        ValueError: for an unknown name or too small a budget.

    Example:
        In a stage's table of arms:
        `"quantum/kernel_gp": lambda config: studies.arm("quantum/kernel_gp", axes(config), config.budget, ...)`
    """
    check.one_of("name", name, SEARCHERS)
    check.at_least("budget", budget, 3)
    space = Space(
        {
            f"axis_{place}": Categorical(tuple(range(axis)))
            if isinstance(axis, int)
            else Categorical(tuple(axis), ordered=True)
            for place, axis in enumerate(axes)
        }
    )
    shape = tuple(axis.size or 1 for axis in space.axes.values())

    def search(searcher: str, key: Key, problem: Any) -> tuple[History, dict[int, float]]:
        strategy = SEARCHERS[searcher](Settings(steps=steps, start_points=max(2, budget // 3)))
        seen: dict[int, float] = {}

        def evaluate(proposal: Proposal, first: int | None) -> list[Ended]:
            bins = np.minimum((proposal.points * shape).astype(int), np.array(shape) - 1)
            cells = [int(cell) for cell in np.atleast_1d(np.ravel_multi_index(tuple(bins.T), shape))]
            for cell in cells:
                if cell not in seen:
                    seen[cell] = loss(problem, cell)
            return [Ended(seen[cell], steps) for cell in cells]

        return play(key, space, strategy, budget, steps, evaluate), seen

    def solve(key: Key, problem: Any) -> Outcome:
        history, seen = search(name, key, problem)
        best = min(seen, key=seen.__getitem__)
        curve = jnp.minimum.accumulate(jnp.asarray([trial.loss for trial in history.trials]))
        return Outcome(answer(best, len(seen)), history.resources, {"best_loss": curve})

    def host(key: Key, problem: Any) -> list[float]:
        return list(search(CONTROLS[name], key, problem)[1].values())

    note = SEARCHERS[name](Settings(steps=steps)).note
    return Arm(name, solve, f"{budget} trainings. {note}".strip(), host if name in CONTROLS else None)
