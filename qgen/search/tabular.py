"""Tabular benchmark: every configuration of a grid trained beforehand, so that strategies are compared in seconds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qgen import check
from qgen.search import space as spaces
from qgen.search.space import Space
from qgen.search.strategy import History, Proposal, Strategy, Trial, best_so_far, play
from qgen.search.sweep import Ended
from qgen.types import Float, Key

FOLDER = Path(__file__).with_name("data")
TABLES = ("language_model", "hybrid_classifier")


class Table(NamedTuple):
    """All cells of a grid.

    Attributes:
        name: a name of TABLES.
        space: the axes, all of them discrete.
        points: the cells, [cells, axes].
        stops: steps at which the validation loss was taken; the last is a whole training.
        losses: validation losses, NaN where a run failed, [cells, seeds, stops].
        test: test losses after a whole training, [cells, seeds].
        facts: what the trainings were: `flops` and `numbers` of the dearest one, `train_s`, `commit`, and so on.
    """

    name: str
    space: Space
    points: Float[np.ndarray, "cells axes"]
    stops: tuple[int, ...]
    losses: Float[np.ndarray, "cells seeds stops"]
    test: Float[np.ndarray, "cells seeds"]
    facts: Mapping[str, Any]

    @property
    def steps(self) -> int:
        """Steps of a whole training."""
        return self.stops[-1]

    @property
    def seeds(self) -> int:
        """Trainings of every cell."""
        return self.losses.shape[1]

    def final(self) -> Float[np.ndarray, " cells"]:
        """Mean validation loss of every cell after whole trainings; infinite where one failed."""
        return np.nan_to_num(self.losses[:, :, -1].mean(axis=1), nan=np.inf)


def save(path: Path, table: Table) -> None:
    """Writes a table as compressed NumPy arrays with a JSON companion inside."""
    axes = {name: _axis(axis) for name, axis in table.space.axes.items()}
    meta = {"name": table.name, "axes": axes, "stops": table.stops, "facts": dict(table.facts)}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        meta=np.array(json.dumps(meta)),
        losses=table.losses.astype(np.float32),
        test=table.test.astype(np.float32),
    )


def load(name: str, folder: Path = FOLDER) -> Table:
    """Reads a table.

    Raises:
        ValueError: for an unknown name, or a file whose arrays do not fit its grid.
    """
    check.one_of("table", name, TABLES)
    with np.load(folder / f"{name}.npz") as stored:
        meta = json.loads(str(stored["meta"]))
        losses, test = stored["losses"].astype(float), stored["test"].astype(float)
    space = Space({name: spaces.Categorical(**axis) for name, axis in meta["axes"].items()})
    points, stops = space.grid(), tuple(meta["stops"])
    check.shape("losses", losses, (len(points), None, len(stops)))
    check.shape("test", test, losses.shape[:2])
    return Table(meta["name"], space, points, stops, losses, test, meta["facts"])


def _axis(axis: Any) -> dict[str, Any]:
    if not isinstance(axis, spaces.Categorical):
        raise ValueError(f"The axes of a table must be categorical, but one is {axis!r}.")
    return {"choices": list(axis.choices), "ordered": axis.ordered, "static": axis.static}


def search(key: Key, table: Table, strategy: Strategy, budget: int, seed: int) -> History:
    """Plays a strategy on one training seed of the table, without training anything.

    Args:
        key: the strategy's key.
        table: the table; rungs of a strategy must be among its stops.
        strategy: the strategy.
        budget: whole trainings.
        seed: which of the table's trainings.

    Raises:
        ValueError: for a seed that the table has not, or a rung at steps that it has no losses of.
    """
    check.within("seed", seed, 0, table.seeds - 1)
    losses = table.losses[:, seed]

    def evaluate(proposal: Proposal, first: int | None) -> list[Ended]:
        for rung in proposal.rungs:
            check.one_of("steps of a rung", rung.steps, table.stops)
        cells = cell_of(table, proposal.points)
        ended: dict[int, Ended] = {}
        alive: Sequence[int] = range(len(cells))
        for rung in proposal.rungs:
            column = losses[cells, table.stops.index(rung.steps)]
            order = sorted((lane for lane in alive if not np.isnan(column[lane])), key=lambda lane: column[lane])
            going = order[: rung.keep]
            ended |= {lane: Ended(float(column[lane]), rung.steps) for lane in alive if lane not in going}
            alive = going
        ended |= {lane: Ended(float(losses[cells[lane], -1]), table.steps) for lane in alive}
        return [ended[lane] for lane in range(len(cells))]

    return play(key, table.space, strategy, budget, table.steps, evaluate)


def cell_of(table: Table, points: Float[np.ndarray, "n axes"]) -> np.ndarray:
    """Where in the table canonical points lie, [n]."""
    shape = tuple(axis.size or 1 for axis in table.space.axes.values())
    bins = np.minimum((np.asarray(points) * shape).astype(int), np.array(shape) - 1)
    return np.asarray(np.ravel_multi_index(tuple(bins.T), shape))


class Curve(NamedTuple):
    """What a search had found after so many trainings.

    Attributes:
        regret: mean loss of the cell that was chosen until then over the least of all cells, [budgets]; NaN before
            the first training ended.
        test: the same with test losses, over the test loss of the cell of least validation loss.
    """

    regret: Float[np.ndarray, " budgets"]
    test: Float[np.ndarray, " budgets"]


def curve(table: Table, history: History, budgets: Sequence[float] | np.ndarray) -> Curve:
    """The regret of a search at given spendings."""
    final = table.final()
    test = np.nan_to_num(table.test.mean(axis=1), nan=np.inf)
    best = int(np.argmin(final))
    spent, chosen = best_so_far(history)
    cells = cell_of(table, np.array([trial.point for trial in chosen])) if chosen else np.zeros(0, int)
    places = np.searchsorted(spent, np.asarray(budgets) + 1e-9, side="right") - 1
    known = places >= 0
    picked = cells[np.maximum(places, 0)] if len(cells) else np.zeros(len(places), int)
    regret = np.where(known, final[picked] - final[best], np.nan)
    return Curve(regret, np.where(known, test[picked] - test[best], np.nan))


def trainings_to(history: History, target: float) -> float:
    """What was spent when a whole training first showed a loss of at most `target`; infinite where none did."""
    most = max((trial.steps for trial in history.trials), default=0)
    reached: list[Trial] = [trial for trial in history.trials if trial.steps == most and trial.loss <= target]
    return reached[0].spent if reached else float("inf")
