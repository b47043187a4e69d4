"""Factorisation machine: a quadratic surrogate of losses over one-hot strings, as FMQA fits it (arXiv:2507.18003).

loss(x) = w0 + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j, with few numbers per v_i, so that few losses fit it.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qgen import check
from qgen.classical.subset import Quadratic
from qgen.types import Array, Float, Int, Key

STEPS = 200
RATE = 0.1
ROWS = 32
"""Losses are padded to a multiple of this, so that a growing study compiles rarely."""


def one_hot(cells: Int[np.ndarray, "n axes"], shape: Sequence[int]) -> Float[np.ndarray, "n bits"]:
    """The strings of cells: for every axis as many bits as it has values, one of them set."""
    return np.concatenate([np.eye(size)[np.asarray(cells)[:, axis]] for axis, size in enumerate(shape)], axis=1)


def fit(
    key: Key, bits: Float[np.ndarray, "n bits"], losses: Float[np.ndarray, " n"], rank: int = 4, penalty: float = 1e-3
) -> Quadratic:
    """Fits the machine to standardised losses by Adam.

    Args:
        key: draws the first factors.
        bits: the strings.
        losses: one per string.
        rank: length of each v_i.
        penalty: on the squares of all weights.

    Returns:
        The energy, without its constant, in standard deviations of the losses.

    Raises:
        ValueError: if `rank` is below 1, `penalty` is negative, or the losses are not one per string.
    """
    check.at_least("rank", rank, 1)
    check.at_least("penalty", penalty, 0)
    check.shape("losses", losses, (len(bits),))
    y = (np.asarray(losses) - np.mean(losses)) / (np.std(losses) or 1.0)
    extra = -len(bits) % ROWS
    weights = np.pad(np.ones(len(bits)), (0, extra))
    linear, factors = _fit(
        key,
        jnp.asarray(np.pad(bits, ((0, extra), (0, 0))), jnp.float32),
        jnp.asarray(np.pad(y, (0, extra)), jnp.float32),
        jnp.asarray(weights / weights.sum(), jnp.float32),
        rank,
        penalty,
    )
    couplings = np.asarray(factors @ factors.T)
    return Quadratic(np.asarray(linear), couplings - np.diag(np.diag(couplings)))


@functools.partial(jax.jit, static_argnames="rank")
def _fit(
    key: Key, bits: Array, y: Array, weights: Array, rank: int, penalty: float | Array
) -> tuple[Float[Array, " bits"], Float[Array, "bits rank"]]:
    n = bits.shape[1]
    start = (jnp.zeros(()), jnp.zeros(n), 0.1 * jax.random.normal(key, (n, rank)))
    optimiser = optax.adam(RATE)

    def objective(params: tuple[Array, Array, Array]) -> Array:
        constant, linear, factors = params
        pairs = 0.5 * (jnp.sum((bits @ factors) ** 2, axis=1) - bits @ jnp.sum(factors**2, axis=1))
        error = constant + bits @ linear + pairs - y
        return jnp.sum(weights * error**2) + penalty * (jnp.sum(linear**2) + jnp.sum(factors**2))

    def step(_: Array, carry: tuple) -> tuple:
        params, moments = carry
        updates, moments = optimiser.update(jax.grad(objective)(params), moments)
        return optax.apply_updates(params, updates), moments

    (_, linear, factors), _ = jax.lax.fori_loop(0, STEPS, step, (start, optimiser.init(start)))
    return linear, factors
