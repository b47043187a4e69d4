"""Muon: momentum whose matrices are orthogonalised by Newton-Schulz iterations, as an optax transformation."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from qgen import check
from qgen.types import Array, Float, Params

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic a x + b x^3 + c x^5 that drives every singular value towards 1 (K. Jordan et al. 2024)."""
ADAM_RMS = 0.2
"""The root mean square of an update: AdamW's typical one, so that both share a learning rate (arXiv:2502.16982)."""


def orthogonalise(
    matrices: Float[Array, "*stack rows columns"], iterations: int = 5
) -> Float[Array, "*stack rows columns"]:
    """Matrices with nearly the same singular vectors and singular values near 1 (between about 0.7 and 1.2).

    Args:
        matrices: any real matrices, not zero.
        iterations: Newton-Schulz steps, at least 1.

    Raises:
        ValueError: if `iterations` is below 1.
    """
    check.at_least("iterations", iterations, 1)
    a, b, c = COEFFICIENTS
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    x = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + 1e-7)
    for _ in range(iterations):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x if wide else x.mT


class State(NamedTuple):
    """The momentum, like the parameters."""

    momentum: Params


def scale_by_muon(decay: float | Array = 0.95) -> optax.GradientTransformation:
    """Nesterov momentum, orthogonalised, with the root mean square of a typical AdamW update; for matrices only.

    Args:
        decay: of the momentum, in [0, 1); may be traced.
    """

    def init(params: Params) -> State:
        return State(jax.tree.map(jnp.zeros_like, params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, State]:
        momentum = jax.tree.map(lambda m, g: decay * m + g, state.momentum, updates)
        ahead = jax.tree.map(lambda m, g: decay * m + g, momentum, updates)
        leaves, structure = jax.tree.flatten(ahead)
        # Matrices of one shape go through the iterations together: a program that is shorter to compile and to run.
        for shape in sorted({leaf.shape for leaf in leaves}):
            places = [place for place, leaf in enumerate(leaves) if leaf.shape == shape]
            turned = ADAM_RMS * math.sqrt(max(shape)) * orthogonalise(jnp.stack([leaves[place] for place in places]))
            for place, matrix in zip(places, turned, strict=True):
                leaves[place] = matrix
        return jax.tree.unflatten(structure, leaves), State(momentum)

    return optax.GradientTransformation(init, update)
