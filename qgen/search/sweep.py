"""Sweep: many training runs as one program, vectorised over configurations and sharded over devices and processes.

Configurations whose static axes agree share one compiled program, in which every other hyperparameter is traced. The
program runs a chunk of lanes side by side; how many follows from its own memory, as the compiler reports it. Between
the rungs of successive halving the surviving lanes close up, so that a lane that was stopped costs nothing more.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from qgen import check
from qgen.search.programs import AXIS, Group, Objective, Programs
from qgen.search.space import Space
from qgen.types import Float, Int, Key


class Rung(NamedTuple):
    """A stop of successive halving.

    Attributes:
        steps: steps that a lane has done when it arrives.
        keep: how many lanes go on.
    """

    steps: int
    keep: int


class Ended(NamedTuple):
    """How one lane ended: its last loss (NaN: it failed) and the steps that it did."""

    loss: float
    steps: int


class Sweep(NamedTuple):
    """What a sweep found.

    Attributes:
        losses: the last loss of every lane, NaN where it failed, [lanes].
        steps: steps that every lane did, [lanes].
        curves: the loss at every rung and at the end, NaN after a lane's stop, [lanes, rungs + 1].
        lane_steps: steps that the programs ran, with lanes that only fill up a chunk.
        compile_s: wall time of compilation.
    """

    losses: Float[np.ndarray, " lanes"]
    steps: Int[np.ndarray, " lanes"]
    curves: Float[np.ndarray, "lanes stops"]
    lane_steps: int
    compile_s: float


def sweep(
    objective: Objective,
    space: Space,
    points: Float[np.ndarray, "lanes axes"],
    keys: Key,
    *,
    rungs: Sequence[Rung] = (),
    mesh: Mesh | None = None,
    memory_bytes: float | None = None,
    known: Mapping[int, Ended] | None = None,
    ended: Callable[[int, Ended], None] | None = None,
) -> Sweep:
    """Trains every configuration.

    Args:
        objective: the training run.
        space: names the axes of the points.
        points: one configuration per lane, in the unit cube.
        keys: one random key per lane, [lanes].
        rungs: stops at which only the best lanes go on (all groups ranked together); their states stay on the devices
            in between, so the whole population must fit.
        mesh: devices in a row, on the axis "population", of one or of several processes that all make this call;
            None: the default device.
        memory_bytes: what the lanes that run side by side may take per device; None: most of an accelerator's free
            memory, and what a CPU's caches hold (one lane at a time for a short sweep, so as to compile once).
        known: lanes that ended in an earlier, interrupted sweep.
        ended: called for every other lane as soon as it ends.

    Returns:
        The Sweep, the same for every mesh and memory limit up to rounding.

    Raises:
        ValueError: for points or keys of a wrong shape, no points, rungs that do not rise or keep more lanes than
            arrive, or a lane that needs more memory than there is.
    """
    points = space.canonical(points)
    n_lanes = len(points)
    check.at_least("number of points", n_lanes, 1)
    check.shape("keys", keys, (n_lanes,))
    _check_rungs(rungs, n_lanes, objective.steps)
    known = dict(known or {})
    programs = Programs(objective, space.traced, mesh, memory_bytes)
    configs = [space.config(point) for point in points]
    groups = _groups(space, configs, [lane for lane in range(n_lanes) if not _is_whole(known, lane, rungs, objective)])
    stops = [*(rung.steps for rung in rungs), objective.steps]
    curves = np.full((n_lanes, len(stops)), np.nan)
    done = np.zeros(n_lanes, int)
    losses = np.full(n_lanes, np.nan)
    alive = set(range(n_lanes))

    def end(lane: int) -> None:
        if lane not in known and ended is not None:
            ended(lane, Ended(float(losses[lane]), int(done[lane])))

    start = 0
    for place, stop in enumerate(stops):
        is_last = place == len(stops) - 1
        for lane in alive & known.keys():
            done[lane] = min(stop, known[lane].steps)
            losses[lane] = known[lane].loss if known[lane].steps == stop else -np.inf  # it is known to go on
        for group in groups:
            for chunk, found in programs.advance(group, configs, keys, start, stop, len(stops) > 1):
                losses[chunk], done[chunk] = found, stop
                if is_last:
                    for lane in chunk:
                        end(lane)
        curves[list(alive), place] = losses[list(alive)]
        if not is_last:
            ranked = sorted((lane for lane in alive if not np.isnan(losses[lane])), key=lambda lane: losses[lane])
            going = set(ranked[: rungs[place].keep])
            for lane in sorted(alive - going):
                end(lane)
            alive = going
            for group in groups:
                group.keep(alive)
        start = stop
    curves[np.isneginf(curves)] = np.nan
    return Sweep(losses, done, curves, programs.lane_steps, programs.compile_s)


def _check_rungs(rungs: Sequence[Rung], n_lanes: int, steps: int) -> None:
    left, done = n_lanes, 0
    for rung in rungs:
        if not (done < rung.steps < steps and 1 <= rung.keep <= left):
            raise ValueError(
                f"Argument `rungs` must have rising steps below {steps} and keep at least one of the lanes that "
                f"arrive, but is {tuple(map(tuple, rungs))} for {n_lanes} lanes."
            )
        left, done = rung.keep, rung.steps


def _is_whole(known: Mapping[int, Ended], lane: int, rungs: Sequence[Rung], objective: Objective) -> bool:
    """Whether a lane need not be run again; steps that no stop has belong to another plan."""
    if lane not in known:
        return False
    check.one_of("steps of a known lane", known[lane].steps, [*(rung.steps for rung in rungs), objective.steps])
    return True


def _groups(space: Space, configs: Sequence[Mapping[str, Any]], lanes: Sequence[int]) -> list[Group]:
    groups: dict[tuple, Group] = {}
    for lane in lanes:
        static = {name: configs[lane][name] for name in space.statics}
        groups.setdefault(tuple(map(repr, static.values())), Group(static, [])).lanes.append(lane)
    return list(groups.values())


def population_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh for `sweep`: devices in a row; all devices of all processes where left out."""
    chosen = jax.devices() if devices is None else list(devices)
    check.at_least("number of devices", len(chosen), 1)
    return Mesh(np.array(chosen), (AXIS,))
