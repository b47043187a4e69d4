"""Grover search as a choice, against the closed forms of its success."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.quantum import grover_choice

RUNS = 4000


def chances(n_items, budget, noise, amplify=True):
    """How often the only better item is found, and the evaluations that were spent."""
    losses = jnp.arange(n_items, dtype=jnp.float32).at[n_items - 1].set(-1.0)
    losses = losses.at[3].set(-0.5)
    choose = grover_choice.choose(budget, amplify=amplify, noise=noise)
    keys = jax.random.split(jax.random.key(5), RUNS)
    found = jax.jit(jax.vmap(lambda key: choose(key, losses, jnp.asarray(3))))(keys)
    return np.asarray(found.best) == n_items - 1, np.asarray(found.coherent), np.asarray(found.evaluations)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_success_follows_the_closed_form(noise):
    """One random item; then with chance 1/6 the item after one Grover iteration, else two more random ones."""
    found, coherent, single = chances(8, 3, noise)
    once = 1 / 8
    amplified = (1 - noise) * math.sin(3 * math.asin(math.sqrt(once))) ** 2 + noise / 8
    expected = once + (1 - once) * (amplified / 6 + 5 / 6 * (once + (1 - once) * once))
    assert found.mean() == pytest.approx(expected, abs=5 * math.sqrt(expected * (1 - expected) / RUNS))
    assert (coherent + single <= 3).all() and (coherent > 0).mean() == pytest.approx((1 - once) / 6, abs=0.03)


def test_without_amplification_it_is_random_draws_with_repetition():
    found, coherent, single = chances(8, 6, 0.0, amplify=False)
    expected = 1 - (7 / 8) ** 6
    assert found.mean() == pytest.approx(expected, abs=5 * math.sqrt(expected * (1 - expected) / RUNS))
    assert not coherent.any() and (single == 6).all()


def test_calls_to_the_minimum_grow_as_the_root():
    """Dürr and Høyer's bound, and an exponent of 1/2 within what so few runs tell."""
    means = []
    for n_items in (16, 256):
        losses = jax.random.permutation(jax.random.key(1), n_items).astype(jnp.float32)

        def calls(key, losses=losses, n_items=n_items):
            return grover_choice.calls_to_minimum(
                key, losses, jax.random.randint(jax.random.fold_in(key, 1), (), 0, n_items), rounds=70
            )

        spent, reached = jax.jit(jax.vmap(calls))(jax.random.split(jax.random.key(2), 200))
        assert reached.all()
        means.append(float(spent.mean()))
        assert means[-1] < 22.5 * math.sqrt(n_items)
    assert 0.4 < math.log(means[1] / means[0]) / math.log(256 / 16) < 0.7


def test_refuses():
    with pytest.raises(ValueError, match="budget"):
        grover_choice.choose(0)
