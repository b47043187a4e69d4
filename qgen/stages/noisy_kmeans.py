"""Squared distances and overlaps from swap tests, length-squared sampling or plain noise, for k-means."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen.classical import cluster, dequantised
from qgen.method import run
from qgen.quantum import swap_test
from qgen.types import Array, Key

CHUNK = 16_384
"""Pairs per call of the overlap estimators, so that they compile once whatever the clusters turn out to be."""


class Oracle(NamedTuple):
    """Where distances and overlaps come from.

    Attributes:
        distances: `(key, items, centroids, shots) -> squared distances`, [items, clusters].
        overlaps: `(key, items, pairs, shots) -> squared cosines of pairs of unit rows`, [pairs].
    """

    distances: Callable[[Key, Array, Array, int], Array]
    overlaps: Callable[[Key, Array, Array, int], Array]


def _gaussian_distances(key: Key, items: Array, centroids: Array, shots: int) -> Array:
    law, weight = swap_test.distance_law(items, centroids)
    noise = jax.random.normal(key, law.shape) * jnp.sqrt(law * (1 - law) / shots)
    return 4 * weight * (law - 0.5 + noise)


def _swap_test_overlaps(key: Key, items: Array, pairs: Array, shots: int) -> Array:
    return swap_test.overlaps(key, items[pairs[:, 0]], items[pairs[:, 1]], shots)


def _gaussian_overlaps(key: Key, items: Array, pairs: Array, shots: int) -> Array:
    law = swap_test.overlap_law(items[pairs[:, 0]], items[pairs[:, 1]])
    return 2 * (law + jax.random.normal(key, law.shape) * jnp.sqrt(law * (1 - law) / shots)) - 1


def _sampled_distances(key: Key, items: Array, centroids: Array, shots: int) -> Array:
    return dequantised.distances(key, items, centroids, samples=shots)


def _sampled_overlaps(key: Key, items: Array, pairs: Array, shots: int) -> Array:
    drawn = dequantised.sampled_vectors(key, items, shots)
    inner = (drawn[pairs[:, 0]] * items[pairs[:, 1]]).sum(axis=1)
    return jnp.sign(inner) * inner**2


ORACLES = {
    "swap_test": Oracle(swap_test.distances, _swap_test_overlaps),
    "length_squared": Oracle(_sampled_distances, _sampled_overlaps),
    "gaussian": Oracle(_gaussian_distances, _gaussian_overlaps),
}


@functools.partial(jax.jit, static_argnames=("oracle", "clusters", "iterations", "shots"))
def clustered(key: Key, items: Array, oracle: str, clusters: int, iterations: int, shots: int) -> Any:
    """A Run of k-means on the rows of `items` with the distances of an entry of ORACLES."""

    def distances(key: Key, items: Array, centroids: Array) -> Array:
        return ORACLES[oracle].distances(key, items, centroids, shots)

    return run(cluster.kmeans(distances, clusters), key, items, iterations)


@functools.partial(jax.jit, static_argnames=("oracle", "shots"))
def _overlap(key: Key, items: Array, pairs: Array, oracle: str, shots: int) -> Array:
    return ORACLES[oracle].overlaps(key, items, pairs, shots)


def overlaps(key: Key, items: Array, pairs: np.ndarray, oracle: str, shots: int) -> np.ndarray:
    """Estimated squared cosines of pairs of unit rows, [pairs], by an entry of ORACLES."""
    padded = np.concatenate([pairs, np.zeros((-len(pairs) % CHUNK, 2), dtype=pairs.dtype)])
    estimates = [
        np.asarray(_overlap(jax.random.fold_in(key, number), items, jnp.asarray(chunk), oracle, shots))
        for number, chunk in enumerate(np.split(padded, len(padded) // CHUNK))
    ]
    return np.concatenate(estimates)[: len(pairs)] if estimates else np.zeros(0)
