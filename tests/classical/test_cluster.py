import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.classical import cluster
from qgen.method import run

TOLERANCE = 1e-5


def exact(key, items, centroids):
    return cluster.squared_distances(items, centroids)


def blobs():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 5)) * 4
    return jnp.asarray(centres[np.arange(60) % 3] + rng.normal(size=(60, 5)), dtype=jnp.float32)


def test_squared_distances():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(7, 4)), rng.normal(size=(3, 4))
    expected = ((a[:, None] - b[None]) ** 2).sum(-1)
    found = cluster.squared_distances(jnp.asarray(a, dtype=jnp.float32), jnp.asarray(b, dtype=jnp.float32))
    assert np.allclose(found, expected, atol=1e-4)


def test_exact_distances_give_lloyds_algorithm(key):
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    items = blobs()
    method = cluster.kmeans(exact, 3)
    start = method.init(jax.random.split(key)[0], items)
    found = run(method, key, items, 12)
    with threadpool_limits(1):
        model = KMeans(3, init=np.asarray(start.centroids), n_init=1, max_iter=12, tol=0).fit(np.asarray(items))
    assert np.array_equal(found.answer.labels, model.labels_)
    assert np.allclose(found.answer.centroids, model.cluster_centers_, atol=1e-4)
    assert float(found.info.loss[-1]) == pytest.approx(model.inertia_, rel=1e-4)
    assert np.all(np.diff(found.info.loss) <= TOLERANCE * found.info.loss[0])


def test_an_empty_cluster_keeps_its_centroid(key):
    items = blobs()
    method = cluster.kmeans(exact, 2)
    far = jnp.full((1, 5), 1e3)
    state = cluster.KMeansState(jnp.concatenate([items[:1], far]), jnp.zeros(60, dtype=jnp.int32))
    after, info = method.step(key, state, items)
    assert np.array_equal(after.centroids[1], far[0])
    assert bool(info.ok)


def test_pairs_within():
    assert cluster.pairs_within(np.array([2, 0, 2, 0, 2, 1])).tolist() == [[1, 3], [0, 2], [0, 4], [2, 4]]
    assert cluster.pairs_within(np.zeros(0, dtype=int)).shape == (0, 2)


def test_wrong_arguments(key):
    with pytest.raises(ValueError, match="clusters"):
        cluster.kmeans(exact, 1)
    with pytest.raises(ValueError, match="items"):
        run(cluster.kmeans(exact, 61), key, blobs(), 1)
