"""Joint draws of everything uncertain: seeds, the meter, the quantum machine."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from qgen.record import Record
from qgen.report import statistics

_SEED = 20_820


class Draws(NamedTuple):
    """One row per draw.

    Attributes:
        weights: of the seeds in a mean over resampled seeds, [DRAWS, seeds].
        place: where in its declared range the meter's systematic error lies, in [-1, 1], [DRAWS].
        scores: where in its distribution the quantum machine lies, a standard normal number, [DRAWS].
    """

    weights: np.ndarray
    place: np.ndarray
    scores: np.ndarray


@functools.cache
def joint(seeds: int) -> Draws:
    """The draws for so many seeds; the meter's and the machine's are the same whatever their number."""
    rng = np.random.default_rng(_SEED)
    place, scores = rng.uniform(-1, 1, statistics.DRAWS), rng.standard_normal(statistics.DRAWS)
    return Draws(statistics.resampled(rng, seeds), place, scores)


def measured(fields: Sequence[Mapping[str, Any]], draws: Draws) -> np.ndarray:
    """Mean measured energy over seeds in J, [DRAWS]; `fields` is `measured` or `host` of one record per seed."""
    ranges = [(field["energy_j"], field["energy_low_j"], field["energy_high_j"]) for field in fields]
    values = [statistics.within_range(*bounds, draws.place) for bounds in ranges]
    return np.sum(draws.weights * np.stack(values, axis=1), axis=1)


def projected(rows: Sequence[Record], profile: str, draws: Draws) -> np.ndarray:
    """Mean energy over seeds in J on one quantum machine, with the measured host part, [DRAWS]; one row per seed."""
    values = [statistics.redrawn(row.projected[profile]["energy_j"], draws.scores) for row in rows]
    quantum = np.sum(draws.weights * np.stack(values, axis=1), axis=1)
    return quantum + measured([row.host for row in rows], draws) if rows[0].host else quantum
