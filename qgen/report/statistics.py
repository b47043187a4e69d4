"""Intervals and draws: means over seeds, paired bootstrap, and distributions drawn again from stored quantiles.

The mean over seeds gets Student's t interval: with the two to ten seeds of an experiment, bootstrap intervals of a mean
are too narrow (Colas, Sigaud, Oudeyer, "How many random seeds?", arXiv 1806.08295). Probabilities that join seeds with
energy ranges are counted over joint draws, in which the seeds are resampled in pairs.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from qgen.record import QUANTILE_LEVELS

DRAWS = 10_000
_SCORES = np.array([NormalDist().inv_cdf(level) for level in QUANTILE_LEVELS])


class Interval(NamedTuple):
    """A central value with an interval; `low` and `high` are NaN where there is none, as with one seed."""

    central: float
    low: float
    high: float


def mean_interval(values: Sequence[float] | np.ndarray, coverage: float = 0.95) -> Interval:
    """Mean with Student's t interval; a single value has no interval.

    Args:
        values: one number per seed, at least one.
        coverage: the interval's nominal coverage, in (0, 1).

    Raises:
        ValueError: if there are no values.
    """
    if len(values) == 0:
        raise ValueError("Argument `values` must hold at least one number, but is empty.")
    mean = float(np.mean(values))
    if len(values) == 1:
        return Interval(mean, math.nan, math.nan)
    half = student_quantile(coverage, len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def student_quantile(coverage: float, degrees: int) -> float:
    """The t with P(|T| < t) = coverage for Student's distribution, by bisection.

    Args:
        coverage: in (0, 1).
        degrees: degrees of freedom, at least 1.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"Argument `coverage` must lie in (0, 1), but is {coverage}.")
    if degrees < 1:
        raise ValueError(f"Argument `degrees` must be at least 1, but is {degrees}.")
    # Bisect in the angle atan(t / sqrt(degrees)), which is bounded.
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _central_mass(middle, degrees) < coverage else (low, middle)
    return math.tan(low) * math.sqrt(degrees)


def _central_mass(angle: float, degrees: int) -> float:
    """P(|T| < sqrt(degrees) tan(angle)), the finite sums 26.7.3 and 26.7.4 of Abramowitz and Stegun."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term, total = (cosine, cosine) if odd else (1.0, 1.0)
    if degrees == 1:
        total = 0.0
    for k in range(2 + odd, degrees - 1, 2):
        term *= (k - 1) / k * cosine**2
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def resampled(rng: np.random.Generator, n: int, draws: int = DRAWS) -> np.ndarray:
    """Bootstrap weights: the mean over resampled seeds is `weights @ values`.

    Args:
        rng: the generator.
        n: number of seeds.
        draws: number of resamples.

    Returns:
        Weights, [draws, n], each row non-negative with sum 1.
    """
    return rng.multinomial(n, np.full(n, 1 / n), size=draws) / n


def redrawn(quantiles: Sequence[float], scores: np.ndarray) -> np.ndarray:
    """Draws from a positive distribution that is known by its quantiles at `record.QUANTILE_LEVELS`.

    Between two levels the logarithm is linear in the normal score, so a log-normal distribution comes back exactly;
    beyond the outermost levels the outermost quantiles stand.

    Args:
        quantiles: one number per level, at least 0.
        scores: standard normal numbers, [...]; sharing them makes two distributions move together.

    Returns:
        Draws, [...].

    Raises:
        ValueError: if the number of quantiles differs from the number of levels, or they decrease.
    """
    values = np.asarray(quantiles, dtype=float)
    if values.shape != _SCORES.shape:
        raise ValueError(f"Argument `quantiles` must have shape {_SCORES.shape}, but has shape {values.shape}.")
    if np.any(np.diff(values) < 0) or values[0] < 0:
        raise ValueError("Argument `quantiles` must be at least 0 and must not decrease.")
    return np.exp(np.interp(scores, _SCORES, np.log(np.maximum(values, np.finfo(float).tiny))))


def within_range(central: float, low: float, high: float, place: np.ndarray) -> np.ndarray:
    """Draws from a declared range, uniform on either side of its central value.

    Args:
        central: the middle of the range.
        low: its lower end, at least 0.
        high: its upper end.
        place: where in the range, in [-1, 1]: -1 is `low`, 0 `central`, 1 `high`. Readings of one meter share it.

    Returns:
        Draws, of the shape of `place`.

    Raises:
        ValueError: unless 0 <= low <= central <= high.
    """
    if not 0 <= low <= central <= high:
        raise ValueError(f"A range must have 0 <= low <= central <= high, but has {low}, {central}, {high}.")
    return central + np.where(place < 0, place * (central - low), place * (high - central))


def summary(draws: np.ndarray) -> Interval:
    """Median and 5 % and 95 % quantiles of draws."""
    low, median, high = np.quantile(draws, [0.05, 0.5, 0.95])
    return Interval(float(median), float(low), float(high))
