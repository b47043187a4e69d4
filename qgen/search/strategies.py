"""Strategies that any space takes, and the two forms that a surrogate becomes a strategy by.

Libraries do what they do well: quasi-random points are SciPy's, the tree-structured Parzen estimator is Optuna's.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from qgen import check
from qgen.resources import Resources
from qgen.search.space import Categorical, Conditional, Space
from qgen.search.strategy import Proposal, Proposals, Strategy, cost, seed_of, without_repeats
from qgen.search.sweep import Rung
from qgen.types import Float, Int, Key

CANDIDATES = 512
"""Points that a surrogate ranks where the space has no grid of its own, or a larger one."""
MOST_CELLS = 1 << 14
LEVELS = 8
"""Bins of a real axis where a strategy needs a grid."""


class Choice(NamedTuple):
    """What a surrogate proposes: the place among the candidates, and what finding it took on a quantum machine."""

    place: int
    resources: tuple[Resources, ...] = ()
    coherent: float = 0.0


Choose = Callable[[Key, Float[Any, "n features"], Float[Any, " n"], Float[Any, "m features"]], Choice]
"""`(key, seen features, their losses, candidates' features) -> Choice`."""
ChooseCell = Callable[[Key, Int[Any, "n axes"], Float[Any, " n"], tuple[int, ...]], tuple[tuple[int, ...], tuple]]
"""`(key, seen cells, their losses, values per axis) -> (cell, resources)`."""


def random(batch: int = 64) -> Strategy:
    """Uniform points."""

    def start(key: Key, space: Space, budget: int) -> Proposals:
        generator = np.random.default_rng(seed_of(key))
        while True:
            yield Proposal(generator.uniform(size=(batch, len(space.axes))))

    return Strategy("classical/random", start)


def quasi_random() -> Strategy:
    """Scrambled Sobol points (SciPy), all of them proposed at once."""

    def start(key: Key, space: Space, budget: int) -> Proposals:
        yield Proposal(sobol(key, len(space.axes), budget))

    return Strategy("classical/quasi_random", start)


def sobol(key: Key, axes: int, n: int) -> Float[np.ndarray, "n axes"]:
    """The first n points of a scrambled Sobol sequence."""
    from scipy.stats import qmc

    points = qmc.Sobol(axes, rng=np.random.default_rng(seed_of(key))).random_base2(max(0, (n - 1).bit_length()))
    return np.clip(points[:n], 0.0, 1.0)


def tpe(start_points: int = 10) -> Strategy:
    """Optuna's tree-structured Parzen estimator on the space's own axes, one trial after the other."""

    def sampler(seed: int, n_startup_trials: int) -> Any:
        import optuna

        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=n_startup_trials)

    return _by_optuna("classical/tpe", sampler, start_points)


def botorch(start_points: int = 10) -> Strategy:
    """BoTorch's Gaussian process through Optuna's sampler, on the space's own axes, one trial after the other.

    A study that runs it raises ModuleNotFoundError, with the command that installs it, where it is missing.
    """

    def sampler(seed: int, n_startup_trials: int) -> Any:
        try:
            from optuna_integration import BoTorchSampler  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"classical/botorch needs {error.name}: run `pip install 'qgen[botorch]'`."
            ) from error
        return BoTorchSampler(seed=seed, n_startup_trials=n_startup_trials)

    return _by_optuna("classical/botorch", sampler, start_points)


def _by_optuna(name: str, sampler: Callable[..., Any], start_points: int) -> Strategy:
    check.at_least("start_points", start_points, 1)

    def start(key: Key, space: Space, budget: int) -> Proposals:
        import optuna

        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            chosen = sampler(seed=seed_of(key), n_startup_trials=min(start_points, budget // 2 + 1))
            study = optuna.create_study(sampler=chosen)
            while True:
                trial = study.ask()
                losses = yield Proposal(_suggested(trial, space)[None])
                study.tell(trial, float(losses[0]))
        finally:
            optuna.logging.set_verbosity(level)

    return Strategy(name, start, least=2)


def _suggested(trial: Any, space: Space) -> Float[np.ndarray, " axes"]:
    """A point from an Optuna trial, axis by axis."""
    point: list[float] = []
    chosen: dict[str, Any] = {}
    for name, axis in space.axes.items():
        if isinstance(axis, Conditional):
            if chosen.get(axis.parent) not in axis.values:
                point.append(0.5)
                continue
            axis = axis.axis
        if isinstance(axis, Categorical):
            suggest = (
                trial.suggest_int
                if axis.ordered
                else lambda n, low, high: trial.suggest_categorical(n, range(high + 1))
            )
            value = axis.choices[suggest(name, 0, axis.size - 1)]
        elif axis.size is not None:
            value = trial.suggest_int(name, axis.low, axis.high, log=axis.log)
        else:
            value = trial.suggest_float(name, axis.low, axis.high, log=axis.log)
        chosen[name] = value
        point.append(axis.place(value))
    return np.array(point)


def successive_halving(steps: int, lanes: int = 27, eta: int = 3, first: int | None = None) -> Strategy:
    """Brackets of successive halving (arXiv:1502.07943): after each rung the best 1/eta of the lanes go on.

    Args:
        steps: steps of a whole training.
        lanes: configurations in a bracket.
        eta: the factor between rungs in lanes and in steps.
        first: steps at the first rung; None: as few as leave one lane for the whole training.

    Raises:
        ValueError: if `eta` is below 2 or `lanes` below `eta`.
    """
    check.at_least("eta", eta, 2)
    check.at_least("lanes", lanes, eta)
    halvings = math.floor(math.log(lanes, eta) + 1e-9)
    if first is not None:
        check.within("first", first, 1, steps)
        halvings = min(halvings, math.floor(math.log(steps / first, eta) + 1e-9))
    rungs = bracket(steps, lanes, eta, halvings)

    def start(key: Key, space: Space, budget: int) -> Proposals:
        for part in range(budget + 1):
            yield Proposal(sobol(jax.random.fold_in(key, part), len(space.axes), lanes), rungs)

    return Strategy("classical/successive_halving", start, math.ceil(cost(rungs, lanes, steps)))


def hyperband(steps: int, eta: int = 3, most: int = 3) -> Strategy:
    """Hyperband (arXiv:1603.06560): brackets from many short runs to few whole ones, again and again.

    Args:
        steps: steps of a whole training.
        eta: the factor between rungs.
        most: halvings of the first bracket; the next has one fewer, down to none.

    Raises:
        ValueError: if `eta` is below 2, or the shortest run would have no step.
    """
    check.at_least("eta", eta, 2)
    check.at_least("most", most, 0)
    check.at_least("steps", steps, eta**most)
    plans = []
    for halvings in range(most, -1, -1):
        lanes = math.ceil((most + 1) / (halvings + 1) * eta**halvings)
        plans.append((lanes, bracket(steps, lanes, eta, halvings)))

    def start(key: Key, space: Space, budget: int) -> Proposals:
        left, part = float(budget), 0
        while left > 0:
            lanes, rungs = plans[part % len(plans)]
            yield Proposal(sobol(jax.random.fold_in(key, part), len(space.axes), lanes), rungs)
            left -= cost(rungs, lanes, steps)
            part += 1

    return Strategy("classical/hyperband", start, math.ceil(cost(plans[0][1], plans[0][0], steps)))


def bracket(steps: int, lanes: int, eta: int, halvings: int) -> tuple[Rung, ...]:
    """The rungs of one bracket: rung k of K has steps / eta^(K - k) steps behind it and keeps 1/eta of its lanes."""
    rungs = []
    for k in range(halvings):
        lanes = max(1, lanes // eta)
        rungs.append(Rung(max(1, round(steps / eta ** (halvings - k))), lanes))
    return tuple(rung for place, rung in enumerate(rungs) if place == 0 or rung.steps > rungs[place - 1].steps)


def evolution(ask: Callable[..., Any], tell: Callable[..., Any], begin: Callable[..., Any], least: int) -> Strategy:
    """CMA-ES from its three functions: `begin(axes)`, `ask(generator, state)`, `tell(state, points, losses)`."""

    def start(key: Key, space: Space, budget: int) -> Proposals:
        generator = np.random.default_rng(seed_of(key))
        state = begin(len(space.axes))
        while True:
            points = ask(generator, state)
            losses = yield Proposal(points)
            if len(losses) < len(points):
                return
            state = tell(state, points, losses)

    return Strategy("classical/cma_es", start, least)


def by_surrogate(name: str, choose: Choose, *, start_points: int = 8, note: str = "") -> Strategy:
    """Sobol points first; then, for every training, the candidate that a surrogate of the losses chooses.

    The candidates are the space's grid where it has one of at most MOST_CELLS cells, and else Sobol points, fresh for
    every choice; configurations that were trained are no candidates.
    """

    def propose(key: Key, space: Space, seen: Any, losses: Any) -> Proposal | None:
        candidate_key, choose_key = jax.random.split(key)
        offered = cells(space)
        if offered is None:
            offered = space.canonical(sobol(candidate_key, len(space.axes), CANDIDATES))
        offered = offered[without_repeats(seen, offered)]
        if not len(offered):
            return None
        choice = choose(choose_key, features(space, seen), losses, features(space, offered))
        return Proposal(offered[[choice.place]], resources=choice.resources, coherent=choice.coherent)

    return _step_by_step(name, propose, start_points, note)


def by_cells(name: str, choose: ChooseCell, *, start_points: int = 8, note: str = "") -> Strategy:
    """Like `by_surrogate` for surrogates of discrete choices: real axes are cut into LEVELS bins.

    A cell that was trained already is replaced by a random one that was not.
    """

    def propose(key: Key, space: Space, seen: Any, losses: Any) -> Proposal | None:
        choose_key, spare_key = jax.random.split(key)
        columns = space.columns(LEVELS)
        shape = tuple(map(len, columns))
        rows = np.stack([abs(seen[:, [i]] - column[None]).argmin(1) for i, column in enumerate(columns)], axis=1)
        taken = {tuple(row) for row in rows.tolist()}
        if len(taken) >= math.prod(shape):
            return None
        cell, resources = choose(choose_key, rows, losses, shape)
        generator = np.random.default_rng(seed_of(spare_key))
        while cell in taken:
            cell = tuple(int(generator.integers(size)) for size in shape)
        return Proposal(np.array([[column[i] for i, column in zip(cell, columns, strict=True)]]), resources=resources)

    return _step_by_step(name, propose, start_points, note)


def _step_by_step(name: str, propose: Callable[..., Proposal | None], start_points: int, note: str) -> Strategy:
    check.at_least("start_points", start_points, 2)

    def start(key: Key, space: Space, budget: int) -> Proposals:
        start_key, run_key = jax.random.split(key)
        seen = space.canonical(sobol(start_key, len(space.axes), min(start_points, budget)))
        losses = yield Proposal(seen)
        for t in range(budget):
            proposal = propose(jax.random.fold_in(run_key, t), space, seen, losses)
            if proposal is None:
                return
            found = yield proposal
            seen, losses = np.concatenate([seen, space.canonical(proposal.points)]), np.concatenate([losses, found])

    return Strategy(name, start, start_points + 1, note, propose)


def cells(space: Space) -> Float[np.ndarray, "cells axes"] | None:
    """The space's grid, or None where it has a real axis or too many cells."""
    sizes = [axis.size for axis in space.axes.values()]
    if any(size is None for size in sizes) or math.prod(size or 1 for size in sizes) > MOST_CELLS:
        return None
    return space.grid()


def features(space: Space, points: Float[np.ndarray, "n axes"]) -> Float[np.ndarray, "n features"]:
    """What a surrogate sees: the coordinate of an ordered axis, a column per choice of any other."""
    columns = []
    for place, axis in enumerate(space.axes.values()):
        if axis.is_ordered or axis.size is None or axis.size <= 2:
            columns.append(points[:, [place]])
        else:
            index = np.minimum((points[:, place] * axis.size).astype(int), axis.size - 1)
            columns.append(np.eye(axis.size)[index])
    return np.concatenate(columns, axis=1)
