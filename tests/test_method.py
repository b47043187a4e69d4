"""The loop: resumed equals straight, vmap equals loop, failure is reported. Oracle: heavy-ball recursion in numpy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.method import Info, Method, RunFailed, raise_if_failed, run
from qgen.types import Array


class State(NamedTuple):
    x: Array
    v: Array


def heavy_ball(rate, friction=0.9, noise=0.0):
    def step(key, state, problem):
        gradient = problem * state.x + noise * jax.random.normal(key, state.x.shape)
        v = friction * state.v - rate * gradient
        loss = 0.5 * jnp.sum(problem * state.x**2)
        return State(state.x + v, v), Info(loss, jnp.isfinite(loss))

    return Method(
        lambda key, problem: State(jnp.full(problem.shape, 1.5), jnp.zeros(problem.shape)), step, lambda s, _: s.x
    )


CURVATURE = jnp.array([0.5, 1.3, 2.1])


def test_against_numpy(key):
    x, v = np.full(3, 1.5), np.zeros(3)
    for _ in range(20):
        v = 0.9 * v - 0.05 * np.asarray(CURVATURE) * x
        x = x + v
    np.testing.assert_allclose(run(heavy_ball(0.05), key, CURVATURE, 20).answer, x, rtol=1e-5)


def test_resumed_equals_straight_bit_for_bit(key):
    method = heavy_ball(0.05, noise=0.1)
    straight = run(method, key, CURVATURE, 12)
    first = run(method, key, CURVATURE, 5)
    rest = run(method, key, CURVATURE, 7, state=first.state, start=5)
    np.testing.assert_array_equal(straight.answer, rest.answer)
    np.testing.assert_array_equal(straight.info.loss, jnp.concatenate([first.info.loss, rest.info.loss]))


def test_a_traced_hyperparameter_can_be_vmapped(key):
    rates = jnp.array([0.01, 0.03, 0.07])
    together = jax.vmap(lambda rate: run(heavy_ball(rate), key, CURVATURE, 9).info.loss[-1])(rates)
    alone = [run(heavy_ball(rate), key, CURVATURE, 9).info.loss[-1] for rate in rates]
    np.testing.assert_allclose(together, jnp.stack(alone), rtol=1e-6)


def test_a_run_that_diverges_is_reported(key):
    result = run(heavy_ball(1e30), key, CURVATURE, 9)
    with pytest.raises(RunFailed, match="not finite"):
        raise_if_failed(result)
    good = run(heavy_ball(0.05), key, CURVATURE, 2)
    assert raise_if_failed(good) is good


@pytest.mark.parametrize(("steps", "start"), [(0, 0), (3, -1)])
def test_bad_step_counts(key, steps, start):
    with pytest.raises(ValueError, match="must be at least"):
        run(heavy_ball(0.1), key, CURVATURE, steps, start=start)
