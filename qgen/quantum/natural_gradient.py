"""Quantum natural gradient: steepest descent in the geometry of the states that a circuit prepares."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from qgen import check
from qgen.circuits import Circuit, metric_tensor
from qgen.method import Info, Method
from qgen.types import Array, Float, Key

Cost = Callable[[Float[Array, "params"], Any], Float[Array, ""]]


def direction(
    metric: Float[Array, "params params"], gradient: Float[Array, "params"], damping: float | Float[Array, ""]
) -> Float[Array, "params"]:
    """The natural gradient (g + damping I)^-1 grad.

    Args:
        metric: the Fubini-Study metric g = Re Q of the quantum geometric tensor Q (a quarter of the quantum Fisher
            information), symmetric and not negative.
        gradient: the gradient of the loss.
        damping: what is added to the diagonal, above 0: it bounds steps along directions that leave the state alone.
    """
    # The sum is positive definite, so Cholesky's factors exist even where the metric alone is singular.
    damped = metric + damping * jnp.eye(metric.shape[0], dtype=metric.dtype)
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(damped), gradient)


class State(NamedTuple):
    """The circuit's parameters."""

    params: Float[Array, "params"]


def natural_gradient(
    cost: Cost,
    circuit: Circuit,
    *,
    learning_rate: float,
    damping: float = 1e-3,
    kind: str = "block",
    spread: float = 0.1,
) -> Method:
    """Exact quantum natural gradient descent: params -= learning_rate (g + damping I)^-1 grad cost.

    Args:
        cost: `(params, problem) -> scalar`, differentiable.
        circuit: the circuit whose states the metric measures.
        learning_rate: step length, above 0; may be traced.
        damping: see `direction`; may be traced.
        kind: "full", "block" (one block per layer) or "diagonal", as in `qgen.circuits.metric_tensor`.
        spread: standard deviation of the initial angles.

    Returns:
        A Method whose answer is the parameters; `info.aux` is the Euclidean norm of the gradient.

    Raises:
        ValueError: for an unknown `kind`.

    References:
        Stokes, Izaac, Killoran and Carleo, arXiv:1909.02108.
    """
    check.one_of("kind", kind, ("full", "block", "diagonal"))

    def init(key: Key, problem: Any) -> State:
        return State(spread * jax.random.normal(key, (circuit.n_params,)))

    def step(key: Key, state: State, problem: Any) -> tuple[State, Info]:
        loss, gradient = jax.value_and_grad(cost)(state.params, problem)
        change = direction(metric_tensor(circuit, state.params, kind=kind), gradient, damping)
        ok = jnp.isfinite(loss) & jnp.isfinite(change).all()
        return State(state.params - learning_rate * change), Info(loss, ok, jnp.linalg.norm(gradient))

    return Method(init, step, lambda state, problem: state.params)
