"""Q-GP-UCB (Dai et al., arXiv:2310.05373) as a query model: what quantum Monte Carlo would save, if training were one.

The loss of a configuration is taken for the mean of a random variable of deviation sigma that a quantum computer could
sample coherently. An estimate to the error e then takes about sigma / e queries, where classical sampling takes
(sigma / e)^2 (arXiv:1504.06987, without its constants and logarithms: in the quantum arm's favour). The estimate is
simulated as the true value with a normal error of e. Nothing here trains in superposition.
"""

import math
from typing import NamedTuple

import numpy as np

from qgen import check
from qgen.types import Float

FEATURES = 200
LENGTH = 0.3
WIDTH = 1.0
"""beta, how many deviations below the mean the bound lies."""
RIDGE = 1.0


class Query(NamedTuple):
    """What to look at next: the candidate's place, the error to estimate it to, and how many queries that takes."""

    place: int
    error: float
    queries: int


def random_features(generator: np.random.Generator, axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies [axes, FEATURES] and phases of random Fourier features of a radial kernel."""
    return generator.normal(size=(axes, FEATURES)) / LENGTH, generator.uniform(0, 2 * np.pi, FEATURES)


def mapped(
    draws: tuple[np.ndarray, np.ndarray], points: Float[np.ndarray, "n axes"]
) -> Float[np.ndarray, "n features"]:
    """The features of points."""
    return math.sqrt(2 / FEATURES) * np.cos(points @ draws[0] + draws[1])


def query(
    seen: Float[np.ndarray, "n features"],
    estimates: Float[np.ndarray, " n"],
    errors: Float[np.ndarray, " n"],
    candidates: Float[np.ndarray, "m features"],
    sigma: float,
    power: int = 1,
) -> Query:
    """The candidate of least lower confidence bound, with the error and the queries of its estimate.

    Args:
        seen: features of the estimated configurations.
        estimates: of their losses, standardised.
        errors: of the estimates.
        candidates: features.
        sigma: deviation of one query, in the estimates' unit.
        power: 1: quantum Monte Carlo; 2: classical sampling, the control.

    Raises:
        ValueError: if `sigma` or an error is not positive, or `power` is neither 1 nor 2.
    """
    check.positive("sigma", sigma)
    check.positive("least error", float(np.min(errors)))
    check.one_of("power", power, (1, 2))
    weights = 1 / np.asarray(errors) ** 2
    precision = RIDGE * np.eye(seen.shape[1]) + (seen.T * weights) @ seen
    solved = np.linalg.solve(
        precision, np.concatenate([(seen.T @ (weights * estimates))[:, None], candidates.T], axis=1)
    )
    mean = candidates @ solved[:, 0]
    deviation = np.sqrt(np.maximum(RIDGE * np.einsum("mf,fm->m", candidates, solved[:, 1:]), 1e-12))
    place = int(np.argmin(mean - WIDTH * deviation))
    error = float(deviation[place])
    return Query(place, error, max(1, math.ceil((sigma / error) ** power)))
