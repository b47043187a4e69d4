"""Scaling laws: energy against size, fitted in the logarithm, and used beyond the data only with their interval."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from qgen import check
from qgen.types import Array, Float, Key

KINDS = ("power", "exponential")


class Law(NamedTuple):
    """log(energy) = offset + slope * x, with x = log(size) for a power law and x = size for an exponential one.

    Attributes:
        kind: "power" or "exponential".
        offset: natural logarithm of the energy in joules at x = 0.
        slope: the exponent, or the rate per unit of size.
        inverse: inverse of the normal matrix, [2, 2].
        variance: residual variance of the logarithm.
        freedom: measurements minus two.
        residuals: log(measured) - log(fitted), [measurements].
    """

    kind: str
    offset: float
    slope: float
    inverse: np.ndarray
    variance: float
    freedom: int
    residuals: np.ndarray

    def interval(self, level: float = 0.9) -> tuple[float, float]:
        """Confidence interval of the slope."""
        half = _student(level, self.freedom) * np.sqrt(self.variance * self.inverse[1, 1])
        return float(self.slope - half), float(self.slope + half)


def fit(sizes: ArrayLike, energies_j: ArrayLike, kind: str) -> Law:
    """Least squares on the logarithm of the energy.

    Args:
        sizes: problem sizes, above 0, [measurements].
        energies_j: measured energies, above 0, [measurements].
        kind: "power" or "exponential".

    Returns:
        A Law.

    Raises:
        ValueError: for fewer than three measurements or two different sizes, or a number that is not finite and above
            0.
    """
    check.one_of("kind", kind, KINDS)
    n, energy = np.asarray(sizes, dtype=float), np.asarray(energies_j, dtype=float)
    if n.shape != energy.shape or n.ndim != 1 or n.size < 3 or len(set(n.tolist())) < 2:
        raise ValueError("Arguments `sizes` and `energies_j` must be two rows of at least three numbers and two sizes.")
    for name, values in (("sizes", n), ("energies_j", energy)):
        if not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(f"Argument `{name}` must hold finite numbers above 0, but holds {values.tolist()}.")
    design = np.stack([np.ones_like(n), _x(kind, n)], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    offset, slope = inverse @ design.T @ np.log(energy)
    residuals = np.log(energy) - design @ np.array([offset, slope])
    freedom = n.size - 2
    return Law(kind, float(offset), float(slope), inverse, float(residuals @ residuals / freedom), freedom, residuals)


def predict(law: Law, sizes: ArrayLike, level: float = 0.9) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Central value and the ends of the prediction interval for a new measurement at each size, in joules."""
    n = np.asarray(sizes, dtype=float)
    rows = np.stack([np.ones_like(n), _x(law.kind, n)], axis=-1)
    middle = rows @ np.array([law.offset, law.slope])
    spread = np.sqrt(law.variance * (1 + np.einsum("...i,ij,...j", rows, law.inverse, rows)))
    half = _student(level, law.freedom) * spread
    return np.exp(middle), np.exp(middle - half), np.exp(middle + half)


def sample(key: Key, law: Law, draws: int) -> tuple[Float[Array, "draws"], Float[Array, "draws"]]:
    """Draws of (offset, slope) from their joint t distribution: what the data leave open."""
    normal_key, chi_key = jax.random.split(key)
    root = np.linalg.cholesky(law.inverse * law.variance + 1e-300 * np.eye(2))
    normal = jax.random.normal(normal_key, (draws, 2))
    chi = jnp.sum(jax.random.normal(chi_key, (draws, law.freedom)) ** 2, axis=1, keepdims=True)
    offset, slope = (normal @ jnp.asarray(root).T * jnp.sqrt(law.freedom / chi)).T
    return law.offset + offset, law.slope + slope


def log_energy(kind: str, offset: Array, slope: Array, size: Array) -> Array:
    """Logarithm of the energy of a law at a size; broadcasts."""
    return offset + slope * (jnp.log(size) if kind == "power" else size)


def continued(
    offset: Float[Array, "draws"], slope: Float[Array, "draws"], largest: float, size: Array
) -> Float[Array, "draws"]:
    """Log energy of a classical power law; beyond the largest measured size it grows at least in proportion to size.

    Every item is read at least once, so a smaller exponent, which fixed costs give a law of small sizes, cannot go on.
    """
    beyond = jnp.maximum(jnp.log(size) - np.log(largest), 0.0)
    return offset + slope * (jnp.log(size) - beyond) + jnp.maximum(slope, 1.0) * beyond


def power_draws(
    key: Key, sizes: np.ndarray, log_energy: Float[Array, "draws measurements"]
) -> tuple[Float[Array, "draws"], Float[Array, "draws"]]:
    """Power law of every draw of a machine's numbers, with what its own fit leaves open.

    Args:
        key: random key.
        sizes: at which the machine was priced, [measurements], at least three.
        log_energy: natural logarithm of its energy there.

    Returns:
        Offset and slope of log(energy) against log(size), one of each per draw.
    """
    design = np.stack([np.ones_like(sizes), np.log(sizes)], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    central = log_energy @ jnp.asarray(design @ inverse)
    residual = log_energy - central @ jnp.asarray(design.T)
    freedom = sizes.size - 2
    spread = jnp.sqrt(jnp.sum(residual**2, axis=1, keepdims=True) / freedom)
    normal_key, chi_key = jax.random.split(key)
    normal = jax.random.normal(normal_key, central.shape) @ jnp.asarray(np.linalg.cholesky(inverse)).T
    chi = jnp.sum(jax.random.normal(chi_key, (central.shape[0], freedom)) ** 2, axis=1, keepdims=True)
    offset, slope = (central + normal * spread * jnp.sqrt(freedom / chi)).T
    return offset, slope


def _x(kind: str, n: np.ndarray) -> np.ndarray:
    return np.log(n) if kind == "power" else n


def _student(level: float, freedom: int) -> float:
    from scipy.stats import t

    check.within("level", level, 0, 1)
    return float(t.ppf(0.5 + level / 2, freedom))
