"""Length-squared sampling: what a classical machine does with the same access to vectors that a swap test is given.

Whoever can prepare amplitudes a_i / |a| can as well sample the index i with probability a_i^2 / |a|^2. Then
b_i |a|^2 / a_i has the mean <a, b> and a variance of at most |a|^2 |b|^2 (Tang, arXiv:1807.04271), which is the twin of
the swap test's shot noise; on k-means it is the step of arXiv:2308.09701.
"""

import jax
import jax.numpy as jnp

from qgen import check
from qgen.types import Array, Float, Key


def sampled_vectors(key: Key, vectors: Float[Array, "items features"], samples: int) -> Float[Array, "items features"]:
    """Unbiased sparse stand-ins: entry i is |a|^2 / a_i times the share of `samples` draws that gave i.

    An inner product with a stand-in is the mean of `samples` draws of the estimator above.

    Args:
        key: the random key.
        vectors: rows, none of them zero.
        samples: draws per row, at least 1.

    Raises:
        ValueError: if `samples` is below 1.
    """
    check.at_least("samples", samples, 1)
    squares = vectors**2
    length = squares.sum(axis=1, keepdims=True)
    counts = jax.random.multinomial(key, jnp.float32(samples), squares / length)
    safe = jnp.where(vectors == 0, 1.0, vectors)
    return jnp.where(vectors == 0, 0.0, counts / samples * length / safe)


def distances(key: Key, items: Array, centroids: Array, samples: int) -> Float[Array, "items clusters"]:
    """Squared distances |a|^2 + |b|^2 - 2 <a, b> whose inner products are estimated from `samples` draws per item."""
    norms = (items**2).sum(1)[:, None] + (centroids**2).sum(1)[None, :]
    return norms - 2 * sampled_vectors(key, items, samples) @ centroids.T
