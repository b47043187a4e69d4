import jax
import numpy as np
import pennylane as qml
import pytest

from qgen.quantum import kernel

SINGLE = 5e-6
BANDWIDTH = 0.37
ITEMS = np.random.default_rng(0).normal(size=(5, 4))


def reference_state(x, reps, pairs):
    """PennyLane's state of H, RZ(2 b x_i), IsingZZ(2 b^2 x_i x_j), repeated."""
    n = len(x)

    @qml.qnode(qml.device("default.qubit", wires=n))
    def run():
        for _ in range(reps):
            for i in range(n):
                qml.Hadamard(i)
            for i in range(n):
                qml.RZ(2 * BANDWIDTH * x[i], i)
            for i, j in pairs:
                qml.IsingZZ(2 * BANDWIDTH**2 * x[i] * x[j], (i, j))
        return qml.state()

    return np.asarray(run())


@pytest.mark.parametrize(("pairs", "expected"), [(None, ((0, 1), (1, 2), (2, 3), (3, 0))), ((), ())])
def test_gram_is_pennylanes(pairs, expected):
    states = kernel.states(ITEMS, BANDWIDTH, 2, pairs)
    reference = np.stack([reference_state(x, 2, expected) for x in ITEMS])
    np.testing.assert_allclose(kernel.gram(states, states), np.abs(reference.conj() @ reference.T) ** 2, atol=SINGLE)


def test_product_kernel_is_a_product_over_features():
    """Without pairs every qubit is alone: k = prod_i |<phi(x_i)|phi(y_i)>|^2, with 2 x 2 matrices."""
    states = kernel.states(ITEMS, BANDWIDTH, 2, ())
    hadamard = np.array([[1, 1], [1, -1]]) / np.sqrt(2)

    def alone(value):
        turn = np.diag(np.exp([-1j * BANDWIDTH * value, 1j * BANDWIDTH * value]))
        return turn @ hadamard @ turn @ hadamard @ np.array([1, 0])

    expected = np.ones((5, 5))
    for a in range(5):
        for b in range(5):
            for i in range(4):
                expected[a, b] *= abs(np.vdot(alone(ITEMS[a, i]), alone(ITEMS[b, i]))) ** 2
    np.testing.assert_allclose(kernel.gram(states, states), expected, atol=SINGLE)


def test_shots_are_binomial():
    chances = np.linspace(0.05, 0.9, 400).reshape(20, 20)
    seen = kernel.measured(jax.random.key(1), chances, 500)
    deviations = (seen - chances) / np.sqrt(chances * (1 - chances) / 500)
    assert np.abs(deviations).max() < 5
    assert abs(deviations.mean()) < 5 / 20
    assert abs(deviations.var() - 1) < 5 * np.sqrt(2 / 400)
    assert np.all(np.abs(seen * 500 - np.round(seen * 500)) < 1e-3)


def test_measured_gram_is_symmetric_and_repaired_is_a_kernel():
    states = kernel.states(ITEMS, BANDWIDTH)
    noisy = kernel.measured_gram(jax.random.key(2), kernel.gram(states, states), 20)
    np.testing.assert_array_equal(noisy, noisy.T)
    np.testing.assert_array_equal(np.diag(noisy), 1)
    broken = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.9], [0.0, 0.9, 1.0]])
    assert np.linalg.eigvalsh(broken).min() < -0.1
    repaired = kernel.repaired(broken)
    assert np.linalg.eigvalsh(repaired).min() > -1e-9
    np.testing.assert_allclose(np.diag(repaired), 1, atol=1e-9)
    good = np.array([[1.0, 0.4], [0.4, 1.0]])
    np.testing.assert_allclose(kernel.repaired(good), good, atol=1e-12)


def test_resources_count_the_inversion_test():
    (used,) = kernel.resources(4, 2, None, entries=7, shots=30)
    assert (used.qubits, used.circuits, used.shots, used.measurements) == (4, 7, 210, 840)
    # Two repetitions there and two back, four RZZ each, over 210 executions.
    assert used.gates_2q >= 210 * 16
    (product,) = kernel.resources(4, 2, (), entries=7, shots=30)
    assert product.gates_2q == 0
    assert kernel.resources(4, 2, None, entries=0, shots=30) == ()


def test_refusals():
    with pytest.raises(ValueError, match="`shots`"):
        kernel.measured(jax.random.key(0), np.zeros((2, 2)), 0)
