import jax
import numpy as np
import pennylane as qml
import pytest

from qgen import circuits as qc
from qgen.circuits import gates
from tests.circuits.oracle import pennylane_op

ATOL = 1e-12
ANGLES = (0.731, -1.234, 2.345, 0.567)
FIXED_SHAPE = [row for row in qc.GATES.values() if row.wires is not None]


@pytest.mark.parametrize("row", FIXED_SHAPE, ids=lambda row: row.name)
def test_matrix_is_pennylanes(row):
    angles = ANGLES[: row.angles]
    wires = tuple(range(row.wires))
    with jax.enable_x64(True):
        found = np.asarray(row.matrix(*angles))
    oracle = pennylane_op(qc.gate(row.name, wires, *angles), ())
    expected = np.exp(1j * angles[0]) if row.name == "gphase" else qml.matrix(oracle, wire_order=wires)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)


@pytest.mark.parametrize("row", [r for r in FIXED_SHAPE if r.generator is not None], ids=lambda row: row.name)
def test_frequencies_are_pennylanes(row):
    if not row.pennylane:
        assert row.frequencies == ()
        return
    oracle = getattr(qml, row.pennylane)(0.3, wires=range(row.wires))
    np.testing.assert_allclose(sorted(row.frequencies), sorted(oracle.parameter_frequencies[0]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("row", [r for r in FIXED_SHAPE if r.inverse], ids=lambda row: row.name)
def test_named_inverse(row):
    product = qc.GATES[row.inverse].fixed @ row.fixed
    np.testing.assert_allclose(product, np.eye(len(product)), rtol=0, atol=ATOL)


def test_qasm_names_are_those_of_qasm_and_unique():
    names = [row.qasm for row in qc.GATES.values() if row.qasm]
    assert len(set(names)) == len(names)
    assert set(qc.ALIASES.values()) <= set(qc.GATES)
    assert qc.gate("cnot", (1, 0)) == qc.gate("cx", (1, 0))


def test_matrix_of_an_open_gate_needs_the_operation():
    with pytest.raises(ValueError, match="depends on the operation"):
        qc.GATES["pauli_rot"].matrix(0.3)


def test_word_matrix_and_controlled_matrix():
    np.testing.assert_allclose(gates.word_matrix("XY"), np.kron(gates.X, gates.Y), rtol=0, atol=ATOL)
    expected = qml.matrix(qml.MultiControlledX(wires=[0, 1, 2]))
    np.testing.assert_allclose(gates.controlled_matrix(gates.X, 2), expected, rtol=0, atol=ATOL)
