"""Optuna: the surrogate searchers as samplers, and studies in an Optuna storage, for its dashboard.

Minimum finding and Q-GP-UCB are no samplers: their oracle evaluates many configurations in superposition, which an
Optuna objective cannot.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from qgen import check
from qgen.search.space import Axis, Categorical, Conditional, Float, Integer, Space
from qgen.search.strategy import History, Strategy
from qgen.stages.searchers import SEARCHERS, Settings

START_TRIALS = 6
"""Random trials before a surrogate is asked."""


class StrategySampler(BaseSampler):
    """An Optuna sampler whose joint proposals come from a strategy of `qgen.search`.

    Parameters that not every trial has are drawn uniformly.
    """

    def __init__(self, strategy: Strategy, *, seed: int | None = None, start_trials: int = START_TRIALS) -> None:
        """Wraps a strategy.

        Args:
            strategy: one that has `propose`.
            seed: of all randomness; None draws one.
            start_trials: finished trials before the strategy is asked, at least 2.

        Raises:
            ValueError: if the strategy cannot propose from finished trials alone, or `start_trials` is below 2.
        """
        if strategy.propose is None:
            raise ValueError(f"Argument `strategy` must propose from finished trials alone, but is {strategy.name}.")
        check.at_least("start_trials", start_trials, 2)
        self._propose, self._start_trials = strategy.propose, start_trials
        self._random = RandomSampler(seed)
        self._generator = np.random.default_rng(seed)
        self._shared = IntersectionSearchSpace()

    def reseed_rng(self) -> None:
        """Draws new seeds, for a process of its own."""
        self._random.reseed_rng()
        self._generator = np.random.default_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that all finished trials share and that leave a choice."""
        shared = self._shared.calculate(study)
        return {name: distribution for name, distribution in shared.items() if not distribution.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values for all shared parameters at once."""
        self._raise_error_if_multi_objective(study)
        if not search_space:
            return {}
        space = Space({name: _axis(distribution) for name, distribution in search_space.items()})
        sign = 1 if study.direction == StudyDirection.MINIMIZE else -1
        points, losses = [], []
        for done in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            values = {name: done.params.get(name) for name in search_space}
            if any(not _holds(search_space[name], value) for name, value in values.items()):
                continue
            loss = sign * float(done.value if done.value is not None else np.nan)
            if np.isfinite(loss):
                points.append(space.point({name: _inside(search_space[name], values[name]) for name in search_space}))
                losses.append(loss)
        key = jax.random.key(int(self._generator.integers(2**32)))
        proposal = None
        if len(losses) >= self._start_trials:
            proposal = self._propose(key, space, np.array(points), np.array(losses))
        point = self._generator.uniform(size=len(search_space)) if proposal is None else proposal.points[0]
        config = space.config(space.canonical(np.asarray(point)[None])[0])
        return {name: _outside(search_space[name], value) for name, value in config.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A uniform value for a parameter that is not shared."""
        self._raise_error_if_multi_objective(study)
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def _factory(name: str) -> Callable[..., BaseSampler]:
    def make(
        seed: int | None = None, start_trials: int = START_TRIALS, settings: Settings | None = None
    ) -> BaseSampler:
        strategy = SEARCHERS[name](settings or Settings(steps=1))
        return StrategySampler(strategy, seed=seed, start_trials=start_trials)

    return make


SAMPLERS: Mapping[str, Callable[..., BaseSampler]] = {
    name: _factory(name)
    for name in (
        "quantum/fm_qaoa",
        "quantum/fm_annealing",
        "quantum/fourier_regressor",
        "quantum/kernel_gp",
        "control/fm_random",
        "control/fm_simulated_annealing",
        "control/fourier_ridge",
        "control/frozen_circuit",
        "control/product_kernel_gp",
    )
}
"""Name -> `(seed=None, start_trials=START_TRIALS, settings=None) -> sampler`."""


def export(history: History, space: Space, name: str, storage: Any = None) -> Study:
    """Writes a study's trials to an Optuna storage, such as "sqlite:///study.db", which its dashboard shows.

    Args:
        history: what `qgen.search.study.run` returned.
        space: the study's space.
        name: the Optuna study's name; there must be none of this name in the storage.
        storage: a URL or an Optuna storage; None keeps the study in memory.

    Returns:
        The Optuna study; every trial's steps and spending are user attributes.
    """
    study = optuna.create_study(study_name=name, storage=storage, direction="minimize")
    distributions = {name: _distribution(axis) for name, axis in space.axes.items()}
    trials = []
    for trial in history.trials:
        params = {
            name: _storable(distributions[name], value) for name, value in space.params(np.array(trial.point)).items()
        }
        trials.append(
            optuna.trial.create_trial(
                state=TrialState.COMPLETE if trial.ok else TrialState.FAIL,
                value=trial.loss if trial.ok else None,
                params=params,
                distributions={name: distributions[name] for name in params},
                user_attrs={"steps": trial.steps, "spent": trial.spent, "coherent": trial.coherent},
            )
        )
    study.add_trials(trials)
    return study


def _axis(distribution: BaseDistribution) -> Axis:
    if isinstance(distribution, CategoricalDistribution):
        return Categorical(tuple(range(len(distribution.choices))))
    if isinstance(distribution, IntDistribution):
        if distribution.log:
            return Integer(distribution.low, distribution.high, log=True)
        return Integer(0, (distribution.high - distribution.low) // distribution.step)
    assert isinstance(distribution, FloatDistribution)
    if distribution.step is not None:
        return Integer(0, round((distribution.high - distribution.low) / distribution.step))
    return Float(distribution.low, distribution.high, log=distribution.log)


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value, perhaps of a trial with another range, lies in the distribution."""
    if value is None and not (isinstance(distribution, CategoricalDistribution) and None in distribution.choices):
        return False
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (ValueError, TypeError):
        return False


def _inside(distribution: BaseDistribution, value: Any) -> Any:
    """What the axis calls a value of the distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return int(distribution.to_internal_repr(value))
    if isinstance(distribution, IntDistribution) and not distribution.log:
        return (value - distribution.low) // distribution.step
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        return round((value - distribution.low) / distribution.step)
    return value


def _outside(distribution: BaseDistribution, value: Any) -> Any:
    """What the distribution calls a value of the axis."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[value]
    if isinstance(distribution, IntDistribution) and not distribution.log:
        return distribution.low + value * distribution.step
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        return min(distribution.low + value * distribution.step, distribution.high)
    return value


def _distribution(axis: Axis) -> BaseDistribution:
    if isinstance(axis, Conditional):
        return _distribution(axis.axis)
    if isinstance(axis, Float):
        return FloatDistribution(axis.low, axis.high, log=axis.log)
    if isinstance(axis, Integer):
        return IntDistribution(axis.low, axis.high, log=axis.log)
    return CategoricalDistribution(_choices(axis.choices))


def _choices(choices: Sequence[Any]) -> list[Any]:
    """Choices that an Optuna storage can hold."""
    return [choice if isinstance(choice, bool | int | float | str) else repr(choice) for choice in choices]


def _storable(distribution: BaseDistribution, value: Any) -> Any:
    return _choices([value])[0] if isinstance(distribution, CategoricalDistribution) else value
