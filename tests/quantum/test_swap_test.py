import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from qgen import circuits as qc
from qgen.quantum import swap_test

TOLERANCE = 1e-5
SIGMAS = 5


def rows(seed, count, size=4):
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32) * 1.7


def pennylane_distance(a, b):
    """p0 of the distance swap test, from the definition: given states, swaps and Hadamards of PennyLane."""
    n = int(np.log2(len(a)))
    weight = np.linalg.norm(a) ** 2 + np.linalg.norm(b) ** 2
    phi = np.array([np.linalg.norm(a), -np.linalg.norm(b)]) / np.sqrt(weight)
    psi = np.concatenate([a / np.linalg.norm(a), b / np.linalg.norm(b)]) / np.sqrt(2)

    @qml.qnode(qml.device("default.qubit", wires=n + 3))
    def circuit():
        qml.StatePrep(phi / np.linalg.norm(phi), wires=[1])
        qml.StatePrep(psi / np.linalg.norm(psi), wires=range(2, n + 3))
        qml.Hadamard(0)
        qml.CSWAP([0, 1, 2])
        qml.Hadamard(0)
        return qml.probs(wires=0)

    return circuit()[0]


def pennylane_overlap(a, b):
    n = int(np.log2(len(a)))

    @qml.qnode(qml.device("default.qubit", wires=2 * n + 1))
    def circuit():
        qml.StatePrep(a / np.linalg.norm(a), wires=range(1, n + 1))
        qml.StatePrep(b / np.linalg.norm(b), wires=range(n + 1, 2 * n + 1))
        qml.Hadamard(0)
        for i in range(n):
            qml.CSWAP([0, 1 + i, 1 + n + i])
        qml.Hadamard(0)
        return qml.probs(wires=0)

    return circuit()[0]


def test_the_distance_circuit_obeys_its_law():
    a, b = rows(0, 2).astype(float)
    expected = pennylane_distance(a, b)
    circuit = swap_test.distance_circuit(2)
    angles = swap_test.distance_angles(jnp.asarray(a, dtype=jnp.float32), jnp.asarray(b, dtype=jnp.float32))
    ran = qc.probabilities(circuit, angles, wires=(0,))[0]
    law, weight = swap_test.distance_law(
        jnp.asarray(a[None], dtype=jnp.float32), jnp.asarray(b[None], dtype=jnp.float32)
    )
    assert circuit.n_qubits == 5
    assert float(ran) == pytest.approx(expected, abs=TOLERANCE)
    assert float(law[0, 0]) == pytest.approx(expected, abs=TOLERANCE)
    assert 4 * float(weight[0, 0]) * (expected - 0.5) == pytest.approx(((a - b) ** 2).sum(), rel=1e-5)


def test_the_overlap_circuit_obeys_its_law():
    a, b = rows(1, 2).astype(float)
    expected = pennylane_overlap(a, b)
    circuit = swap_test.overlap_circuit(2)
    left, right = jnp.asarray(a, dtype=jnp.float32), jnp.asarray(b, dtype=jnp.float32)
    ran = qc.probabilities(circuit, swap_test.overlap_angles(left, right), wires=(0,))[0]
    assert float(ran) == pytest.approx(expected, abs=TOLERANCE)
    assert float(swap_test.overlap_law(left[None], right[None])[0]) == pytest.approx(expected, abs=TOLERANCE)
    assert 2 * expected - 1 == pytest.approx((a @ b) ** 2 / (a @ a) / (b @ b), abs=TOLERANCE)


def test_distance_estimates_have_binomial_noise(key):
    items, centroids = jnp.asarray(rows(2, 4)), jnp.asarray(rows(3, 3))
    shots, repeats = 64, 800
    draw = jax.jit(jax.vmap(lambda k: swap_test.distances(k, items, centroids, shots)))
    drawn = np.asarray(draw(jax.random.split(key, repeats)), dtype=float)
    true = ((np.asarray(items)[:, None] - np.asarray(centroids)[None]) ** 2).sum(-1)
    weight = (np.asarray(items) ** 2).sum(1)[:, None] + (np.asarray(centroids) ** 2).sum(1)[None]
    p0 = 0.5 + true / (4 * weight)
    deviation = 4 * weight * np.sqrt(p0 * (1 - p0) / shots)
    assert np.all(abs(drawn.mean(0) - true) < SIGMAS * deviation / np.sqrt(repeats))
    assert np.all(abs(drawn.std(0) / deviation - 1) < SIGMAS / np.sqrt(2 * repeats))


def test_overlap_estimates_have_binomial_noise(key):
    a, b = jnp.asarray(rows(4, 5)), jnp.asarray(rows(5, 5))
    shots, repeats = 50, 800
    drawn = np.asarray(jax.jit(jax.vmap(lambda k: swap_test.overlaps(k, a, b, shots)))(jax.random.split(key, repeats)))
    left, right = np.asarray(a), np.asarray(b)
    true = (left * right).sum(1) ** 2 / (left**2).sum(1) / (right**2).sum(1)
    deviation = np.sqrt((1 - true**2) / shots)
    assert np.all(abs(drawn.mean(0) - true) < SIGMAS * deviation / np.sqrt(repeats))


def test_equal_vectors_never_fail(key):
    a = jnp.asarray(rows(6, 3))
    assert np.allclose(swap_test.overlaps(key, a, a, 20), 1.0, atol=TOLERANCE)


def test_resources_charge_loading_every_shot():
    circuit = swap_test.distance_circuit(3)
    once = qc.count(circuit)
    needed = swap_test.resources(circuit, 100, 7)
    assert needed.shots == 700
    assert needed.circuits == 7
    assert needed.measurements == 700
    assert needed.gates_2q == 700 * once.gates_2q
    # Loading psi of 4 qubits takes 2**4 - 2 CNOTs, and the controlled swap is more.
    assert once.gates_2q > 14


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda key, a: swap_test.distance_circuit(0), "qubits"),
        (lambda key, a: swap_test.overlap_circuit(0), "qubits"),
        (lambda key, a: swap_test.distance_angles(a[0], a[0, :2]), "b"),
        (lambda key, a: swap_test.overlap_angles(a[0], a[0, :2]), "b"),
        (lambda key, a: swap_test.distances(key, a, a, 0), "shots"),
        (lambda key, a: swap_test.overlaps(key, a, a, 0), "shots"),
        (lambda key, a: swap_test.resources(swap_test.overlap_circuit(1), 5, 0), "pairs"),
    ],
)
def test_wrong_arguments(key, call, word):
    with pytest.raises(ValueError, match=word):
        call(key, jnp.asarray(rows(7, 2)))
