"""k-means as a Method whose distances come from outside, so that exact, noisy and sampled distances share one loop."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.method import Info, Method
from qgen.types import Array, Float, Key

Distances = Callable[
    [Key, Float[Array, "items features"], Float[Array, "clusters features"]], Float[Array, "items clusters"]
]
"""`(key, items, centroids) -> squared distances`, exact or estimated."""


class KMeansState(NamedTuple):
    """Centroids [clusters, features] and the last assignment [items]."""

    centroids: Array
    labels: Array


def kmeans(distances: Distances, clusters: int) -> Method:
    """Lloyd's algorithm on any estimate of the squared distances.

    The problem is an array of items [items, features]; it starts from random items. An empty cluster keeps its
    centroid. `info.loss` is the exact inertia of the assignment to the centroids it was made with, a diagnostic that no
    decision uses. With swap-test distances this is the q-means of arXiv:1812.03584 and arXiv:2112.08506.

    Args:
        distances: estimates the squared distances.
        clusters: number of clusters, at least 2.

    Returns:
        A Method whose answer is the KMeansState.

    Raises:
        ValueError: if `clusters` is below 2 or, at trace time, above the number of items.
    """
    check.at_least("clusters", clusters, 2)

    def init(key: Key, items: Array) -> KMeansState:
        check.at_least("items", items.shape[0], clusters)
        first = jax.random.choice(key, items.shape[0], (clusters,), replace=False)
        return KMeansState(items[first], jnp.zeros(items.shape[0], dtype=jnp.int32))

    def step(key: Key, state: KMeansState, items: Array) -> tuple[KMeansState, Info]:
        estimates = distances(key, items, state.centroids)
        labels = jnp.argmin(estimates, axis=1).astype(jnp.int32)
        members = jax.nn.one_hot(labels, clusters, dtype=items.dtype)
        size = members.sum(axis=0)[:, None]
        means = members.T @ items / jnp.maximum(size, 1)
        loss = jnp.sum((items - state.centroids[labels]) ** 2)
        centroids = jnp.where(size > 0, means, state.centroids)
        return KMeansState(centroids, labels), Info(loss, jnp.isfinite(loss) & jnp.isfinite(estimates).all())

    return Method(init, step, lambda state, items: state)


def squared_distances(items: Float[Array, "items features"], centroids: Float[Array, "clusters features"]) -> Array:
    """Exact squared Euclidean distances, [items, clusters], never below zero."""
    cross = items @ centroids.T
    return jnp.maximum((items**2).sum(1)[:, None] + (centroids**2).sum(1)[None, :] - 2 * cross, 0.0)


def pairs_within(labels: np.ndarray) -> np.ndarray:
    """All pairs i < j of items with one label, [pairs, 2], on the host: their number depends on the labels."""
    labels = np.asarray(labels)
    found = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        first, second = np.triu_indices(len(members), k=1)
        found.append(np.stack([members[first], members[second]], axis=1))
    return np.concatenate(found) if found else np.zeros((0, 2), dtype=np.int64)
