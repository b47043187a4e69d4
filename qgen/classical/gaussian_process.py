"""A Gaussian process over a few dozen losses, and the expected improvement that it sees in each candidate.

The kernel is given as Gram matrices, so that a quantum kernel and a radial one go through the same code. Among several
kernels (length scales, bandwidths) and noises the most likely one is taken.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from qgen import check
from qgen.types import Float

NOISES = (1e-3, 1e-2, 1e-1)
"""Variances of the noise that are tried, in units of the losses' variance."""
LENGTHS = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Length scales of the radial kernel that are tried, in the unit cube."""

Kernel = Callable[[Any, Any], np.ndarray]
"""`(rows, columns) -> Gram matrix` with ones for equal arguments."""


class Posterior(NamedTuple):
    """What is believed of the candidates: mean and standard deviation, in the losses' unit, [candidates]."""

    mean: Float[np.ndarray, " candidates"]
    deviation: Float[np.ndarray, " candidates"]


def radial(length: float) -> Kernel:
    """exp(-|x - y|^2 / (2 length^2))."""
    check.positive("length", length)

    def kernel(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        squares = (rows**2).sum(1)[:, None] + (columns**2).sum(1)[None] - 2 * rows @ columns.T
        return np.exp(-np.maximum(squares, 0) / (2 * length**2))

    return kernel


def posterior(
    kernels: Sequence[tuple[np.ndarray, np.ndarray]], losses: Float[np.ndarray, " n"]
) -> tuple[Posterior, int]:
    """The posterior under the most likely kernel and noise.

    Args:
        kernels: for each kernel the Gram matrix of what was seen, [n, n], and of candidates with it, [candidates, n];
            a candidate's own entry is 1.
        losses: [n], at least 2.

    Returns:
        The Posterior, and which kernel it took.

    Raises:
        ValueError: for no kernels, fewer than 2 losses, or matrices of other shapes.
    """
    n = len(losses)
    check.at_least("number of kernels", len(kernels), 1)
    check.at_least("number of losses", n, 2)
    middle, scale = float(np.mean(losses)), float(np.std(losses)) or 1.0
    y = (np.asarray(losses) - middle) / scale
    best: tuple[float, Any] = (-math.inf, None)
    for place, (gram, cross) in enumerate(kernels):
        check.shape("gram", gram, (n, n))
        check.shape("cross", cross, (None, n))
        values, vectors = np.linalg.eigh(gram)
        turned = vectors.T @ y
        for noise in NOISES:
            levels = np.maximum(values, 0) + noise
            likelihood = -0.5 * np.sum(turned**2 / levels) - 0.5 * np.sum(np.log(levels))
            if likelihood > best[0]:
                best = (likelihood, (place, vectors, turned, levels, cross))
    place, vectors, turned, levels, cross = best[1]
    seen = cross @ vectors
    mean = seen @ (turned / levels)
    variance = np.maximum(1 - np.sum(seen**2 / levels, axis=1), 1e-12)
    return Posterior(middle + scale * mean, scale * np.sqrt(variance)), place


def expected_improvement(belief: Posterior, best: float) -> Float[np.ndarray, " candidates"]:
    """E[max(best - loss, 0)] of every candidate."""
    from scipy.special import ndtr

    z = (best - belief.mean) / belief.deviation
    return belief.deviation * (z * ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))
