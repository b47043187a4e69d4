"""Starts against PennyLane's gradients, closed forms of their distributions, and the plateau's exponential."""

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from qgen import circuits as qc
from qgen.quantum import starts

SINGLE = 2e-5


def test_identity_blocks_do_nothing(key):
    made = starts.circuit(3, 2)
    angles = starts.identity_blocks(key, 2, starts.angles_per_half(3))
    data = np.array([0.4, -0.9, 1.3], np.float32)
    found = jax.jit(lambda: qc.apply(made, (data, angles.reshape(-1))))()
    expected = np.ones(1)
    for x in data:
        expected = np.kron(expected, [np.cos(x / 2), np.sin(x / 2)])
    np.testing.assert_allclose(found, expected, atol=SINGLE)
    assert float(jnp.abs(angles).max()) > 1


def test_gradients_are_pennylanes(key):
    samples, n = 3, 2
    found = starts.gradient_variance(key, "small_gaussian", n, 1, samples)

    @qml.qnode(qml.device("default.qubit", wires=n))
    def node(data, angles):
        for q in range(n):
            qml.RY(data[q], q)
        for layer in angles[0]:
            for q in range(n):
                qml.RY(layer[0, q], q)
            for q in range(n):
                qml.RZ(layer[1, q], q)
            qml.CNOT([0, 1])
        for layer in angles[1][::-1]:
            qml.CNOT([0, 1])
            for q in range(n):
                qml.RZ(-layer[1, q], q)
            for q in range(n):
                qml.RY(-layer[0, q], q)
        return qml.expval(qml.Z(0) @ qml.Z(1))

    slopes = []
    for sample_key in jax.random.split(key, samples):
        data_key, angle_key = jax.random.split(sample_key)
        data = np.asarray(jax.random.uniform(data_key, (n,), minval=-np.pi / 2, maxval=np.pi / 2), float)
        angles = np.asarray(starts.small_gaussian(angle_key, 1, 8), float).reshape(2, 2, 2, n)
        step = 1e-4 * np.eye(16).reshape(16, 2, 2, 2, n)
        slopes.append([(node(data, angles + s) - node(data, angles - s)) / 2e-4 for s in step])
    np.testing.assert_allclose(found, np.var(slopes, axis=0), atol=SINGLE)


def test_a_pretrained_block_lowers_the_loss_and_the_others_do_nothing(key):
    n = 3
    angles = starts.mps_pretrained(key, 2, starts.angles_per_half(n))
    np.testing.assert_array_equal(angles[1, 0], angles[1, 1])

    @qml.qnode(qml.device("default.qubit", wires=n))
    def node(data, halves):
        for q in range(n):
            qml.RY(data[q], q)
        for layer in halves[0]:
            for q in range(n):
                qml.RY(layer[0, q], q)
            for q in range(n):
                qml.RZ(layer[1, q], q)
            for pair in ((0, 1), (1, 2), (2, 0)):
                qml.CNOT(pair)
        for layer in halves[1][::-1]:
            for pair in ((2, 0), (1, 2), (0, 1)):
                qml.CNOT(pair)
            for q in range(n):
                qml.RZ(-layer[1, q], q)
            for q in range(n):
                qml.RY(-layer[0, q], q)
        return qml.expval(qml.Z(0) @ qml.Z(1))

    fresh = np.random.default_rng(1).uniform(-np.pi / 2, np.pi / 2, (20, n))
    halves = np.asarray(angles[0], float).reshape(2, 2, 2, n)
    found = [float(node(row, halves)) for row in fresh]
    # Undone, the block leaves the product of two cosines, whose mean is (2 / pi)^2.
    assert np.mean(found) < -0.2 < np.mean(np.prod(np.cos(fresh[:, :2]), axis=1))
    both = qc.expectation(
        starts.circuit(n, 2), (fresh[0].astype(np.float32), angles.reshape(-1)), qc.pauli("ZZ", (0, 1))
    )
    assert float(both) == pytest.approx(found[0], abs=SINGLE)


def test_small_angles_have_the_papers_variance(key):
    drawn = np.asarray(starts.small_gaussian(key, 5, 4000))
    wanted = 1 / (4 * 2 * (20 + 2))
    assert drawn.var() == pytest.approx(wanted, rel=5 * np.sqrt(2 / drawn.size))
    wide = np.asarray(starts.uniform(key, 5, 4000))
    assert wide.var() == pytest.approx(np.pi**2 / 3, rel=5 * np.sqrt(0.8 / wide.size))


def test_uniform_starts_lie_on_a_plateau_and_others_do_not(key):
    variances = {
        name: [float(starts.gradient_variance(key, name, n, 4, 100).mean()) for n in (2, 6)]
        for name in ("uniform", "small_gaussian", "identity_blocks")
    }
    # Four more qubits cost a random circuit about a factor of 4^2 to 2^4; the others keep most of the gradient.
    assert variances["uniform"][1] < variances["uniform"][0] / 4
    for name in ("small_gaussian", "identity_blocks"):
        assert variances[name][1] > 2 * variances["uniform"][1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda key: starts.circuit(1, 1), "`qubits` must be at least 2"),
        (lambda key: starts.circuit(2, 0), "`blocks` must be at least 1"),
        (lambda key: starts.gradient_variance(key, "zeros", 2, 1, 4), "`start` must be one of: uniform"),
        (lambda key: starts.gradient_variance(key, "uniform", 2, 1, 1), "`samples` must be at least 2"),
    ],
)
def test_bad_input(key, make, message):
    with pytest.raises(ValueError, match=message):
        make(key)
