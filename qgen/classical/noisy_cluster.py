"""k-means for distances that are estimates: items remember, centroids follow.

Lloyd's step trusts the last estimate of every distance. Here each item keeps a running mean of its estimates, and each
centroid moves towards its winners only part of the way, as in competitive learning; both so that noise averages out.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from qgen import check
from qgen.classical.cluster import Distances
from qgen.method import Info, Method
from qgen.types import Array, Key


class State(NamedTuple):
    """Centroids [clusters, features], running means of the estimates [items, clusters], labels and steps done."""

    centroids: Array
    estimates: Array
    labels: Array
    steps: Array


def kmeans(distances: Distances, clusters: int) -> Method:
    """k-means with running means of the estimates and centroids that follow at a falling rate.

    Step t takes a share 1 / (1 + t) of the new estimates, at least a quarter, as the centroids still move; centroids go
    at least half of the way. The problem is an array of items [items, features]; `info.loss` is as in `cluster.kmeans`.

    Args:
        distances: estimates the squared distances.
        clusters: number of clusters, at least 2.

    Returns:
        A Method whose answer is the State.

    Raises:
        ValueError: if `clusters` is below 2.
    """
    check.at_least("clusters", clusters, 2)

    def init(key: Key, items: Array) -> State:
        return started(jax.random.choice(key, items, (clusters,), replace=False), items)

    def step(key: Key, state: State, items: Array) -> tuple[State, Info]:
        rate = jnp.maximum(1 / (1 + state.steps), 0.25)
        fresh = distances(key, items, state.centroids)
        estimates = (1 - rate) * state.estimates + rate * fresh
        labels = jnp.argmin(estimates, axis=1).astype(jnp.int32)
        members = jax.nn.one_hot(labels, clusters, dtype=items.dtype)
        size = members.sum(axis=0)[:, None]
        means = members.T @ items / jnp.maximum(size, 1)
        moved = state.centroids + jnp.maximum(rate, 0.5) * (means - state.centroids)
        loss = jnp.sum((items - state.centroids[labels]) ** 2)
        centroids = jnp.where(size > 0, moved, state.centroids)
        return State(centroids, estimates, labels, state.steps + 1), Info(loss, jnp.isfinite(fresh).all())

    return Method(init, step, lambda state, items: state)


def started(start: Array, items: Array) -> State:
    """The state before the first step, whose estimates count for nothing."""
    n, k = items.shape[0], start.shape[0]
    return State(start, jnp.zeros((n, k)), jnp.zeros(n, dtype=jnp.int32), jnp.zeros((), dtype=jnp.int32))
