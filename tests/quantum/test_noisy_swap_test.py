"""Noisy swap tests against PennyLane's density matrices of whole circuits, and against closed forms without noise."""

import jax
import numpy as np
import pytest

from qgen import circuits as qc
from qgen.circuits.noise import Channel, NoiseModel
from qgen.quantum import noisy_swap_test as noisy
from qgen.quantum import swap_test

TOLERANCE = 2e-5
ERRORS = (0.004, 0.03, 0.02)
"""Probability of a Pauli error after gates on one and on two qubits, and of a wrong read-out."""
MODEL = NoiseModel(
    (Channel("depolarising", (ERRORS[0],)),),
    (Channel("depolarising_2q", (ERRORS[1],)),),
    readout=((1 - ERRORS[2], ERRORS[2]), (ERRORS[2], 1 - ERRORS[2])),
)


def mixed(circuit, params):
    """p0 of wire 0 of a circuit with controlled swaps, gate by gate on PennyLane's density matrices."""
    qml = pytest.importorskip("pennylane")
    from itertools import product

    words = ["".join(letters) for letters in product("IXYZ", repeat=2)][1:]
    paulis = {"I": np.eye(2), "X": qml.X.compute_matrix(), "Y": qml.Y.compute_matrix(), "Z": qml.Z.compute_matrix()}
    two = [np.sqrt(1 - ERRORS[1]) * np.eye(4)]
    two += [np.sqrt(ERRORS[1] / 15) * np.kron(paulis[a], paulis[b]) for a, b in words]

    @qml.qnode(qml.device("default.mixed", wires=circuit.n_qubits))
    def run():
        for item in circuit.flat().ops:
            for op in noisy.controlled_swap(*item.wires) if item.name == "cswap" else (item,):
                angle = [float(params[op.angles[0].index])] if op.name == "ry" else []
                gate = {"ry": qml.RY, "h": qml.Hadamard, "cx": qml.CNOT, "t": qml.T}.get(op.name)
                qml.adjoint(qml.T)(op.wires[0]) if gate is None else gate(*angle, wires=op.wires)
                if len(op.wires) == 2:
                    qml.QubitChannel(two, wires=op.wires)
                else:
                    qml.DepolarizingChannel(ERRORS[0], wires=op.wires[0])
        return qml.probs(wires=0)

    p0 = float(run()[0])
    return (1 - ERRORS[2]) * p0 + ERRORS[2] * (1 - p0)


def rows(seed, n, features):
    return np.random.default_rng(seed).uniform(0.2, 1.4, (n, features)).astype(np.float32)


def test_distances_match_whole_noisy_circuits():
    items, centroids = rows(1, 2, 2), rows(2, 1, 2)
    # Compiled, and with nothing known of the machine beforehand: its numbers are found while the program is traced.
    noisy.transfer.cache_clear()
    noisy.single.cache_clear()
    found = np.asarray(jax.jit(lambda a, b: noisy.distance_zeros(a, b, MODEL))(items, centroids))
    for a, p0 in zip(items, found[:, 0], strict=True):
        assert p0 == pytest.approx(
            mixed(swap_test.distance_circuit(1), swap_test.distance_angles(a, centroids[0])), abs=TOLERANCE
        )


def test_angles_match_whole_noisy_circuits():
    items, centroids = rows(3, 1, 2), rows(4, 2, 2)
    found = np.asarray(noisy.angle_zeros(items, centroids, MODEL))
    for b, p0 in zip(centroids, found[0], strict=True):
        assert p0 == pytest.approx(mixed(noisy.angle_circuit(2), np.concatenate([items[0], b])), abs=TOLERANCE)


def test_without_noise_they_follow_the_closed_forms():
    items, centroids = rows(5, 3, 2), rows(6, 2, 2)
    squared = ((items[:, None] - centroids[None]) ** 2).sum(-1)
    weight = (items**2).sum(1)[:, None] + (centroids**2).sum(1)[None]
    zeros = jax.jit(lambda *given: noisy.distance_zeros(*given, NoiseModel()))(items, centroids)
    assert np.allclose(zeros, 0.5 + squared / (4 * weight), atol=TOLERANCE)
    overlap = (np.cos((items[:, None] - centroids[None]) / 2) ** 2).prod(-1)
    zeros = jax.jit(lambda *given: noisy.angle_zeros(*given, NoiseModel()))(items, centroids)
    assert np.allclose(zeros, (1 + overlap) / 2, atol=TOLERANCE)
    assert np.allclose(noisy.angle_law(items, centroids), (1 + overlap) / 2, atol=TOLERANCE)
    circuit = noisy.angle_circuit(2)
    p0 = qc.probabilities(circuit, np.concatenate([items[0], centroids[0]])).reshape(2, -1).sum(1)[0]
    assert p0 == pytest.approx((1 + overlap[0, 0]) / 2, abs=TOLERANCE)
