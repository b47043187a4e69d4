"""Ridge regression on a truncated Fourier series: what a re-uploading quantum regressor of equal degree can express.

On [0, 1]^d the functions are all products of 1, cos(k h), sin(k h), k <= degree, with h = pi (2 u - 1) per axis. Their
kernel is a product of Dirichlet kernels, so that the number of functions, (2 degree + 1)^d, never appears.
"""

import numpy as np

from qgen import check
from qgen.types import Float


def kernel(
    rows: Float[np.ndarray, "n axes"], columns: Float[np.ndarray, "m axes"], degree: int
) -> Float[np.ndarray, "n m"]:
    """The product over axes of (1 + 2 sum_k cos(2 pi k (u - v))) / (2 degree + 1); 1 for equal arguments.

    Raises:
        ValueError: if `degree` is below 1.
    """
    check.at_least("degree", degree, 1)
    gaps = 2 * np.pi * (np.asarray(rows)[:, None, :] - np.asarray(columns)[None, :, :])
    waves = 1 + 2 * sum(np.cos(k * gaps) for k in range(1, degree + 1))
    return np.prod(waves / (2 * degree + 1), axis=-1)


def ridge(
    seen: Float[np.ndarray, "n axes"],
    losses: Float[np.ndarray, " n"],
    candidates: Float[np.ndarray, "m axes"],
    degree: int,
    penalty: float = 1e-2,
) -> Float[np.ndarray, " m"]:
    """The fitted series at the candidates.

    Args:
        seen: points in the unit cube.
        losses: their losses.
        candidates: points in the unit cube.
        degree: of the series in each axis.
        penalty: on the squared norm of the coefficients, above 0.

    Raises:
        ValueError: if `degree` is below 1 or `penalty` is not positive.
    """
    check.positive("penalty", penalty)
    middle = float(np.mean(losses))
    gram = kernel(seen, seen, degree)
    weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), np.asarray(losses) - middle)
    return middle + kernel(candidates, seen, degree) @ weights
