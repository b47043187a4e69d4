"""Random circuits over the whole gate table against PennyLane's default.qubit, in both precisions, with gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from qgen import circuits as qc
from qgen.circuits.engine import native
from qgen.circuits.observables import Observable
from tests.circuits import oracle

ATOL = {"float32": 5e-6, "float64": 1e-11}
GRADIENT_ATOL = {"float32": 5e-5, "float64": 1e-7}
NAMES = sorted(qc.GATES)
N_PARAMS = 4
NATIVE = pytest.mark.skipif(native._best() is None, reason="the compiled engine is not installed (no C++ compiler)")
WIDTHS = (4, 5, 4, 6, 4, 3, 2, 1)
OPS = 9


def random_circuit(seed):
    """A circuit whose gates run through the table: all circuits together hold every gate."""
    rng = np.random.default_rng(seed)
    n = WIDTHS[seed]
    ops = []
    for k in range(OPS):
        name = NAMES[(seed * OPS + k) % len(NAMES)]
        op = oracle.random_op(rng, name, n, N_PARAMS, int(rng.integers(0, 3)) if k % 3 == 0 else 0)
        ops += [op or oracle.random_op(rng, name, n, N_PARAMS)]
        ops.append(qc.gate("ry", int(rng.integers(n)), qc.Angle(int(rng.integers(N_PARAMS)), 0.8)))
    return qc.Circuit(n, (*(op for op in ops if op), qc.gate("rz", 0, qc.Angle(N_PARAMS - 1)))), rng


def random_observable(rng, n):
    words = ["".join(rng.choice(list("IXYZ"), n)) for _ in range(4)]
    return Observable(words, rng.uniform(-1, 1, 4)) + 0.3 * qc.z(0)


def compare(circuit, params, observable, rng):
    """State, value and a directional derivative in both precisions against PennyLane's state."""
    direction = rng.normal(size=circuit.n_params)
    state = oracle.pennylane_state(circuit, params)
    expected = oracle.value(circuit, params, observable)
    slope = oracle.slope(lambda p: oracle.value(circuit, p, observable), params, direction)

    def both(p):
        value = lambda p: qc.expectation(circuit, p, observable, engine="xla")  # noqa: E731
        return qc.apply(circuit, p, engine="xla"), jax.value_and_grad(value)(p)

    for dtype in ("float32", "float64"):
        with jax.enable_x64(dtype == "float64"):
            found, (value, gradient) = jax.jit(both)(jnp.asarray(params, dtype))
        assert gradient.dtype == dtype
        np.testing.assert_allclose(found, state, rtol=0, atol=ATOL[dtype])
        np.testing.assert_allclose(value, expected, rtol=0, atol=ATOL[dtype])
        np.testing.assert_allclose(np.asarray(gradient) @ direction, slope, rtol=0, atol=GRADIENT_ATOL[dtype])


@pytest.mark.parametrize("seed", range(len(WIDTHS)))
def test_random_circuit(seed):
    circuit, rng = random_circuit(seed)
    compare(circuit, rng.uniform(-2, 2, N_PARAMS), random_observable(rng, circuit.n_qubits), rng)


def test_the_circuits_hold_the_whole_table():
    held = {op.name for seed in range(len(WIDTHS)) for op in random_circuit(seed)[0].ops}
    assert held == set(NAMES)


@functools.cache
def wide_case(n):
    """The whole table at once on n wires, and by PennyLane's states a value and its slope along a direction."""
    rng = np.random.default_rng(n)
    ops = [oracle.random_op(rng, NAMES[k], n, N_PARAMS, int(k % 5 == 0)) for k in rng.permutation(len(NAMES))]
    start = [qc.gate("ry", wire, 0.5 + 0.1 * wire) for wire in range(n)]
    circuit = qc.Circuit(n, (*start, *ops))
    params, direction = rng.uniform(-2, 2, (2, N_PARAMS))
    observable = Observable(["".join(rng.choice(list("XYZ"), 2)) + "I" * (n - 4) + "ZY", "Z" * n], [0.7, -0.4]) + qc.z(
        n - 2
    )

    def value(p):
        psi = oracle.pennylane_state(circuit, p)
        letters = {"X": qml.X, "Y": qml.Y, "Z": qml.Z}
        total = 0.0
        for word, weight in zip(observable.words, observable.coefficients, strict=True):
            acted = psi.reshape((2,) * n)
            for wire, letter in word:
                acted = np.moveaxis(np.tensordot(letters[letter].compute_matrix(), acted, (1, wire)), 0, wire)
            total += weight * np.vdot(psi, acted.reshape(-1)).real
        return total

    return circuit, params, direction, observable, value(params), oracle.slope(value, params, direction)


@pytest.mark.parametrize(
    ("engine", "n", "dtype"),
    [
        *(pytest.param("native", n, dtype, marks=NATIVE) for n in (9, 12) for dtype in ("float32", "float64")),
        # The plain engine treats both precisions and all widths alike, and takes seconds to compile.
        ("xla", 9, "float32"),
        ("xla", 12, "float64"),
    ],
)
def test_the_whole_table_on_many_wires(engine, n, dtype):
    circuit, params, direction, observable, expected, slope = wide_case(n)
    with jax.enable_x64(dtype == "float64"):
        run = jax.jit(jax.value_and_grad(lambda p: qc.expectation(circuit, p, observable, engine=engine)))
        value, gradient = run(jnp.asarray(params, dtype))
    assert gradient.dtype == dtype
    np.testing.assert_allclose(value, expected, rtol=0, atol=ATOL[dtype])
    np.testing.assert_allclose(np.asarray(gradient) @ direction, slope, rtol=0, atol=GRADIENT_ATOL[dtype])


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_every_gate_with_controls(extra):
    rng = np.random.default_rng(extra)
    n = 6
    for name in NAMES:
        op = oracle.random_op(rng, name, n, 0, extra)
        circuit = qc.Circuit(n, (op,))
        state = oracle.random_state(rng, n)
        found = qc.apply(circuit, (), state=jnp.asarray(state))
        np.testing.assert_allclose(found, oracle.pennylane_state(circuit, (), state), rtol=0, atol=ATOL["float32"])


@pytest.mark.slow
@pytest.mark.parametrize("n", [7, 8, 9, 10])
def test_wide_circuits(n):
    rng = np.random.default_rng(n)
    ops = [oracle.random_op(rng, name, n, N_PARAMS, int(rng.integers(0, 3))) for name in NAMES * 2]
    circuit = qc.Circuit(n, tuple(ops)) + qc.ansatz.hardware_efficient(n, 3)
    compare(circuit, rng.uniform(-2, 2, circuit.n_params), random_observable(rng, n), rng)
