"""QSVT: polynomial, phases, the circuit itself against numpy's SVD, and the counts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import circuits
from qgen.circuits import encodings
from qgen.quantum import qsvt
from qgen.quantum.qsvt import Config

FLOAT32 = {"atol": 3e-5, "rtol": 3e-5}
EVEN = np.array([0.3, 0, -0.25, 0, 0.2, 0, 0.1])


def spectrum(matrix, values):
    u, _, vt = np.linalg.svd(matrix, full_matrices=False)
    return (u * values) @ vt


@pytest.mark.parametrize(("threshold", "gap", "error"), [(0.3, 0.2, 0.05), (0.6, 0.5, 1e-3)])
def test_the_step_is_a_step(threshold, gap, error):
    polynomial = qsvt.step_polynomial(threshold, gap, error)
    x = np.linspace(-1, 1, 1001)
    values = np.polynomial.chebyshev.chebval(x, polynomial)
    assert len(polynomial) % 2 == 1 and not polynomial[1::2].any()
    assert np.abs(values[np.abs(x) <= threshold - gap / 2]).max() < error
    assert np.abs(values[np.abs(x) >= threshold + gap / 2] - 1).max() < error
    assert np.abs(values).max() <= 1


def test_the_degree_grows_as_one_over_the_gap():
    degrees = [len(qsvt.step_polynomial(0.5, gap, 0.01)) - 1 for gap in (0.4, 0.2, 0.1)]
    np.testing.assert_allclose(np.array(degrees[1:]) / degrees[:-1], 2, atol=0.3)


@pytest.mark.parametrize("polynomial", [EVEN, 0.98 * qsvt.step_polynomial(0.4, 0.3, 0.02)])
def test_phases_give_the_polynomial(polynomial):
    phases = qsvt.phases(polynomial)
    assert len(phases) == len(polynomial)
    for x in (0.13, 0.52, 0.9):
        reflection = np.array([[x, np.sqrt(1 - x * x)], [np.sqrt(1 - x * x), -x]])
        product = np.diag(np.exp([1j * phases[0], -1j * phases[0]]))
        for phase in phases[1:]:
            product = product @ reflection @ np.diag(np.exp([1j * phase, -1j * phase]))
        np.testing.assert_allclose(product[0, 0].real, np.polynomial.chebyshev.chebval(x, polynomial), atol=1e-8)


def test_the_block_encoding_holds_the_matrix():
    matrix = np.random.default_rng(1).normal(size=(4, 8))
    angles = encodings.amplitude_angles(jnp.asarray(matrix.reshape(-1), jnp.float32), real=True)
    circuit = qsvt.block_encoding(2, 3)
    starts = jnp.eye(8, 32, dtype=jnp.complex64)  # |0>|j>
    made = jax.jit(jax.vmap(lambda state: circuits.apply(circuit, angles, state)))(starts)
    # Rows of `made` are inputs j; entry i * 8 is |i>|0>.
    np.testing.assert_allclose(made[:, ::8].T, matrix / np.linalg.norm(matrix), **FLOAT32)


@pytest.mark.parametrize("shape", [(2, 4), (4, 2)])
def test_the_circuit_transforms_singular_values(shape):
    matrix = np.random.default_rng(2).normal(size=shape)
    m, n = (side.bit_length() - 1 for side in shape)
    circuit = qsvt.transformation(m, n, len(EVEN) - 1)
    angles = encodings.amplitude_angles(jnp.asarray(matrix.reshape(-1), jnp.float32), real=True)
    vector = jnp.concatenate([angles, jnp.asarray(qsvt.phases(EVEN), jnp.float32)])
    assert circuit.n_params == vector.size
    places = 4 * np.arange(shape[1])  # |0>|j>, flag and real-part qubit 0
    starts = jnp.zeros((shape[1], 2**circuit.n_qubits), jnp.complex64).at[np.arange(shape[1]), places].set(1)
    made = jax.jit(jax.vmap(lambda state: circuits.apply(circuit, vector, state)))(starts)
    _, s, vt = np.linalg.svd(matrix / np.linalg.norm(matrix))
    full = np.zeros(shape[1])
    full[: len(s)] = s
    wanted = (vt.T * np.polynomial.chebyshev.chebval(full, EVEN)) @ vt
    np.testing.assert_allclose(made[:, places], wanted, **FLOAT32)


@pytest.fixture(scope="module")
def matrix():
    """Two strong directions, then a clear gap."""
    return spectrum(np.random.default_rng(5).normal(size=(12, 7)), np.array([3.0, 2.0, 0.3, 0.2, 0.1, 0.1, 0.05]))


def test_filtered_states_span_the_leading_vectors(matrix):
    (a, b), _ = qsvt.factors(jax.random.key(0), jnp.asarray(matrix, jnp.float32), Config(2, 0, 1.0, 1e-3, shots=0))
    best = np.linalg.norm(matrix - spectrum(matrix, np.array([3.0, 2.0, 0, 0, 0, 0, 0])))
    np.testing.assert_allclose(np.linalg.norm(matrix - np.asarray(a @ b)), best, rtol=5e-3)
    np.testing.assert_allclose(b @ b.T, np.eye(2), **FLOAT32)
    wide, _ = qsvt.factors(jax.random.key(0), jnp.asarray(matrix.T, jnp.float32), Config(2, 0, 1.0, 1e-3, shots=0))
    np.testing.assert_allclose(wide[0] @ wide[1], (a @ b).T, **FLOAT32)


def test_shots_cost_accuracy(matrix):
    given = jnp.asarray(matrix, jnp.float32)

    def error(shots):
        a, b = qsvt.factors(jax.random.key(1), given, Config(2, 0, 1.0, 1e-2, shots=shots))[0]
        return np.linalg.norm(matrix - np.asarray(a @ b))

    few, many, exact = error(20), error(20_000), error(0)
    assert exact < many < few
    assert many < 1.2 * exact


def test_counts_are_those_of_the_circuit(matrix):
    """Gates of one execution: the whole circuit's and the loader's; executions: settings * shots / chance."""
    degree, passed = 4, np.array([0.5, 0.2])
    (needed,) = qsvt.resources((2, 4), degree, passed, 100)
    circuit = circuits.count(qsvt.transformation(1, 2, degree))
    loader = circuits.count(encodings.amplitude(2, real=True))
    executions = 3 * 100 / 0.5 + 3 * 100 / 0.2
    for name in ("gates_1q", "gates_2q", "rotations", "t_gates"):
        np.testing.assert_allclose(
            getattr(needed, name), executions * (getattr(circuit, name) + getattr(loader, name)), err_msg=name
        )
    assert needed.layers >= executions * circuit.layers
    assert (needed.qubits, needed.circuits, needed.shots) == (circuit.qubits, 6, executions)
    for shape in ((1, 1), (2, 3), (4, 2)):
        walked = circuits.count(qsvt.block_encoding(*shape))
        assert qsvt._call(*shape) == dataclasses.replace(walked, circuits=0, shots=0, measurements=0)
    _, (whole,) = qsvt.factors(jax.random.key(0), jnp.asarray(matrix, jnp.float32), Config(2, 1, shots=10))
    assert whole.circuits == 3 * 4
    assert whole.shots > 3 * 4 * 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: qsvt.step_polynomial(1.2, 0.1, 0.1), "`threshold` must lie in"),
        (lambda: qsvt.step_polynomial(0.2, 0.5, 0.1), "`gap` must lie in"),
        (lambda: qsvt.step_polynomial(0.2, 0.1, 0.7), "`error` must lie in"),
        (lambda: qsvt.phases(np.array([0.5])), "`degree` must be at least 2"),
        (lambda: qsvt.phases(np.array([0.1, 0.2, 0.3])), "`polynomial` must be even"),
        (lambda: qsvt.phases(np.array([0.5, 0, 0.6])), "`polynomial` must stay within 0.98"),
        (lambda: qsvt.block_encoding(0, 2), "`row_qubits` must be at least 1"),
        (lambda: qsvt.block_encoding(2, 0), "`column_qubits` must be at least 1"),
        (lambda: qsvt.transformation(1, 1, 3), "`degree` must be even"),
        (lambda: Config(0), "`rank` must be at least 1"),
        (lambda: Config(1, -1), "`oversampling` must be at least 0"),
        (lambda: Config(1, gap=2.0), "`gap` must lie in"),
        (lambda: Config(1, error=0.6), "`error` must lie in"),
        (lambda: Config(1, shots=-1), "`shots` must be at least 0"),
        (lambda: qsvt.factors(jax.random.key(0), jnp.ones((3, 5)), Config(3)), r"`rank` must lie in \[1, 2\]"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
