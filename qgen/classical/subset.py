"""Choosing k of n things to make E(x) = linear . x + x . quadratic . x / 2 small: the rivals of QAOA and annealers.

Every search returns a Found: the best string and how often one independent try ended on it, so that solvers with
different budgets are compared by their chance per try. Arrays may be NumPy's or JAX's: what runs once on a few numbers
is not worth compiling.
"""

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.types import Array, Float, Int, Key

MOST = 2_000_000
"""The most strings that `exact` looks at."""


class Quadratic(NamedTuple):
    """The energy of a string x of zeros and ones: linear . x + x . quadratic . x / 2.

    Attributes:
        linear: [n].
        quadratic: [n, n], symmetric.
    """

    linear: Float[Any, " n"]
    quadratic: Float[Any, "n n"]


class Found(NamedTuple):
    """A search's result.

    Attributes:
        x: the best string, [n].
        energy: its energy.
        tries: the last string of every independent try, [tries, n].
    """

    x: Int[Any, " n"]
    energy: Float[Any, ""]
    tries: Int[Any, "tries n"]


def energy(problem: Quadratic, x: Any) -> Any:
    """E(x) of one string [n] or of many [..., n]; of NumPy arrays by NumPy, of others by JAX."""
    x = x.astype(problem.linear.dtype)
    return x @ problem.linear + 0.5 * ((x @ problem.quadratic) * x).sum(axis=-1)


def best(problem: Quadratic, strings: Int[Any, "tries n"]) -> Found:
    """The Found of a set of strings: the one of least energy."""
    values = energy(problem, strings)
    place = values.argmin()
    return Found(strings[place], values[place], strings)


def exact(problem: Quadratic, k: int, most: int = MOST) -> Found:
    """Looks at every string of k ones.

    Raises:
        ValueError: if k is not in [0, n], or there are more than `most` strings.
    """
    n = _size(problem, k)
    check.within("number of strings", math.comb(n, k), 1, most)
    chosen = np.array(list(itertools.combinations(range(n), k)), dtype=np.int64).reshape(math.comb(n, k), k)
    strings = np.zeros((len(chosen), n), dtype=np.int32)
    np.put_along_axis(strings, chosen, 1, axis=1)
    found = best(_plain(problem), strings)
    return found._replace(tries=found.x[None])


def greedy(problem: Quadratic, k: int) -> Found:
    """Sets one bit after the other, each time the one that raises the energy least."""
    n = _size(problem, k)
    linear, quadratic = problem = _plain(problem)
    x = np.zeros(n, dtype=np.int32)
    for _ in range(k):
        gain = linear + 0.5 * np.diagonal(quadratic) + quadratic @ x.astype(linear.dtype)
        x[np.argmin(np.where(x == 1, np.inf, gain))] = 1
    return best(problem, x[None])


def random_search(key: Key, problem: Quadratic, k: int, tries: int) -> Found:
    """The best of `tries` strings drawn uniformly."""
    n = _size(problem, k)
    check.at_least("tries", tries, 1)
    first = np.tile((np.arange(n) < k).astype(np.int32), (tries, 1))
    return best(_plain(problem), np.random.default_rng(np.asarray(jax.random.key_data(key))).permuted(first, axis=1))


def anneal(
    key: Key, problem: Quadratic, k: int, tries: int, sweeps: int, hot: float = 1.0, cold: float = 0.02
) -> Found:
    """Simulated annealing whose moves swap a one and a zero, so the weight never changes.

    Args:
        key: random key.
        problem: the energy.
        k: ones.
        tries: independent runs.
        sweeps: temperature steps, each of n proposed swaps.
        hot: first temperature, in standard deviations of the energy over random strings.
        cold: last temperature, in the same unit.

    Returns:
        The Found, whose `tries` are the best string of each run.

    Raises:
        ValueError: if k is not in [0, n], or `tries`, `sweeps` or a temperature is too small.
    """
    n = _size(problem, k)
    check.at_least("tries", tries, 1)
    check.at_least("sweeps", sweeps, 1)
    check.positive("cold", cold)
    check.at_least("hot", hot, cold)
    scale_key, start_key, run_key = jax.random.split(key, 3)
    scale = jnp.std(energy(problem, _draw(scale_key, n, k, 256))) + jnp.finfo(problem.linear.dtype).tiny
    temperatures = scale * jnp.repeat(jnp.geomspace(hot, cold, sweeps), n)

    def move(carry: tuple[Array, Array, Array, Array], inputs: tuple[Array, Array]) -> tuple[tuple, None]:
        x, value, top, top_value = carry
        temperature, move_key = inputs
        noise = jax.random.uniform(move_key, (n + 1,))
        # argmax of noise over the ones (over the zeros) picks one of them uniformly; no number serves twice.
        i = jnp.argmax(jnp.where(x == 1, noise[:n], -1))
        j = jnp.argmax(jnp.where(x == 0, noise[:n], -1))
        moved = x.at[i].set(0).at[j].set(1)
        moved_value = energy(problem, moved)
        accept = noise[n] < jnp.exp((value - moved_value) / temperature)
        x, value = jnp.where(accept, moved, x), jnp.where(accept, moved_value, value)
        better = value < top_value
        return (x, value, jnp.where(better, x, top), jnp.where(better, value, top_value)), None

    def one(try_key: Key, x: Array) -> Array:
        value = energy(problem, x)
        keys = jax.random.split(try_key, sweeps * n)
        return jax.lax.scan(move, (x, value, x, value), (temperatures, keys))[0][2]

    starts = _draw(start_key, n, k, tries)
    if k in (0, n):
        return best(problem, starts)
    return best(problem, jax.vmap(one)(jax.random.split(run_key, tries), starts))


def hit_rate(problem: Quadratic, tries: Int[Any, "tries n"], optimum: Float[Any, ""]) -> Float[Any, ""]:
    """The share of tries whose energy is the optimum, up to rounding."""
    values = energy(problem, tries)
    tolerance = 1e-5 * (abs(optimum) + abs(values).max())
    return (values <= optimum + tolerance).mean()


def _draw(key: Key, n: int, k: int, tries: int) -> Int[Any, "tries n"]:
    """Strings of k ones, uniformly."""
    first = (jnp.arange(n) < k).astype(jnp.int32)
    return jax.vmap(lambda draw_key: jax.random.permutation(draw_key, first))(jax.random.split(key, tries))


def _plain(problem: Quadratic) -> Quadratic:
    """The energy as NumPy arrays."""
    return Quadratic(*map(np.asarray, problem))


def _size(problem: Quadratic, k: int) -> int:
    n = problem.linear.shape[0]
    check.shape("quadratic", problem.quadratic, (n, n))
    check.within("k", k, 0, n)
    return n
