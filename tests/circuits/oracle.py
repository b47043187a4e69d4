"""Oracles for circuits that share no code with the engine: dense matrices from PennyLane and numpy."""

import numpy as np
import pennylane as qml

from qgen import circuits as qc


def pennylane_op(op, params):
    """The PennyLane operator of one of our operations, with its numbers filled in."""
    angles = [a.scale * float(params[a.index]) + a.offset if isinstance(a, qc.Angle) else a for a in op.angles]
    wires = list(op.wires)
    name = qc.GATES[op.name].pennylane
    if op.name == "gphase":
        entries = np.ones((2,) * len(op.controls), complex)
        entries[op.values] = np.exp(1j * angles[0])
        if op.controls:
            return qml.DiagonalQubitUnitary(entries.reshape(-1), wires=list(op.controls))
        made = qml.GlobalPhase(-angles[0], wires=0)
    elif op.name == "cu":
        t, f, l, g = angles
        inner = np.exp(1j * g) * qml.U3(t, f, l, wires=0).matrix()
        made = qml.ControlledQubitUnitary(inner, wires=wires)
    elif op.name == "pauli_rot":
        made = qml.PauliRot(angles[0], op.word, wires=wires)
    elif op.name == "unitary":
        made = qml.QubitUnitary(op.array(), wires=wires)
    elif op.name == "diagonal":
        made = qml.DiagonalQubitUnitary(op.array(), wires=wires)
    elif name.startswith("Adjoint("):
        made = qml.adjoint(getattr(qml, name[8:-1])(wires=wires))
    else:
        made = getattr(qml, name)(*angles, wires=wires)
    if op.controls:
        made = qml.ctrl(made, control=list(op.controls), control_values=[bool(v) for v in op.values])
    return made


def pennylane_state(circuit, params, state=None):
    """The state by PennyLane's default.qubit, in double precision."""
    n = circuit.n_qubits
    ops = [pennylane_op(op, params) for op in circuit.walk()]
    start = [] if state is None else [qml.StatePrep(state, wires=range(n), validate_norm=False)]
    tape = qml.tape.QuantumScript([*start, *ops], [qml.state()])
    device = qml.device("default.qubit", wires=n)
    program, config = device.preprocess()
    tapes, post = program([tape])
    return np.asarray(post(device.execute(tapes, config))[0])


def dense(observable, n):
    """The matrix of an observable by Kronecker products."""
    letters = {"I": np.eye(2), "X": [[0, 1], [1, 0]], "Y": [[0, -1j], [1j, 0]], "Z": [[1, 0], [0, -1]]}
    total = np.zeros((2**n, 2**n), complex)
    for word, weight in zip(observable.words, np.asarray(observable.coefficients), strict=True):
        product = np.eye(1)
        for wire in range(n):
            product = np.kron(product, letters[dict(word).get(wire, "I")])
        total += weight * product
    return total


def value(circuit, params, observable):
    """<psi| O |psi> by PennyLane's state and a dense matrix."""
    psi = pennylane_state(circuit, params)
    return float(np.real(psi.conj() @ dense(observable, circuit.n_qubits) @ psi))


def slope(f, x, direction, step=1e-5):
    """The derivative of f along a direction by a central difference."""
    return (f(x + step * direction) - f(x - step * direction)) / (2 * step)


def random_op(rng, name, n, n_params, extra=0):
    """A random operation of the table on random wires, controlled by `extra` more of them; None if it does not fit."""
    row = qc.GATES[name]
    width = row.wires if row.wires is not None else int(rng.integers(1, min(3, n - extra) + 1)) if n > extra else n + 1
    if width + extra > n:
        return None
    wires = [int(w) for w in rng.permutation(n)]
    own, controls = tuple(wires[:width]), tuple(wires[width : width + extra])
    angles = tuple(
        qc.Angle(int(rng.integers(n_params)), float(rng.uniform(0.5, 1.5)), float(rng.uniform(-1, 1)))
        if n_params and rng.random() < 0.8
        else float(rng.uniform(-3, 3))
        for _ in range(row.angles)
    )
    size = 2**width
    if name == "unitary":
        op = qc.unitary(np.linalg.qr(rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size)))[0], own)
    elif name == "diagonal":
        op = qc.diagonal(np.exp(1j * rng.uniform(-3, 3, size)), own)
    elif name == "pauli_rot":
        op = qc.pauli_rotation("".join(rng.choice(list("XYZ"), width)), own, angles[0])
    else:
        op = qc.gate(name, own, *angles)
    return qc.controlled(op, controls, [int(v) for v in rng.integers(0, 2, extra)]) if extra else op


def random_state(rng, n):
    vector = rng.normal(size=2**n) + 1j * rng.normal(size=2**n)
    return vector / np.linalg.norm(vector)
