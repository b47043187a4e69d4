import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.quantum import annealing

N, K = 6, 2


def instance(seed):
    rng = np.random.default_rng(seed)
    linear, root = rng.normal(size=N), rng.normal(size=(N, N)) / np.sqrt(N)
    return linear.astype(np.float32), (root @ root.T).astype(np.float32)


def energies(linear, quadratic):
    strings = np.array(list(itertools.product([0, 1], repeat=N)))
    return strings, strings @ linear + 0.5 * np.einsum("si,ij,sj->s", strings, quadratic, strings)


@pytest.mark.parametrize("seed", range(4))
def test_penalised_minimum_is_the_constrained_minimum(seed):
    linear, quadratic = instance(seed)
    alone, couplings = annealing.penalised(jnp.asarray(linear), jnp.asarray(quadratic), K)
    strings, plain = energies(linear, quadratic)
    _, whole = energies(np.asarray(alone), np.asarray(couplings))
    allowed = strings.sum(1) == K
    assert strings[np.argmin(whole)].tolist() == strings[allowed][np.argmin(plain[allowed])].tolist()
    # On the allowed strings the penalty is one constant.
    difference = whole[allowed] - plain[allowed]
    np.testing.assert_allclose(difference, difference[0], atol=1e-4)


def test_annealer_finds_the_optimum_more_often_than_chance():
    linear, quadratic = instance(1)
    strings, plain = energies(linear, quadratic)
    allowed = strings.sum(1) == K
    optimum = strings[allowed][np.argmin(plain[allowed])]
    reads = annealing.anneal(
        jax.random.key(0), jnp.asarray(linear), jnp.asarray(quadratic), K, reads=200, sweeps=60, strength=0.3
    )
    assert np.array_equal(np.asarray(reads.feasible), np.asarray(reads.strings).sum(1) == K)
    hits = (np.asarray(reads.strings) == optimum).all(1).mean()
    assert hits > 3 / 2**N, hits
    assert float(reads.feasible.mean()) > 0.4


def test_count_is_of_the_logical_problem():
    used = annealing.count(30, reads=100)
    assert (used.qubits, used.anneals, used.circuits, used.measurements) == (30, 100, 1, 3000)
    assert used.shots == 0


def test_refusals():
    linear, quadratic = map(jnp.asarray, instance(0))
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="`reads`"):
        annealing.anneal(key, linear, quadratic, K, 0, 5)
    with pytest.raises(ValueError, match="`sweeps`"):
        annealing.anneal(key, linear, quadratic, K, 5, 0)
    with pytest.raises(ValueError, match="`temperature`"):
        annealing.anneal(key, linear, quadratic, K, 5, 5, temperature=0.0)
    with pytest.raises(ValueError, match="`field`"):
        annealing.anneal(key, linear, quadratic, K, 5, 5, field=-1.0)
    with pytest.raises(ValueError, match="`copies`"):
        annealing.anneal(key, linear, quadratic, K, 5, 5, copies=3)
    with pytest.raises(ValueError, match="`quadratic`"):
        annealing.penalised(linear, quadratic[:3], K)
    with pytest.raises(ValueError, match="`k`"):
        annealing.penalised(linear, quadratic, N + 1)
    with pytest.raises(ValueError, match="`strength`"):
        annealing.penalised(linear, quadratic, K, 0.0)
    with pytest.raises(ValueError, match="`qubits`"):
        annealing.count(0, 1)
