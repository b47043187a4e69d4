"""Low-rank factors from sampled entries: what a classical machine does with the access that quantum SVD is given.

Frieze, Kannan and Vempala (JACM 51, 1025): rows drawn with probability |row|^2 / |matrix|_F^2, then columns likewise,
and the SVD of the small scaled matrix. It is the core of Tang's dequantisation (arXiv:1807.04271), studied in practice
by Arrazola et al. (arXiv:1905.10415). Beyond the norms it reads rows * columns entries, whatever the matrix's size.
"""

import jax
import jax.numpy as jnp

from qgen import check
from qgen.classical.low_rank import Factors, check_rank
from qgen.types import Array, Float, Key


def sampled(key: Key, matrix: Float[Array, "in out"], rank: int, rows: int, columns: int) -> Factors:
    """matrix @ v and v^T, v the approximate leading right singular vectors of a sampled submatrix.

    Args:
        key: draws rows and columns.
        matrix: the weights, not zero.
        rank: vectors to keep.
        rows: sampled rows, at least `rank`, with replacement.
        columns: sampled columns, at least `rank`, with replacement.

    Returns:
        (a, b); where fewer than `rank` directions were sampled, the other columns of a are near zero.

    Raises:
        ValueError: if the rank is not in [1, min(in, out)], or fewer rows or columns are sampled.
    """
    check_rank(rank, matrix)
    check.at_least("rows", rows, rank)
    check.at_least("columns", columns, rank)
    row_key, column_key = jax.random.split(key)
    thin = sampled_rows(row_key, matrix, rows)
    # A row first, all of equal length now, then an entry of it by its square.
    chances = jnp.mean(thin**2 / jnp.sum(thin**2, axis=1, keepdims=True), axis=0)
    drawn = jax.random.categorical(column_key, jnp.log(chances), shape=(columns,))
    small = thin[:, drawn] / jnp.sqrt(columns * chances[drawn])[None, :]
    u, s, _ = jnp.linalg.svd(small, full_matrices=False)
    u, s = u[:, :rank], s[:rank]
    floor = jnp.finfo(matrix.dtype).eps * max(rows, columns) * s[0]
    v = thin.T @ jnp.where(s > floor, u / jnp.maximum(s, floor)[None, :], 0.0)
    return matrix @ v, v.T


def sampled_rows(key: Key, matrix: Float[Array, "in out"], rows: int) -> Float[Array, "rows out"]:
    """Rows drawn by their squared norms and scaled so that the mean of s^T s is matrix^T matrix."""
    squares = jnp.sum(matrix**2, axis=1)
    chances = squares / jnp.sum(squares)
    drawn = jax.random.categorical(key, jnp.log(chances), shape=(rows,))
    return matrix[drawn] / jnp.sqrt(rows * chances[drawn])[:, None]
