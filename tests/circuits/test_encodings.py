import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from qgen import circuits as qc
from qgen.circuits import encodings
from tests.circuits import oracle

ATOL = 5e-6


def test_basis_and_angle():
    assert abs(np.asarray(qc.apply(encodings.basis((1, 0, 1)))))[0b101] == pytest.approx(1, abs=ATOL)
    x = np.array([0.3, -1.2])
    expected = np.kron([np.cos(0.15), np.sin(0.15)], [np.cos(-0.6), np.sin(-0.6)])
    np.testing.assert_allclose(qc.apply(encodings.angle(2), x), expected, rtol=0, atol=ATOL)


@pytest.mark.parametrize("pairs", [None, ((0, 2), (1, 2))])
def test_iqp_is_hadamards_and_diagonals(pairs):
    n = 3
    x = np.array([0.3, -0.8, 0.55])
    chosen = ((0, 1), (1, 2), (2, 0)) if pairs is None else pairs
    h = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    energy = sum(x[i] * np.diag(oracle.dense(qc.z(i), n)).real for i in range(n))
    energy = energy + sum(x[a] * x[b] * np.diag(oracle.dense(qc.pauli("ZZ", (a, b)), n)).real for a, b in chosen)
    psi = np.eye(2**n)[0]
    for _ in range(2):
        psi = np.exp(-1j * energy) * (np.kron(np.kron(h, h), h) @ psi)
    found = qc.apply(encodings.iqp(n, 2, pairs), encodings.iqp_angles(x, pairs))
    np.testing.assert_allclose(found, psi, rtol=0, atol=ATOL)
    assert encodings.iqp_angles(np.ones((5, 1))).shape == (5, 1)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_amplitude_prepares_the_vector(n):
    rng = np.random.default_rng(n)
    vector = oracle.random_state(rng, n)
    with jax.enable_x64(True):
        load = jax.jit(lambda v: qc.apply(encodings.amplitude(n), encodings.amplitude_angles(v)))
        np.testing.assert_allclose(load(jnp.asarray(vector)), vector, rtol=0, atol=1e-10)
        np.testing.assert_allclose(encodings.amplitude_state(2.5 * vector), vector, rtol=0, atol=1e-12)
        signed = rng.normal(size=2**n)
        signed[0] = 0.0
        real = encodings.amplitude(n, real=True)
        load = jax.jit(lambda v: qc.apply(real, encodings.amplitude_angles(v, real=True)))
        np.testing.assert_allclose(load(jnp.asarray(signed)), signed / np.linalg.norm(signed), rtol=0, atol=1e-10)
    circuit = encodings.amplitude(n, real=True)
    expected = oracle.pennylane_state(circuit, np.asarray(encodings.amplitude_angles(signed, real=True)))
    np.testing.assert_allclose(expected, signed / np.linalg.norm(signed), rtol=0, atol=1e-5)
    assert sum(op.name == "cx" for op in circuit.ops) == 2**n - 2
    assert sum(op.name == "cx" for op in encodings.amplitude(n).ops) == 2 ** (n + 1) - 4


@pytest.mark.parametrize(("order", "steps", "atol"), [(1, 400, 3e-3), (2, 40, 1e-3)])
def test_evolution_converges_to_the_exponential(order, steps, atol):
    h = qc.pauli("XX", (0, 1)) + 0.7 * qc.z(0) + 0.4 * qc.pauli("YZ", (1, 2)) + qc.Observable([()], [0.3])
    expected = scipy.linalg.expm(-0.8j * oracle.dense(h, 3))[:, 0]
    fixed = qc.apply(encodings.evolution(h, 0.8, steps, order))
    np.testing.assert_allclose(fixed, expected, rtol=0, atol=atol)
    free = encodings.evolution(h, steps=steps, order=order)
    assert free.n_params == 1
    np.testing.assert_allclose(qc.apply(free, jnp.array([0.8])), fixed, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: encodings.basis((2, 0)), "zeros and ones"),
        (lambda: encodings.basis(()), "zeros and ones"),
        (lambda: encodings.amplitude(0), "`n_qubits` must be at least 1"),
        (lambda: encodings.amplitude_angles(jnp.ones(3)), "must have shape"),
        (lambda: encodings.amplitude_angles(jnp.ones(1)), "must be at least 2"),
        (lambda: encodings.amplitude_angles(jnp.zeros(4)), "must not be zero"),
        (lambda: encodings.amplitude_state(jnp.zeros(2)), "must not be zero"),
        (lambda: encodings.amplitude_angles(jnp.ones(2) * 1j, real=True), "must be real"),
        (lambda: encodings.evolution(qc.z(0), 1.0, 0), "`steps` must be at least 1"),
        (lambda: encodings.evolution(qc.z(0), 1.0, order=3), "`order` must be one of"),
        (lambda: encodings.evolution(qc.z(2), 1.0, n_qubits=2), "out of range"),
        (lambda: encodings.iqp(2, 0), "`times` must be at least 1"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
