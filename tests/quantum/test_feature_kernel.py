"""The feature kernel against PennyLane, and its counts."""

import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from qgen import circuits
from qgen.quantum import feature_kernel

FLOAT32 = {"atol": 3e-5, "rtol": 3e-5}


@pytest.mark.parametrize("entangled", [True, False])
def test_the_kernel_is_the_overlap_of_pennylanes_states(entangled):
    features = np.random.default_rng(1).normal(size=(4, 7))
    used = features[:, :3]
    x = 0.7 * used / np.sqrt(np.mean(used**2, axis=1, keepdims=True))
    device = qml.device("default.qubit", wires=3)

    @qml.qnode(device)
    def state(row):
        for _ in range(2):
            for q in range(3):
                qml.Hadamard(q)
                qml.RZ(2 * row[q], q)
            for a, b in ((0, 1), (1, 2), (2, 0)) if entangled else ():
                qml.MultiRZ(2 * row[a] * row[b], [a, b])
        return qml.state()

    states = np.array([state(row) for row in x])
    made = feature_kernel.kernel(3, 0.7, entangled, reps=2)(jnp.asarray(features, jnp.float32))
    np.testing.assert_allclose(made, np.abs(states.conj() @ states.T) ** 2, **FLOAT32)


def test_counts():
    (needed,) = feature_kernel.resources(3, True, 2, steps=5, batch=4, shots=100)
    circuit = feature_kernel.feature_map(3, True, 2)
    assert circuit.n_params == 6
    assert needed.circuits == 5 * 6 * (2 + 2 * 2 * 2 * 6)
    once = circuits.count(circuit + circuit.inverse())
    assert needed.gates_2q == once.gates_2q * 100 * needed.circuits


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: feature_kernel.kernel(0, 0.5), "`n_qubits` must be at least 1"),
        (lambda: feature_kernel.kernel(2, 0.0), "`bandwidth` must be above 0"),
        (lambda: feature_kernel.kernel(2, 0.5, reps=0), "`reps` must be at least 1"),
        (lambda: feature_kernel.kernel(3, 0.5)(jnp.ones((2, 2))), r"`features.shape\[1\]` must be at least 3"),
        (lambda: feature_kernel.resources(2, True, 1, steps=0, batch=4, shots=1), "`steps` must be at least 1"),
        (lambda: feature_kernel.resources(2, True, 1, steps=1, batch=1, shots=1), "`batch` must be at least 2"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
