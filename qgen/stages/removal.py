"""What a model loses without some of its residual branches: the loss itself, and a quadratic energy made from it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.classical import subset
from qgen.lm import train, transformer
from qgen.types import Array, Params

EXPANSIONS = ("pairs", "taylor")


def energy(params: Params, model: transformer.Config, windows: Array, kind: str) -> subset.Quadratic:
    """The `expansion` as NumPy arrays, for searches on a few numbers."""
    return subset.Quadratic(*map(np.asarray, expansion(params, model, windows, kind)))


@functools.partial(jax.jit, static_argnames=("model", "kind"))
def expansion(params: Params, model: transformer.Config, windows: Array, kind: str) -> subset.Quadratic:
    """The calibration loss as a quadratic function of the removals x = 1 - gates, without its constant.

    Args:
        params: the parameters.
        model: the architecture.
        windows: calibration windows.
        kind: "pairs": exact for one and two removals, from N (N + 1) / 2 + 1 evaluations of the loss; "taylor":
            gradient and Hessian in the gates at 1, which sees removals as small changes.

    Raises:
        ValueError: for an unknown kind.
    """
    check.one_of("expansion", kind, EXPANSIONS)
    n = 2 * model.depth

    def loss(gates: Array) -> Array:
        return train.loss(params, model, windows[:, :-1], windows[:, 1:], gates=gates)

    if kind == "taylor":

        def slope_twice(gates: Array) -> tuple[Array, Array]:
            slope = jax.grad(loss)(gates)
            return slope, slope

        curvature, slope = jax.jacfwd(slope_twice, has_aux=True)(jnp.ones(n))
        return subset.Quadratic(-slope, 0.5 * (curvature + curvature.T))
    rows, columns = np.triu_indices(n)
    removals = np.zeros((len(rows) + 1, n), np.float32)
    removals[np.arange(len(rows)), rows] = removals[np.arange(len(rows)), columns] = 1.0
    losses = jax.lax.map(lambda removed: loss(1 - removed), jnp.asarray(removals))
    rises = jnp.zeros((n, n)).at[rows, columns].set(losses[:-1] - losses[-1])
    single = jnp.diagonal(rises)
    couplings = jnp.triu(rises - single[:, None] - single[None, :], 1)
    return subset.Quadratic(single, couplings + couplings.T)


@functools.partial(jax.jit, static_argnames="model")
def losses_without_each(params: Params, model: transformer.Config, windows: Array, gates: Array) -> Array:
    """The calibration loss with one more branch removed, [2 * depth]; infinite for those already gone."""

    def loss(branch: Array) -> Array:
        return train.loss(params, model, windows[:, :-1], windows[:, 1:], gates=gates.at[branch].set(0.0))

    return jnp.where(gates == 0, jnp.inf, jax.lax.map(loss, jnp.arange(2 * model.depth)))
