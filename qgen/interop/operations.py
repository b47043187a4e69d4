"""Gates of PennyLane as operations of a circuit and back, by the names in the table of gates."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pennylane
from jax.core import Tracer
from pennylane.operation import Operator
from pennylane.ops.op_math import Adjoint, Controlled

from qgen.circuits.circuit import Circuit
from qgen.circuits.gates import GATES
from qgen.circuits.operation import Angle, Op, controlled, diagonal, matrix, pauli_rotation, unitary, value

qml: Any = pennylane  # its attributes are made at run time

NAMES = {row.pennylane: row.name for row in GATES.values() if row.pennylane}
"""PennyLane's name of a gate -> the name in our table."""

PAYLOADS = ("QubitUnitary", "DiagonalQubitUnitary")
"""Gates whose data is an array of the circuit's structure rather than an angle."""

OTHERS = ("GlobalPhase", "MultiRZ", "PauliRot", *PAYLOADS)
"""Gates with an operation of their own that are no row with fixed wires."""

LARGEST_MATRIX_WIRES = 8
"""The most wires of a gate that is known only by its matrix: 2**16 entries become part of the circuit."""


def convertible(operation: Any) -> bool:
    """True if `convert` takes the operation as it is, without a decomposition."""
    name = operation.name
    if name in PAYLOADS:
        return not is_traced(operation.data[0]) and operation.batch_size is None
    if name == "Identity" or name in NAMES or name in OTHERS:
        return True
    if isinstance(operation, Adjoint | Controlled):
        return convertible(operation.base)
    return _only_a_matrix(operation)


def convert(operation: Operator, place: Mapping[Any, int], angles: Sequence[Angle | float | None]) -> tuple[Op, ...]:
    """The operations that a gate of PennyLane stands for.

    Args:
        operation: a gate that is `convertible`.
        place: the qubit of every wire label.
        angles: what stands for each entry of `operation.data`; None for arrays.

    Returns:
        The operations in order of time.
    """
    name = operation.name
    wires = tuple(place[label] for label in operation.wires)
    if name == "Identity":
        return tuple(Op("id", (wire,)) for wire in wires)
    if name == "GlobalPhase":
        return (Op("gphase", (), (_angle(angles[0]) * -1.0,)),)
    if name in ("MultiRZ", "PauliRot"):
        word = "Z" * len(wires) if name == "MultiRZ" else operation.hyperparameters["pauli_word"]
        return (pauli_rotation(word, wires, _angle(angles[0])),)
    if name == "QubitUnitary":
        return (unitary(_dense(operation.data[0]), wires),)
    if name == "DiagonalQubitUnitary":
        return (diagonal(_dense(operation.data[0]), wires),)
    if name in NAMES:
        return (Op(NAMES[name], wires, tuple(_angle(a) for a in angles)),)
    if isinstance(operation, Adjoint):
        forward = convert(operation.base, place, angles)
        return tuple(part.inverse() for op in reversed(forward) for part in reversed(op.parts()))
    if isinstance(operation, Controlled):
        controls = [place[label] for label in operation.control_wires]
        inner = convert(operation.base, place, angles)
        return tuple(controlled(op, controls, [int(v) for v in operation.control_values]) for op in inner)
    return (unitary(_dense(operation.matrix()), wires),)


def to_operations(circuit: Circuit, params: Any = (), wires: Sequence[Any] | None = None) -> list[Operator]:
    """The gates of a circuit as PennyLane operations.

    Args:
        circuit: a circuit without measurements.
        params: its parameters in radians, [n_params]: numpy, PennyLane's or jax's numbers.
        wires: the wire label of every qubit; 0, 1, ... where left out.

    Returns:
        One operation for every gate, in order of time; repetitions are written out.

    Raises:
        ValueError: if the circuit measures, or the parameters or labels do not fit.
    """
    if not circuit.is_unitary:
        raise ValueError(
            "A circuit with measurements or resets has no PennyLane operations: convert its unitary parts."
        )
    if len(params) != circuit.n_params:
        raise ValueError(f"Argument `params` must hold {circuit.n_params} numbers, but holds {len(params)}.")
    labels = list(range(circuit.n_qubits)) if wires is None else list(wires)
    if len(labels) != circuit.n_qubits or len(set(labels)) != len(labels):
        raise ValueError(f"Argument `wires` must hold {circuit.n_qubits} different labels, but is {labels}.")
    operations = []
    for op in circuit.walk():
        assert isinstance(op, Op)
        operations.append(_to_operation(op, params, labels))
    return operations


def _to_operation(op: Op, params: Any, labels: list[Any]) -> Operator:
    """One gate; controls become PennyLane's `ctrl`."""
    wires = [labels[wire] for wire in op.wires]
    angles = [value(angle, params) for angle in op.angles]
    name = GATES[op.name].pennylane
    if op.name == "gphase":
        gate = qml.GlobalPhase(-angles[0])
    elif op.name == "pauli_rot":
        gate = qml.PauliRot(angles[0], op.word, wires=wires)
    elif op.name in ("unitary", "diagonal"):
        gate = getattr(qml, name)(op.array(), wires=wires)
    elif name.startswith("Adjoint("):
        gate = qml.adjoint(getattr(qml, name[len("Adjoint(") : -1])(wires=wires))
    elif name:
        gate = getattr(qml, name)(*angles, wires=wires)
    elif len(op.parts()) > 1:
        bare = Op(op.name, op.wires, op.angles)
        gate = qml.prod(*(_to_operation(part, params, labels) for part in reversed(bare.parts())))
    else:
        gate = qml.QubitUnitary(np.asarray(matrix(Op(op.name, op.wires))), wires=wires)
    if not op.controls:
        return gate
    return qml.ctrl(gate, [labels[q] for q in op.controls], control_values=[bool(v) for v in op.values])


def _only_a_matrix(operation: Any) -> bool:
    """True for gates that PennyLane knows by nothing but a small matrix of numbers."""
    return (
        not operation.has_decomposition
        and operation.has_matrix
        and len(operation.wires) <= LARGEST_MATRIX_WIRES
        and operation.batch_size is None
        and not any(map(is_traced, operation.data))
    )


def _angle(angle: Angle | float | None) -> Angle | float:
    assert angle is not None
    return angle


def _dense(array: Any) -> np.ndarray:
    return np.asarray(qml.math.toarray(array) if qml.math.get_interface(array) != "scipy" else array.toarray())


def is_traced(datum: Any) -> bool:
    """True for numbers that jax traces; PennyLane's own test calls what newer versions of jax no longer have."""
    return isinstance(datum, Tracer)


Convertible = Callable[[Operator], bool]
