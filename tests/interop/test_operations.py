"""Every gate against PennyLane's own matrix, in both directions, and the capability file against the table."""

import numpy as np
import pennylane as qml
import pytest
from pennylane.devices.capabilities import DeviceCapabilities

from qgen import circuits as qc
from qgen.circuits import Angle, Circuit, Conditional, Measure, Op, gate, pauli_rotation
from qgen.circuits.gates import GATES
from qgen.circuits.operation import matrix
from qgen.interop.device import CAPABILITIES
from qgen.interop.operations import NAMES, OTHERS, convert, convertible, to_operations

SINGLE = 2e-6

ANGLES = (0.37, -1.21, 2.03, 0.58)

ROWS = [row for row in GATES.values() if row.wires]


def op_of(row, wires):
    return Op(row.name, wires, ANGLES[: row.angles])


def dense(ops, n):
    """The product of operations on n wires by Kronecker placement, [2**n, 2**n]."""
    total = np.eye(2**n, dtype=complex)
    for op in ops:
        script = qml.QubitUnitary(np.asarray(matrix(op), complex), wires=op.support) if op.support else None
        factor = np.asarray(matrix(op))[0, 0] if script is None else qml.matrix(script, wire_order=range(n))
        total = factor * total if script is None else factor @ total
    return total


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_gate_has_pennylanes_matrix_in_both_directions(row):
    wires = tuple(range(row.wires))[::-1]
    (operation,) = to_operations(Circuit(row.wires, (op_of(row, wires),)))
    expected = qml.matrix(operation, wire_order=range(row.wires))
    np.testing.assert_allclose(dense([op_of(row, wires)], row.wires), expected, rtol=0, atol=SINGLE)
    if row.pennylane:
        assert operation.name == row.pennylane
        (back,) = convert(operation, {w: w for w in wires}, [float(d) for d in operation.data])
        assert back == op_of(row, wires)


@pytest.mark.parametrize(
    "operation",
    [
        qml.ctrl(qml.RX(0.7, "b"), ["a", "c"], control_values=[False, True]),
        qml.ctrl(qml.Rot(0.1, 0.2, 0.3, wires="c"), "a"),
        qml.ctrl(qml.GlobalPhase(0.4), ["a", "b"]),
        qml.MultiControlledX(["b", "a", "d", "c"], [1, 0, 1]),
        qml.adjoint(qml.U3(0.3, -0.2, 0.9, wires="d")),
        qml.adjoint(qml.ctrl(qml.adjoint(qml.SX("b")), "a")),
        qml.ctrl(qml.adjoint(qml.IsingXY(0.6, wires=["a", "d"])), "c", control_values=[0]),
        qml.MultiRZ(0.9, wires=["c", "a", "b"]),
        qml.PauliRot(1.1, "YIX", wires=["b", "d", "a"]),
        qml.adjoint(qml.ISWAP(wires=["a", "c"])),
        qml.GlobalPhase(0.8),
        qml.Identity(["a", "b"]),
        qml.DiagonalQubitUnitary(np.exp(1j * np.array([0.1, 0.5, -0.4, 1.3])), wires=["d", "b"]),
        qml.ctrl(qml.QubitUnitary(qml.matrix(qml.Rot(0.2, 0.7, 1.9, wires=0)), wires="d"), "b"),
        qml.BlockEncode(0.3, wires=["a"]),
    ],
    ids=lambda operation: operation.name,
)
def test_composed_gates_have_pennylanes_matrix(operation):
    place = {label: qubit for qubit, label in enumerate("abcd")}
    assert convertible(operation)
    ops = convert(operation, place, [float(d) if np.ndim(d) == 0 else None for d in operation.data])
    expected = qml.matrix(operation, wire_order=list("abcd"))
    np.testing.assert_allclose(dense(ops, 4), expected, rtol=0, atol=SINGLE)


def test_controls_and_parameters_reach_pennylane():
    controlled = gate("ry", 2, Angle(1, -2.0, 0.3), controls=(0, 1), values=(0, 1))
    several = gate("cu", (0, 2), 0.1, 0.2, Angle(0), 0.4, controls=(1,))
    circuit = Circuit(3, (controlled, several, pauli_rotation("XZ", (2, 0), Angle(0)), gate("gphase", (), 0.3)))
    params = np.array([0.7, -0.4])
    operations = to_operations(circuit, params, wires=["p", "q", "r"])
    expected = qml.matrix(qml.tape.QuantumScript(operations), wire_order=["p", "q", "r"])[:, 0]
    np.testing.assert_allclose(qc.apply(circuit, params), expected, rtol=0, atol=SINGLE)


def test_capability_file_lists_the_gates_of_the_table():
    capabilities = DeviceCapabilities.from_toml_file(str(CAPABILITIES))
    known = {name for name in NAMES if not name.startswith("Adjoint")} | set(OTHERS) | {"Identity"}
    assert set(capabilities.operations) == known


def test_what_has_no_operation_is_not_convertible():
    assert not convertible(qml.QFT(wires=range(3)))
    assert not convertible(qml.DepolarizingChannel(0.1, wires=0))
    assert not convertible(qml.QubitUnitary(np.stack([np.eye(2)] * 3), wires=0))


def test_bad_arguments_are_refused():
    circuit = Circuit(2, (gate("rx", 0, Angle(0)),))
    with pytest.raises(ValueError, match="`params` must hold 1 numbers, but holds 2"):
        to_operations(circuit, [0.1, 0.2])
    with pytest.raises(ValueError, match="`wires` must hold 2 different labels"):
        to_operations(circuit, [0.1], wires=["a", "a"])
    with pytest.raises(ValueError, match="measurements or resets"):
        to_operations(Circuit(1, (Measure(0, 0), Conditional(gate("x", 0), (0,)))))
