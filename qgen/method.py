"""Method: an iterative algorithm as three pure functions, and the one loop that runs it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from qgen import check
from qgen.types import Array, Bool, Float, Key, PyTree


class RunFailed(RuntimeError):
    """A run whose steps reported `ok = False`; raised at the edge, outside jit."""


class Info(NamedTuple):
    """What one step is worth watching for.

    Attributes:
        loss: the objective before the step, scalar.
        ok: False when the step met a number that is not finite.
        aux: anything else, a pytree of arrays.
    """

    loss: Float[Array, "*steps"]
    ok: Bool[Array, "*steps"]
    aux: PyTree = ()


class Method(NamedTuple):
    """An iterative algorithm; all three functions are pure and can be vmapped.

    Attributes:
        init: `(key, problem) -> state`.
        step: `(key, state, problem) -> (state, info)`; the state keeps its structure.
        answer: `(state, problem) -> answer`.
    """

    init: Callable[[Key, Any], Any]
    step: Callable[[Key, Any, Any], tuple[Any, Info]]
    answer: Callable[[Any, Any], Any]


class Run(NamedTuple):
    """The result of `run`: the answer, the last state, and every step's info stacked along the first axis."""

    answer: Any
    state: Any
    info: Info


def run(method: Method, key: Key, problem: Any, n_steps: int, *, state: Any = None, start: int = 0) -> Run:
    """Runs `n_steps` steps of `method` as one scan.

    Step t uses the key `fold_in(key, t)`, so a run that is stopped and resumed with its state and `start` gives the
    same numbers as a straight one.

    Args:
        method: the algorithm.
        key: the run's key; the initial state uses a stream of its own.
        problem: what the method works on, a pytree.
        n_steps: steps to run, at least 1.
        state: the state to resume from; None starts anew.
        start: the number of steps that `state` has already seen.

    Returns:
        A Run; `info.loss` has shape [n_steps].

    Raises:
        ValueError: if `n_steps` is below 1 or `start` below 0.
    """
    check.at_least("n_steps", n_steps, 1)
    check.at_least("start", start, 0)
    init_key, step_key = jax.random.split(key)
    if state is None:
        state = method.init(init_key, problem)

    def body(carry: Any, t: Array) -> tuple[Any, Info]:
        return method.step(jax.random.fold_in(step_key, t), carry, problem)

    state, info = jax.lax.scan(body, state, start + jnp.arange(n_steps))
    return Run(method.answer(state, problem), state, info)


def raise_if_failed(result: Run) -> Run:
    """Returns the run, or raises RunFailed naming the first step that was not ok. Call it outside jit."""
    if not bool(result.info.ok.all()):
        raise RunFailed(f"Step {int(jnp.argmin(result.info.ok))} met a number that is not finite.")
    return result
