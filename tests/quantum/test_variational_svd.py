"""The variational SVD against numpy's, its Hadamard test against the term it measures, and its counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import circuits, method
from qgen.circuits import encodings
from qgen.quantum import variational_svd
from qgen.quantum.variational_svd import Config

FLOAT32 = {"atol": 5e-5, "rtol": 5e-5}


@pytest.fixture(scope="module")
def matrix():
    rng = np.random.default_rng(0)
    u, _, vt = np.linalg.svd(rng.normal(size=(4, 4)))
    return jnp.asarray((u * np.array([3.0, 1.5, 0.4, 0.1])) @ vt, jnp.float32)


def test_training_finds_the_leading_triplets(matrix):
    config = Config(2, layers=3, rate=0.1)
    run = jax.jit(lambda key: method.run(variational_svd.decomposition(config), key, matrix, 150))
    result = jax.vmap(run)(jax.random.split(jax.random.key(1), 3))
    best = int(result.info.loss[:, -1].argmin())
    a, b = (np.asarray(factor[best]) for factor in result.answer)
    assert result.info.ok.all()
    np.testing.assert_allclose(np.linalg.norm(a, axis=0), [3.0, 1.5], rtol=0.02)
    tail = np.hypot(0.4, 0.1)
    assert tail * (1 - 1e-4) < np.linalg.norm(matrix - a @ b) < 1.1 * tail
    # Ky Fan: no orthonormal vectors give a larger weighted sum.
    assert -result.info.loss.min() <= (3.0 + 0.5 * 1.5) / np.linalg.norm(matrix) + 1e-5


def test_the_hadamard_test_measures_one_term(matrix):
    config = Config(2, layers=2)
    left, right = variational_svd.circuits((4, 4), config)
    rng = np.random.default_rng(3)
    u, v = rng.uniform(-2, 2, left.n_params), rng.uniform(-2, 2, right.n_params)
    angles = encodings.amplitude_angles(matrix.reshape(-1), real=True)
    vector = jnp.concatenate([jnp.asarray(v, jnp.float32), angles, jnp.asarray(u, jnp.float32)])
    circuit = variational_svd.hadamard_test((4, 4), config)
    assert circuit.n_params == vector.size
    made = circuits.expectation(circuit, vector, circuits.z(4))
    first = variational_svd.columns(left, jnp.asarray(u, jnp.float32), 1)[:, 0]
    second = variational_svd.columns(right, jnp.asarray(v, jnp.float32), 1)[:, 0]
    np.testing.assert_allclose(made, first @ matrix @ second / np.linalg.norm(matrix), **FLOAT32)


def test_counts(matrix):
    config = Config(3, layers=2, shots=50)
    (needed,) = variational_svd.resources((4, 8), config, steps=7)
    n_angles = 2 * 2 * 2 + 2 * 2 * 3
    assert needed.circuits == 3 * (1 + 7 * (1 + 2 * n_angles))
    assert needed.shots == 50 * needed.circuits
    once = circuits.count(variational_svd.hadamard_test((4, 8), config))
    np.testing.assert_allclose(needed.gates_2q, once.gates_2q * needed.shots)
    assert once.rotations >= 2**5 - 1 + n_angles


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Config(0), "`rank` must be at least 1"),
        (lambda: Config(1, 0), "`layers` must be at least 1"),
        (lambda: Config(1, 1, 0.0), "`rate` must be above 0"),
        (lambda: Config(1, shots=0), "`shots` must be at least 1"),
        (lambda: variational_svd.circuits((4, 6), Config(1)), "powers of two, but has shape"),
        (lambda: variational_svd.circuits((4, 8), Config(5)), r"`rank` must lie in \[1, 4\]"),
        (lambda: variational_svd.circuits((1, 8), Config(1)), r"`min\(matrix.shape\)` must be at least 2"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
