"""Smaller embedding tables: word2ket's tensor products, product quantisation, and random vectors of equal norms."""

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.types import Array, Float, Key


def word2ket(vectors: Float[Array, "items features"], rank: int) -> Float[Array, "items features"]:
    """Each vector as a sum of `rank` tensor products of two shorter ones (word2ket of order 2, arXiv:1911.04975).

    v = sum_k a_k (x) b_k, where the lengths of a_k and b_k multiply to the number of features and differ as little as
    possible. The best fit of a given vector is the truncated SVD of its reshape to a matrix (Eckart-Young). Storage per
    item: rank times the sum of the two lengths, in place of their product.

    Args:
        vectors: rows of any length.
        rank: terms per item, at least 1.

    Returns:
        The rebuilt vectors.

    Raises:
        ValueError: if `rank` is below 1.
    """
    check.at_least("rank", rank, 1)
    features = vectors.shape[1]
    rows = max(side for side in range(1, int(features**0.5) + 1) if features % side == 0)
    left, strength, right = jnp.linalg.svd(vectors.reshape(-1, rows, features // rows), full_matrices=False)
    kept = strength * (jnp.arange(rows) < rank)[None, :]
    return jnp.einsum("nik,nk,nkj->nij", left, kept, right).reshape(vectors.shape)


def product_quantised(vectors: np.ndarray, parts: int, codes: int, seed: int) -> np.ndarray:
    """Each part of each vector replaced by the nearest of `codes` centroids (Jegou, Douze, Schmid, TPAMI 2011).

    Args:
        vectors: [items, features].
        parts: pieces per vector; divides the features.
        codes: centroids per piece, at most the number of items.
        seed: the seed of k-means.

    Returns:
        The rebuilt vectors, float32.

    Raises:
        ValueError: if `parts` does not divide the features or `codes` is out of range.
    """
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    vectors = np.asarray(vectors, dtype=np.float32)
    check.within("codes", codes, 2, len(vectors))
    check.at_least("parts", parts, 1)
    if vectors.shape[1] % parts:
        raise ValueError(f"Argument `parts` must divide {vectors.shape[1]} features, but is {parts}.")
    rebuilt = []
    for piece in np.split(vectors, parts, axis=1):
        with threadpool_limits(1):  # BLAS threads only spin on pieces this narrow
            model = MiniBatchKMeans(codes, random_state=seed, n_init="auto", batch_size=1024).fit(piece)
            rebuilt.append(model.cluster_centers_[np.asarray(model.predict(piece))])
    return np.concatenate(rebuilt, axis=1).astype(np.float32)


def random_vectors(key: Key, vectors: Float[Array, "items features"]) -> Float[Array, "items features"]:
    """Gaussian directions with the norms of the given rows: what is left when nothing is known but the norms."""
    drawn = jax.random.normal(key, vectors.shape)
    scale = jnp.linalg.norm(vectors, axis=1, keepdims=True) / jnp.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn * scale
