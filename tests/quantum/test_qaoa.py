import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import method
from qgen.quantum import qaoa

N, K = 8, 3


def table(seed):
    """A random positive semidefinite instance, its energies computed by numpy over all strings."""
    rng = np.random.default_rng(seed)
    linear, root = rng.normal(size=N), rng.normal(size=(N, N)) / np.sqrt(N)
    strings = [np.array(x) for x in itertools.product([0, 1], repeat=N) if sum(x) == K]
    return jnp.asarray([x @ linear + x @ (root @ root.T) @ x / 2 for x in strings], jnp.float32)


TABLES = jnp.stack([table(seed) for seed in range(3)])


@jax.jit
def gains(angles, tables):
    """Chances of the optimum in units of uniform sampling, for angles and tables of many instances."""

    def one(angles, energies):
        return qaoa.chance(qaoa.state(angles, energies, N, K, "full"), energies) * tables.shape[1]

    return jax.vmap(one)(angles, tables)


def trained(training, tables, steps):
    return jax.jit(jax.vmap(lambda energies: method.run(training, jax.random.key(1), energies, steps)))(tables)


def test_training_on_shots_raises_the_chance_of_the_optimum():
    run = trained(qaoa.spsa(N, K, 3, "full", shots=256), TABLES, 40)
    # Every shot of training counts: the best string seen is the exhaustive optimum here.
    np.testing.assert_array_equal(run.answer.place, np.argmin(TABLES, axis=1))
    np.testing.assert_array_equal(run.answer.energy, np.min(TABLES, axis=1))
    assert bool(run.info.ok.all())
    assert float(gains(run.answer.angles, TABLES).min()) > 3


def test_more_layers_find_the_optimum_more_often():
    few, many = (gains(trained(qaoa.adam(N, K, layers, "full"), TABLES, 60).answer, TABLES) for layers in (1, 3))
    assert float(few.min()) > 1.5
    assert float((many / few).min()) > 1.2 and float(many.min()) > 4


def test_carried_angles_help_instances_they_have_not_seen():
    tables = qaoa.random_tables(jax.random.key(1), N, K, 6)
    angles = trained(qaoa.adam(N, K, 3, "full"), tables[None], 60).answer
    assert float(gains(jnp.repeat(angles, 3, axis=0), TABLES).min()) > 2.5


def test_samples_follow_the_state():
    energies = table(2)
    state = qaoa.state(qaoa.ramp(2, N), energies, N, K, "full")
    places = qaoa.sample(jax.random.key(3), state, 4000)
    expected = np.abs(np.asarray(state)) ** 2
    seen = np.bincount(np.asarray(places), minlength=len(expected)) / 4000
    assert np.all(np.abs(seen - expected) < 5 * np.sqrt(expected * (1 - expected) / 4000) + 1e-3)


def test_unit_and_chance():
    energies = table(4)
    scaled = np.asarray(qaoa.unit(3.7 * energies + 1.9))
    np.testing.assert_allclose([scaled.mean(), scaled.std()], [0, 1], atol=1e-5)
    np.testing.assert_allclose(qaoa.unit(jnp.full(5, 2.0)), np.zeros(5), atol=1e-6)
    tied = jnp.array([0.5, 0.2, 0.2, 0.9])
    state = jnp.sqrt(jnp.array([0.1, 0.25, 0.35, 0.3])).astype(jnp.complex64)
    assert abs(float(qaoa.chance(state, tied)) - 0.6) < 1e-5


def test_same_key_same_search_and_resumed_is_straight():
    energies = table(6)
    spsa = qaoa.spsa(N, K, 2, "ring", shots=32)
    key = jax.random.key(9)
    straight = method.run(spsa, key, energies, 5)
    first = method.run(spsa, key, energies, 3)
    resumed = method.run(spsa, key, energies, 2, state=first.state, start=3)
    np.testing.assert_array_equal(straight.answer.angles, resumed.answer.angles)


def test_refusals():
    with pytest.raises(ValueError, match="`layers`"):
        qaoa.ramp(0, N)
    with pytest.raises(ValueError, match="`mixer`"):
        qaoa.ramp(2, N, "star")
    with pytest.raises(ValueError, match="`shots`"):
        qaoa.spsa(N, K, 1, "full", 0)
    with pytest.raises(ValueError, match="`tail`"):
        qaoa.spsa(N, K, 1, "full", 8, tail=0.0)
