"""Study: a space, an objective, a strategy and a budget; run on one device, on many, or on many machines.

On several machines the same script is started once per process, after `jax.distributed.initialize()`, which finds out
about Slurm and Kubernetes by itself.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from qgen import check
from qgen.search.programs import Objective
from qgen.search.space import Space
from qgen.search.store import Store
from qgen.search.strategy import History, Proposal, Strategy, play
from qgen.search.sweep import Ended, sweep
from qgen.types import Key


@dataclasses.dataclass(frozen=True)
class Study:
    """What is searched, and how.

    Attributes:
        space: the axes.
        objective: the training run.
        strategy: the strategy.
        budget: whole trainings.
    """

    space: Space
    objective: Objective
    strategy: Strategy
    budget: int

    def __post_init__(self) -> None:
        """Refuses a budget that the strategy cannot work with."""
        check.at_least("budget", self.budget, max(1, self.strategy.least))

    def fields(self, key: Key) -> dict[str, Any]:
        """What tells this study from others, as JSON can hold it."""
        return {
            "axes": {name: repr(axis) for name, axis in self.space.axes.items()},
            "objective": self.objective.name,
            "steps": self.objective.steps,
            "strategy": self.strategy.name,
            "budget": self.budget,
            "key": np.asarray(jax.random.key_data(key)).ravel().tolist(),
        }


def run(
    key: Key,
    study: Study,
    *,
    path: Path | None = None,
    mesh: Mesh | None = None,
    memory_bytes: float | None = None,
) -> History:
    """Runs a study, or what is missing of it.

    Every trial trains with the same key, so that a configuration has one loss; an equal configuration is not trained
    again, though it is charged.

    Args:
        key: the random key of strategy and trainings.
        study: the study.
        path: the storage that every trial is written to as it ends; a killed study goes on from it. None: none.
        mesh: as in `sweep`.
        memory_bytes: as in `sweep`.

    Returns:
        The History, the same whether the study was interrupted or not.

    Raises:
        ValueError: if the storage belongs to another study, or the processes disagree on the study.
    """
    strategy_key, train_key = jax.random.split(key)
    fields = study.fields(key)
    check_agreement(fields)
    store = None if path is None else Store(path, fields)
    memory: dict[tuple, Ended] = dict(store.simulated) if store else {}

    def evaluate(proposal: Proposal, first: int | None) -> list[Ended]:
        points = proposal.points
        places = [tuple(point.tolist()) for point in points]
        stored = store.known if store else {}
        known = {} if first is None else {i: stored[first + i] for i in range(len(points)) if first + i in stored}
        found: dict[int, Ended] = {}

        def end(lane: int, ended: Ended) -> None:
            if store:
                number = None if first is None else first + lane
                store.end(number, points[lane], study.space.params(points[lane]), ended)

        def train(lanes: list[int], known: dict[int, Ended]) -> None:
            keys = jax.numpy.broadcast_to(train_key, (len(lanes),))
            result = sweep(
                study.objective,
                study.space,
                points[np.array(lanes)],
                keys,
                rungs=proposal.rungs,
                mesh=mesh,
                memory_bytes=memory_bytes,
                known=known,
                ended=lambda place, ended: end(lanes[place], ended),
            )
            for place, lane in enumerate(lanes):
                found[lane] = Ended(float(result.losses[place]), int(result.steps[place]))

        if proposal.rungs:
            train(list(range(len(points))), known)
        else:
            memory.update({places[lane]: ended for lane, ended in known.items()})
            fresh = {place: lane for lane, place in reversed(list(enumerate(places))) if place not in memory}
            if fresh:
                train(sorted(fresh.values()), {})
                memory.update({places[lane]: found[lane] for lane in fresh.values()})
            for lane, place in enumerate(places):
                if lane not in found:
                    found[lane] = memory[place]
                    if lane not in known and first is not None:
                        end(lane, memory[place])
        return [found[lane] for lane in range(len(points))]

    return play(strategy_key, study.space, study.strategy, study.budget, study.objective.steps, evaluate)


def check_agreement(fields: Any) -> None:
    """Raises ValueError unless every process was given the same study."""
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).digest()[:16]
    own = np.frombuffer(digest, np.uint8).astype(np.int32)
    if jax.process_count() == 1:
        return
    everyone = np.asarray(multihost_utils.process_allgather(own)).reshape(jax.process_count(), -1)
    if different := [rank for rank in range(len(everyone)) if (everyone[rank] != everyone[0]).any()]:
        raise ValueError(
            f"The processes disagree on the study: {different} have another one than process 0; start the same script "
            "with the same flags everywhere."
        )
