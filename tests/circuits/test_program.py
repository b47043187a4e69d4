import itertools

import numpy as np
import pytest
import scipy.linalg

from qgen import circuits as qc
from qgen.circuits import program as pr
from qgen.circuits.gate_rules import euler
from qgen.circuits.lowering import lower
from tests.circuits import oracle

ATOL = 5e-6


def kinds(stages):
    return [kinds(s.body) if isinstance(s, pr.Loop) else type(s).__name__ for s in stages]


def test_layers_lower_to_few_stages():
    assert kinds(lower(qc.ansatz.hardware_efficient(6, 5)).stages) == [["Turns", "Phases", "Affine"]]
    upload = qc.repeat(qc.encodings.angle(6, "rx") + qc.ansatz.hardware_efficient(6, 1), 3, shared=6)
    assert kinds(lower(upload).stages) == [["Turns", "Phases", "Turns", "Phases", "Affine"]]
    cost = qc.Observable([((i, "Z"), ((i + 1) % 6, "Z")) for i in range(6)], np.arange(1.0, 7.0))
    assert kinds(lower(qc.ansatz.qaoa(cost, 4)).stages) == ["Turns", "Phases", ["Phases", "Turns"], "Phases"]


def test_a_clifford_permutation_is_one_gather():
    ops = (qc.gate("cx", (0, 1)), qc.gate("x", 2), qc.gate("swap", (1, 3)), qc.gate("cx", (3, 0)))
    assert kinds(lower(qc.Circuit(4, ops)).stages) == ["Affine"]
    assert kinds(lower(qc.Circuit(2, (qc.gate("cx", (0, 1)), qc.gate("cx", (0, 1))))).stages) == []


def test_trim_drops_trailing_diagonals():
    circuit = qc.Circuit(2, (qc.gate("ry", 0, 0.3), qc.gate("rz", 0, 0.4), qc.gate("cz", (0, 1))))
    assert kinds(pr.trim(lower(circuit)).stages) == ["Turns"]


@pytest.mark.parametrize("seed", range(4))
def test_euler(seed):
    rng = np.random.default_rng(seed)
    matrix = np.linalg.qr(rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2)))[0]
    matrix = [matrix, np.diag(np.exp(1j * rng.normal(size=2))), matrix * [[0, 1], [1, 0]], matrix][seed]
    matrix = scipy.linalg.polar(matrix)[0]
    shift, first, middle, last = euler(matrix)
    rz = lambda t: np.diag(np.exp([-0.5j * t, 0.5j * t]))  # noqa: E731
    ry = np.array([[np.cos(middle / 2), -np.sin(middle / 2)], [np.sin(middle / 2), np.cos(middle / 2)]])
    np.testing.assert_allclose(np.exp(1j * shift) * rz(last) @ ry @ rz(first), matrix, rtol=0, atol=1e-10)


@pytest.mark.parametrize("n", [5, 11])
def test_wide_diagonals_matrices_and_controls(n):
    """Phases over two halves, tables and dense matrices, on registers on both sides of the limits."""
    rng = np.random.default_rng(n)
    wires = tuple(int(w) for w in rng.permutation(n))
    ops = (
        *(qc.gate("ry", q, 0.3 + 0.1 * q) for q in range(n)),
        qc.diagonal(np.exp(1j * rng.uniform(-3, 3, 16)), wires[:4]),
        qc.unitary(np.linalg.qr(rng.normal(size=(8, 8)) + 1j * rng.normal(size=(8, 8)))[0], wires[1:4]),
        qc.gate("p", wires[0], 0.7, controls=wires[1:5], values=(1, 0, 1, 1)),
        qc.gate("x", wires[4], controls=wires[:4]),
        *(qc.pauli_rotation("ZZ", (a, b), 0.2 * a - 0.3 * b) for a, b in itertools.pairwise(wires)),
        qc.gate("rx", wires[2], 0.9, controls=wires[3:5]),
    )
    circuit = qc.Circuit(n, ops)
    np.testing.assert_allclose(qc.apply(circuit), oracle.pennylane_state(circuit, ()), rtol=0, atol=ATOL)


def test_a_matrix_on_too_many_wires():
    big = qc.controlled(qc.unitary(np.eye(4), (0, 1)), tuple(range(2, 12)))
    with pytest.raises(ValueError, match="at most 10 wires"):
        qc.apply(qc.Circuit(12, (big,)))
