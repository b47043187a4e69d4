"""Joint draws of everything uncertain: seeds, the meter, the building, the quantum machine.

One boundary for both sides: a quantum machine's watts contain its cooling and air conditioning, and a meter's joules do
not. So wherever the two meet, what was measured is multiplied by the data centre's facility factor, and what was
projected is not.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from qgen.record import Record
from qgen.report import statistics

_SEED = 20_820
FACILITY = (1.1, 1.3, 1.56)
"""Joules that a data centre draws per joule of its servers (PUE): low, central, high; the world's row of
`qgen/energy/grid.toml`, which says where they are from."""


class Draws(NamedTuple):
    """One row per draw.

    Attributes:
        weights: of the seeds in a mean over resampled seeds, [DRAWS, seeds].
        place: where in its declared range the meter's systematic error lies, in [-1, 1], [DRAWS].
        scores: where in its distribution the quantum machine lies, a standard normal number, [DRAWS].
        facility: the facility factor: one building for all that is measured, [DRAWS].
    """

    weights: np.ndarray
    place: np.ndarray
    scores: np.ndarray
    facility: np.ndarray


@functools.cache
def joint(seeds: int) -> Draws:
    """The draws for so many seeds; the meter's, the machine's and the building's are the same whatever their number."""
    rng = np.random.default_rng(_SEED)
    place, scores = rng.uniform(-1, 1, statistics.DRAWS), rng.standard_normal(statistics.DRAWS)
    low, central, high = FACILITY
    facility = statistics.within_range(central, low, high, rng.uniform(-1, 1, statistics.DRAWS))
    return Draws(statistics.resampled(rng, seeds), place, scores, facility)


def measured(fields: Sequence[Mapping[str, Any]], draws: Draws) -> np.ndarray:
    """Mean over seeds of what the building draws for a measured energy, in J.

    Args:
        fields: `measured` or `host` of one record per seed.
        draws: the joint draws.

    Returns:
        Measured energy times the facility factor, [DRAWS].
    """
    ranges = [(field["energy_j"], field["energy_low_j"], field["energy_high_j"]) for field in fields]
    values = [statistics.within_range(*bounds, draws.place) for bounds in ranges]
    return draws.facility * np.sum(draws.weights * np.stack(values, axis=1), axis=1)


def projected(rows: Sequence[Record], profile: str, draws: Draws, *, amortised: bool = False) -> np.ndarray:
    """Mean energy over seeds in J on one quantum machine, with what the building draws for the host part.

    Args:
        rows: one record per seed.
        profile: the machine's name.
        draws: the joint draws.
        amortised: whether the machine is charged for its waiting as well.

    Returns:
        Energies, [DRAWS].
    """
    field = "amortised_energy_j" if amortised else "energy_j"
    values = [statistics.redrawn(row.projected[profile][field], draws.scores) for row in rows]
    quantum = np.sum(draws.weights * np.stack(values, axis=1), axis=1)
    return quantum + measured([row.host for row in rows], draws) if rows[0].host else quantum
