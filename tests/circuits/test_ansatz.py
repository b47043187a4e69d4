import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest
import scipy.linalg

from qgen import circuits as qc
from qgen.circuits import ansatz
from tests.circuits import oracle

ATOL = 5e-6
N = 4


def run_pennylane(template, *arguments):
    device = qml.device("default.qubit", wires=N)

    @qml.qnode(device)
    def node():
        template(*arguments, wires=range(N))
        return qml.state()

    return np.asarray(node())


def test_strongly_entangling_is_pennylanes():
    weights = np.random.default_rng(0).uniform(-2, 2, (5, N, 3))
    found = qc.apply(ansatz.strongly_entangling(N, 5), weights)
    expected = run_pennylane(qml.StronglyEntanglingLayers, weights)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)
    offsets = qc.apply(ansatz.ring_offsets(N, 5, (1, 2, 3)), weights)
    np.testing.assert_allclose(offsets, expected, rtol=0, atol=ATOL)


@pytest.mark.parametrize(
    ("circuit", "count"),
    [
        (ansatz.hardware_efficient(N, 3), 24),
        (ansatz.brickwork(N, 2), 32),
        (ansatz.ansatz14(N, 2), 32),
        (ansatz.ring_offsets(N, 3, (1, 3), "ry"), 12),
        (ansatz.hardware_efficient(1, 2), 4),
        (ansatz.hardware_efficient(2, 2), 8),
    ],
)
def test_counts_and_states(circuit, count):
    assert circuit.n_params == count
    params = np.random.default_rng(1).uniform(-2, 2, count)
    expected = oracle.pennylane_state(circuit, params)
    np.testing.assert_allclose(qc.apply(circuit, params), expected, rtol=0, atol=ATOL)


def test_ansatz14_is_the_papers():
    """RY, CRX from n-1 to 0 and down, RY, CRX the other way: the order of figure 2 of arXiv:1905.10876."""
    pairs = [op.wires for op in ansatz.ansatz14(4, 1).walk() if op.name == "crx"]
    assert pairs == [(3, 0), (2, 3), (1, 2), (0, 1), (3, 2), (0, 3), (1, 0), (2, 1)]


def test_qaoa_is_two_exponentials():
    cost = qc.Observable([((0, "Z"), (1, "Z")), ((1, "Z"), (2, "Z")), ((2, "Z"),), ()], [0.7, -1.1, 0.4, 0.3])
    params = np.array([[0.4, 0.9], [1.2, -0.3]])
    c = oracle.dense(cost, 3)
    m = sum(oracle.dense(qc.pauli("X", q), 3) for q in range(3))
    psi = np.full(8, 8**-0.5, complex)
    for gamma, beta in params:
        psi = scipy.linalg.expm(-1j * beta * m) @ scipy.linalg.expm(-1j * gamma * c) @ psi
    np.testing.assert_allclose(qc.apply(ansatz.qaoa(cost, 2), params), psi, rtol=0, atol=ATOL)


@pytest.mark.parametrize(
    ("mixer", "pairs"),
    [("xy_ring", [(0, 1), (2, 3), (1, 2), (3, 0)]), ("xy_complete", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])],
)
def test_xy_mixers_conserve_weight(mixer, pairs):
    cost = qc.Observable(["ZZII", "IIZI"], [0.7, 0.4])
    params = np.array([[0.4, 0.9]])
    start = np.zeros(16, complex)
    start[0b0101] = start[0b1100] = 0.5**0.5
    psi = scipy.linalg.expm(-0.4j * oracle.dense(cost, 4)) @ start
    for a, b in pairs:
        hop = oracle.dense(qc.pauli("XX", (a, b)) + qc.pauli("YY", (a, b)), 4)
        psi = scipy.linalg.expm(-0.45j * hop) @ psi
    found = qc.apply(ansatz.qaoa(cost, 1, mixer, n_qubits=4), params, state=jnp.asarray(start))
    np.testing.assert_allclose(found, psi, rtol=0, atol=ATOL)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ansatz.hardware_efficient(2, 0), "`layers` must be at least 1"),
        (lambda: ansatz.strongly_entangling(3, 2, (1,)), "must hold 2 numbers"),
        (lambda: ansatz.ring_offsets(3, 2, ()), "at least one number"),
        (lambda: ansatz.ring_offsets(3, 2, (3,)), "with itself"),
        (lambda: ansatz.ring_offsets(3, 2, (1,), "magic"), "must be one of"),
        (lambda: ansatz.ansatz14(1, 1), "`n_qubits` must be at least 2"),
        (lambda: ansatz.qaoa(qc.pauli("X", 0), 1), "only Z words"),
        (lambda: ansatz.qaoa(qc.z(0), 1, "y"), "`mixer` must be one of"),
        (lambda: ansatz.qaoa(qc.z(3), 1, n_qubits=2), "out of range"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_traced_cost_is_refused():
    import jax

    with pytest.raises(ValueError, match="concrete coefficients"):
        jax.jit(lambda c: qc.apply(ansatz.qaoa(qc.Observable(["Z"], c), 1), jnp.ones(2)))(jnp.ones(1))
