"""Sharded states on 4 virtual devices and on 2 processes against PennyLane's state vector."""

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest
from jax.sharding import Mesh

from qgen import circuits as qc
from qgen.circuits import sharding
from tests.circuits import oracle
from tests.circuits.sharding_case import CIRCUIT, OBSERVABLES, PARAMS, START, WORDS, N
from tests.processes import launch

EXACT = 1e-10
SLOPE = 1e-7
SINGLE = 1e-5


def reference(params, start=None) -> np.ndarray:
    """The state after the case's circuit by PennyLane."""

    @qml.qnode(qml.device("default.qubit", wires=N))
    def node():
        if start is not None:
            qml.StatePrep(start, wires=range(N))
        for op in CIRCUIT.walk():
            angles = [a.scale * params[a.index] + a.offset if isinstance(a, qc.Angle) else a for a in op.angles]
            if op.support:
                getattr(qml, qc.GATES[op.name].pennylane)(*angles, wires=op.wires)
            else:
                qml.GlobalPhase(-angles[0])
        return qml.state()

    return np.asarray(node())


def values(params) -> list[float]:
    """The observables' values by PennyLane's state and dense words."""
    psi, found = reference(params), []
    table = {"I": np.eye(2), "X": qml.X.compute_matrix(), "Y": qml.Y.compute_matrix(), "Z": qml.Z.compute_matrix()}
    for words, observable in zip(WORDS, OBSERVABLES, strict=True):
        total = 0.0
        for word, weight in zip(words, observable.coefficients, strict=True):
            matrix = np.eye(1)
            for letter in word:
                matrix = np.kron(matrix, table[letter])
            total += weight * np.vdot(psi, matrix @ psi).real
        found.append(total)
    return found


@pytest.mark.parametrize("processes", [1, 2])
def test_sharded_over_four_devices(processes):
    results = launch("tests.circuits.sharding_worker", processes)
    for wide, batch in (result["errors"] for result in results):
        assert "3 qubits on 4 devices leaves 1 qubits" in wide and "widest gate needs 2: use fewer devices" in wide
        assert "The batch of 6 members must be a multiple of the 4 devices" in batch
    expected, step = values(PARAMS), 1e-5
    psi = reference(PARAMS, START)
    mean = np.mean([values(PARAMS * k)[0] for k in range(8)])
    direction = np.eye(len(PARAMS))[N + 2]
    plain = oracle.slope(lambda p: np.mean([values(p * k)[0] for k in range(8)]), PARAMS, direction)
    pieces = {}
    for result in results:
        assert result["devices"] == [4, 4 // processes]
        np.testing.assert_allclose(result["values"], expected, atol=EXACT)
        np.testing.assert_allclose(result["mean"], mean, atol=EXACT)
        np.testing.assert_allclose(result["slope"] @ direction, plain, atol=SLOPE)
        for k in (0, N, N + 2, len(PARAMS) - 1):
            high, low = (values(PARAMS + sign * step * np.eye(len(PARAMS))[k])[0] for sign in (1, -1))
            np.testing.assert_allclose(result["gradient"][k], (high - low) / (2 * step), atol=SLOPE)
        pieces.update(result["state"])
    assert sorted(pieces, key=int) == ["0", "8", "16", "24"]
    found = np.concatenate(
        [np.array(pieces[first][0]) + 1j * np.array(pieces[first][1]) for first in ("0", "8", "16", "24")]
    )
    np.testing.assert_allclose(found, psi, atol=EXACT)


def test_one_device_needs_no_exchange():
    mesh = sharding.qubit_mesh(jax.devices()[:1])
    found = jax.jit(lambda p: sharding.expectation(CIRCUIT, p, OBSERVABLES, mesh))(jnp.asarray(PARAMS))
    np.testing.assert_allclose(found, values(PARAMS), atol=SINGLE)
    members = sharding.population_mesh(jax.devices()[:1])
    squares = jax.jit(sharding.spread(lambda x, y: {"sum": x**2 + y}, members))(jnp.arange(3.0), jnp.ones(3))
    np.testing.assert_allclose(squares["sum"], [1, 2, 5])


ONE = Mesh(np.array(jax.devices()[:1]), ("population",))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sharding.qubit_mesh(jax.devices()[:1] * 3), "power of two of devices, but holds 3"),
        (lambda: sharding.qubit_mesh([]), "power of two of devices, but holds 0"),
        (lambda: sharding.population_mesh([]), "`number of devices` must be at least 1"),
        (lambda: sharding.spread(jnp.sin, sharding.qubit_mesh(jax.devices()[:1])), "`population` must be one of"),
        (lambda: sharding.apply(CIRCUIT, PARAMS, ONE), "must have axes of length 2"),
        (
            lambda: sharding.apply(CIRCUIT, PARAMS, sharding.qubit_mesh(jax.devices()[:1]), np.ones(3)),
            r"`state` must have shape \(32\)",
        ),
        (
            lambda: sharding.apply(CIRCUIT, PARAMS, sharding.qubit_mesh(jax.devices()[:1]), np.ones(32)),
            "`state` must have norm 1",
        ),
        (
            lambda: sharding.apply(qc.Circuit(50), (), sharding.qubit_mesh(jax.devices()[:1])),
            "50 qubits needs .* GiB .* at most .* qubits fit",
        ),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
