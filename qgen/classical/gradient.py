"""Gradient descent on any parameters with any optax optimiser, as a Method over stacked batches."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from qgen.method import Info, Method
from qgen.types import Array, Float, Int, Key, Params, PyTree


class State(NamedTuple):
    """The parameters, the optimiser's memory, and the steps taken."""

    params: Params
    memory: Any
    taken: Int[Array, ""]


def descent(
    loss: Callable[[Params, Any, Any], Float[Array, ""]], start: Params, optimiser: optax.GradientTransformation
) -> Method:
    """Descends `loss(params, shared, batch)` from `start`.

    Args:
        loss: differentiable by its first argument.
        start: the parameters to start from, a pytree of arrays.
        optimiser: any optax transformation.

    Returns:
        A Method over `(shared, batches)`, pytrees of arrays, the batches stacked along the first axis and used in turn.
        Its answer is the parameters; `info.aux` is the gradient's global norm.
    """

    def init(key: Key, problem: PyTree) -> State:
        return State(start, optimiser.init(start), jnp.zeros((), jnp.int32))

    def step(key: Key, state: State, problem: PyTree) -> tuple[State, Info]:
        shared, batches = problem
        n_batches = jax.tree.leaves(batches)[0].shape[0]
        batch = jax.tree.map(lambda leaf: leaf[state.taken % n_batches], batches)
        value, gradient = jax.value_and_grad(loss)(state.params, shared, batch)
        updates, memory = optimiser.update(gradient, state.memory, state.params)
        norm = jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(gradient)))
        ok = jnp.isfinite(value) & jnp.isfinite(norm)
        return State(optax.apply_updates(state.params, updates), memory, state.taken + 1), Info(value, ok, norm)

    return Method(init, step, lambda state, problem: state.params)
