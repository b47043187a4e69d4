"""Grover search as one choice among candidates: the best of N values of a weight within so many loss evaluations.

The step of training by Grover's algorithm, after arXiv:2504.14568: the oracle marks the candidates whose loss is below
the best one so far (Dürr-Høyer), beginning with the present value, whose loss is known.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from qgen import check
from qgen.quantum import grover
from qgen.types import Array, Bool, Float, Int, Key


def choose(
    budget: int, *, amplify: bool = True, noise: float | Float[Array, ""] = 0.0
) -> Callable[[Key, Float[Array, " candidates"], Int[Array, ""]], grover.State]:
    """A choice within `budget` evaluations, coherent and single ones together.

    Args:
        budget: evaluations per choice.
        amplify: False measures the uniform state every time: the control without Grover iterations.
        noise: the probability that one Grover iteration replaces the register by the fully mixed state.

    Returns:
        `(key, losses, place of the present value) -> the search's last state`.

    Raises:
        ValueError: if `budget` is below 1.
    """
    check.at_least("budget", budget, 1)
    finding = grover.minimum(amplify=amplify, noise=noise)

    def chosen(key: Key, losses: Array, here: Array) -> grover.State:
        problem = grover.Search(losses, jnp.asarray(budget))

        def step(state: grover.State, t: Array) -> tuple[grover.State, None]:
            return finding.step(jax.random.fold_in(key, t), state, problem)[0], None

        return jax.lax.scan(step, _known(here, len(losses)), jnp.arange(budget))[0]

    return chosen


def calls_to_minimum(
    key: Key, losses: Float[Array, " candidates"], here: Int[Array, ""], *, rounds: int
) -> tuple[Int[Array, ""], Bool[Array, ""]]:
    """How many evaluations it takes until the least loss is held: coherent ones and measured candidates together.

    Args:
        key: random key.
        losses: of the candidates.
        here: the place of the present value, whose loss is known.
        rounds: measurements before giving up; about 9 log2 N reach the minimum almost always.

    Returns:
        The evaluations, and whether the minimum was reached.
    """
    problem = grover.Search(losses, jnp.asarray(jnp.iinfo(jnp.int32).max))
    finding, least = grover.minimum(), losses.min()

    def step(state: grover.State, t: Array) -> tuple[grover.State, tuple[Array, Array]]:
        state, _ = finding.step(jax.random.fold_in(key, t), state, problem)
        return state, (state.coherent + state.evaluations, losses[state.best] <= least)

    last, (spent, reached) = jax.lax.scan(step, _known(here, len(losses)), jnp.arange(rounds))
    known = losses[here] <= least
    found = jnp.where(reached.any(), spent[jnp.argmax(reached)], last.coherent + last.evaluations)
    return jnp.where(known, 0, found), known | reached.any()


def _known(here: Int[Array, ""], n_items: int) -> grover.State:
    """The search's start at a candidate whose loss is known."""
    zero = jnp.zeros((), jnp.int32)
    return grover.State(here, jnp.ones(()), zero, zero, jnp.arange(n_items) == here)
