import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.classical import subset

N, K = 9, 4


def instance(seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(N, N)) / np.sqrt(N)
    return subset.Quadratic(jnp.asarray(rng.normal(size=N), jnp.float32), jnp.asarray(root @ root.T, jnp.float32))


def exhaustive(problem):
    """Plain loops over all combinations."""
    linear, quadratic = np.asarray(problem.linear, float), np.asarray(problem.quadratic, float)
    values = {}
    for chosen in itertools.combinations(range(N), K):
        values[chosen] = sum(linear[list(chosen)]) + 0.5 * sum(quadratic[i, j] for i in chosen for j in chosen)
    return min(values, key=values.__getitem__), min(values.values())


anneal = jax.jit(lambda key, problem: subset.anneal(key, problem, K, tries=16, sweeps=30))


@pytest.mark.parametrize("seed", range(3))
def test_exact_and_annealing_find_the_exhaustive_optimum(seed):
    problem = instance(seed)
    chosen, value = exhaustive(problem)
    found = subset.exact(problem, K)
    assert np.flatnonzero(found.x).tolist() == list(chosen)
    assert abs(float(found.energy) - value) < 1e-5
    annealed = anneal(jax.random.key(seed), problem)
    assert np.flatnonzero(annealed.x).tolist() == list(chosen)
    assert np.all(np.asarray(annealed.tries).sum(1) == K)
    assert float(subset.hit_rate(problem, annealed.tries, found.energy)) > 0.5


def test_greedy_takes_the_cheapest_next_bit():
    problem = instance(7)
    chosen: list[int] = []
    for _ in range(K):
        rest = [i for i in range(N) if i not in chosen]
        costs = [float(subset.energy(problem, jnp.zeros(N).at[jnp.array([*chosen, i])].set(1))) for i in rest]
        chosen.append(rest[int(np.argmin(costs))])
    assert np.flatnonzero(subset.greedy(problem, K).x).tolist() == sorted(chosen)


def test_random_search_is_uniform_and_keeps_the_best():
    problem = instance(3)
    found = subset.random_search(jax.random.key(2), problem, K, 2000)
    tries = np.asarray(found.tries)
    assert np.all(tries.sum(1) == K)
    share = K / N
    assert np.all(np.abs(tries.mean(0) - share) < 5 * np.sqrt(share * (1 - share) / 2000))
    assert float(found.energy) == float(subset.energy(problem, found.tries).min())
    optimum = subset.exact(problem, K).energy
    assert abs(float(subset.hit_rate(problem, found.tries, optimum)) - 1 / 126) < 5 * np.sqrt(1 / 126 / 2000)


def test_nothing_and_everything():
    problem = instance(0)
    for k in (0, N):
        assert int(subset.anneal(jax.random.key(0), problem, k, 2, 2).x.sum()) == k
        assert int(subset.exact(problem, k).x.sum()) == k


def test_refusals():
    problem, key = instance(0), jax.random.key(0)
    with pytest.raises(ValueError, match="`k`"):
        subset.exact(problem, N + 1)
    with pytest.raises(ValueError, match="number of strings"):
        subset.exact(problem, K, most=10)
    with pytest.raises(ValueError, match="`quadratic`"):
        subset.greedy(problem._replace(quadratic=jnp.zeros((2, 2))), 1)
    with pytest.raises(ValueError, match="`tries`"):
        subset.random_search(key, problem, K, 0)
    with pytest.raises(ValueError, match="`tries`"):
        subset.anneal(key, problem, K, 0, 5)
    with pytest.raises(ValueError, match="`sweeps`"):
        subset.anneal(key, problem, K, 5, 0)
    with pytest.raises(ValueError, match="`cold`"):
        subset.anneal(key, problem, K, 5, 5, cold=0.0)
    with pytest.raises(ValueError, match="`hot`"):
        subset.anneal(key, problem, K, 5, 5, hot=0.01)
