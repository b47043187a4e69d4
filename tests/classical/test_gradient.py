import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qgen import method
from qgen.classical import gradient

TOLERANCE = 1e-5


def loss(params, shared, batch):
    return 0.5 * shared * (params - batch) @ (params - batch)


def test_descent_is_the_recurrence_of_numpy(key):
    batches = np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.3]])
    start, rate, curvature = np.array([0.2, 0.7]), 0.3, 1.7
    solver = gradient.descent(loss, jnp.asarray(start, jnp.float32), optax.sgd(rate))
    run = method.run(solver, key, (jnp.asarray(curvature), jnp.asarray(batches, jnp.float32)), 7)
    expected, losses = start, []
    for step in range(7):
        difference = expected - batches[step % 3]
        losses.append(0.5 * curvature * difference @ difference)
        expected = expected - rate * curvature * difference
    np.testing.assert_allclose(run.answer, expected, atol=TOLERANCE)
    np.testing.assert_allclose(run.info.loss, losses, rtol=TOLERANCE)
    assert float(run.info.aux[0]) == pytest.approx(curvature * np.linalg.norm(start - batches[0]), rel=TOLERANCE)


def test_a_loss_that_is_not_finite_fails_the_run(key):
    solver = gradient.descent(
        lambda params, shared, batch: jnp.log(params - batch[0]), jnp.asarray(0.5), optax.sgd(0.1)
    )
    run = method.run(solver, key, ((), jnp.asarray([[0.2], [0.9]])), 2)
    with pytest.raises(method.RunFailed, match="Step 1"):
        method.raise_if_failed(run)
