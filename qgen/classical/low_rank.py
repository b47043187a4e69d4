"""Low-rank factors of a weight matrix: truncated, randomised and activation-aware singular value decompositions.

A layer computes x @ matrix. Every method returns (a, b), [in, rank] and [rank, out], whose product stands for the
matrix at rank * (in + out) numbers; what counts is the error of the layer's outputs on inputs that it has not seen.
"""

import jax
import jax.numpy as jnp

from qgen import check
from qgen.types import Array, Float, Key

Factors = tuple[Float[Array, "in rank"], Float[Array, "rank out"]]
"""(a, b), for a @ b."""


def truncated(matrix: Float[Array, "in out"], rank: int) -> Factors:
    """The leading singular triplets: the best factors in Frobenius norm (Eckart and Young, 1936).

    Args:
        matrix: the weights.
        rank: triplets to keep.

    Raises:
        ValueError: if the rank is not in [1, min(in, out)].
    """
    check_rank(rank, matrix)
    u, s, vt = jnp.linalg.svd(matrix, full_matrices=False)
    return u[:, :rank] * s[None, :rank], vt[:rank]


def randomised(key: Key, matrix: Float[Array, "in out"], rank: int, oversampling: int = 8, powers: int = 2) -> Factors:
    """The SVD of a projection on the range of the matrix times random vectors (Halko et al., arXiv:0909.4061).

    Args:
        key: draws the vectors.
        matrix: the weights.
        rank: triplets to keep.
        oversampling: vectors beyond the rank.
        powers: further products with matrix and transpose, orthonormalised in between.

    Raises:
        ValueError: if the rank is not in [1, min(in, out)], or another number is negative.
    """
    check_rank(rank, matrix)
    check.at_least("oversampling", oversampling, 0)
    check.at_least("powers", powers, 0)
    width = min(rank + oversampling, *matrix.shape)
    basis = jnp.linalg.qr(matrix @ jax.random.normal(key, (matrix.shape[1], width), matrix.dtype))[0]
    for _ in range(powers):
        basis = jnp.linalg.qr(matrix @ jnp.linalg.qr(matrix.T @ basis)[0])[0]
    a, b = truncated(basis.T @ matrix, rank)
    return basis @ a, b


def activation_aware(
    matrix: Float[Array, "in out"], activations: Float[Array, "samples in"], rank: int, ridge: float = 1e-4
) -> Factors:
    """The factors of least output error on given inputs: the SVD of S matrix with S^T S = x^T x, and S^-1 before it.

    This is truncation-aware whitening (SVD-LLM, arXiv:2403.07378). By Eckart-Young on x @ matrix no factors of this
    rank have outputs closer to the given inputs' (up to the ridge).

    Args:
        matrix: the weights.
        activations: inputs of the layer, none of which should score the result.
        rank: triplets to keep.
        ridge: added to the diagonal of x^T x, in units of its mean; it decides where inputs are never seen.

    Raises:
        ValueError: if the rank is not in [1, min(in, out)], the inputs do not fit the matrix, or the ridge is not
            positive.
    """
    check_rank(rank, matrix)
    check.shape("activations", activations, (None, matrix.shape[0]))
    check.positive("ridge", ridge)
    moments = activations.T @ activations
    level = ridge * jnp.trace(moments) / matrix.shape[0]
    root = jnp.linalg.cholesky(moments + level * jnp.eye(matrix.shape[0], dtype=matrix.dtype)).T
    a, b = truncated(root @ matrix, rank)
    return jax.scipy.linalg.solve_triangular(root, a), b


def output_error(
    matrix: Float[Array, "in out"], factors: Factors, activations: Float[Array, "samples in"]
) -> Float[Array, ""]:
    """|x matrix - x a b| / |x matrix| in Frobenius norm."""
    outputs = activations @ matrix
    a, b = factors
    return jnp.linalg.norm(outputs - (activations @ a) @ b) / jnp.linalg.norm(outputs)


def kept(factors: Factors) -> int:
    """How many numbers the factors hold: rank * (in + out)."""
    return sum(factor.size for factor in factors)


def check_rank(rank: int, matrix: Array) -> None:
    """Raises ValueError if the rank is not in [1, min(in, out)]."""
    if not 1 <= rank <= min(matrix.shape):
        raise ValueError(
            f"Argument `rank` must lie in [1, {min(matrix.shape)}] for a matrix {matrix.shape[0]} x {matrix.shape[1]}, "
            f"but is {rank}."
        )
