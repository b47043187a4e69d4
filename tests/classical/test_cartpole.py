"""The cart against Gymnasium's numbers and against the equations of motion, solved as a linear system."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.classical import cartpole

GYMNASIUM = [
    (1, [0.286, -0.5056216531939535, 0.058, 0.1234907390340565]),
    (1, [0.27588756693612093, -0.31137653933927734, 0.060469814780681135, -0.15034454757623084]),
    (0, [0.26966003614933537, -0.507309911716746, 0.05746292382915652, 0.1607856303973395]),
    (1, [0.25951383791500043, -0.3130556834001728, 0.06067863643710331, -0.1132299718551435]),
    (0, [0.25325272424699696, -0.5089922401285778, 0.058414037000000446, 0.19796253949118836]),
    (0, [0.2430728794444254, -0.7048989405970396, 0.06237328778982421, 0.508485339993161]),
]
"""Actions and states of `CartPole` of Gymnasium 1.4.0 from the state [0.3, -0.7, 0.05, 0.4]."""
step = jax.jit(cartpole.step)


def test_trajectory_is_gymnasiums():
    state = jnp.asarray([0.3, -0.7, 0.05, 0.4])
    for action, wanted in GYMNASIUM:
        moved = step(state, action)
        np.testing.assert_allclose(moved.state, wanted, atol=1e-5)
        assert float(moved.reward) == 1 and not bool(moved.done)
        state = moved.state


@pytest.mark.parametrize(
    ("state", "done"),
    [([2.39, 1.5, 0.19, 1.1], True), ([0.1, 0.0, -0.2, -1.0], True), ([-2.38, 0.5, 0.1, 0.3], False)],
)
def test_an_episode_ends_outside_of_the_bounds(state, done):
    assert bool(step(jnp.asarray(state), 1).done) == done


def test_accelerations_solve_the_equations_of_motion():
    """(M + m) x'' + m l cos t'' = F + m l t'^2 sin and cos x'' + (4/3) l t'' = g sin, by numpy's solver."""
    for seed in range(5):
        x, v, t, w = np.random.default_rng(seed).uniform(-1, 1, 4) * [2, 2, 0.2, 2]
        for action, force in ((0, -10.0), (1, 10.0)):
            mass = np.array([[1.1, 0.05 * np.cos(t)], [np.cos(t), 4 / 3 * 0.5]])
            pushed = np.array([force + 0.05 * w**2 * np.sin(t), 9.8 * np.sin(t)])
            linear, angular = np.linalg.solve(mass, pushed)
            wanted = np.array([x, v, t, w]) + 0.02 * np.array([v, linear, w, angular])
            np.testing.assert_allclose(step(jnp.asarray([x, v, t, w]), action).state, wanted, atol=1e-5)


def test_a_start_is_small_and_differs_by_key():
    states = jax.vmap(cartpole.reset)(jax.random.split(jax.random.key(0), 50))
    assert 0.04 < float(jnp.abs(states).max()) <= 0.05
    assert len(np.unique(states[:, 0])) == 50
    np.testing.assert_allclose(cartpole.observe(jnp.asarray([1.2, 1.0, -0.105, 0.5])), [0.5, 0.4, -0.5, 0.2], rtol=1e-5)
