"""Tapes and QNodes against PennyLane's default.qubit with numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qgen import circuits as qc
from qgen.circuits import Angle, Circuit, Observable, gate
from qgen.interop.pennylane import from_qnode, from_tape, to_tape
from qgen.interop.readings import from_words

SINGLE = 5e-6

HERMITIAN = np.array([[0.3, 0.2 - 0.5j], [0.2 + 0.5j, -1.1]])


def reference(tape):
    (result,) = qml.execute([tape], qml.device("default.qubit"), diff_method=None)
    return result


def check_tape(operations, measurements, tolerance=SINGLE):
    tape = qml.tape.QuantumScript(operations, measurements)
    bridge = from_tape(tape)
    got, wanted = jax.jit(bridge)(bridge.params), reference(tape)
    pairs = [(got, wanted)] if len(measurements) == 1 else zip(got, wanted, strict=True)
    for value, expected in pairs:
        np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance)
    return bridge


TEMPLATES = {
    "strongly": lambda r: qml.StronglyEntanglingLayers(r.uniform(0, 3, (2, 3, 3)), wires=range(3)),
    "iqp": lambda r: qml.IQPEmbedding(r.uniform(0, 2, 3), wires=range(3), n_repeats=2),
    "qft": lambda r: qml.QFT(wires=range(3)),
    "unitary": lambda r: qml.QubitUnitary(
        np.linalg.qr(r.normal(size=(8, 8)) + 1j * r.normal(size=(8, 8)))[0], range(3)
    ),
    "trotter": lambda r: qml.TrotterProduct(qml.dot([0.3, 0.8], [qml.X(0) @ qml.Y(2), qml.Z(1)]), 0.7, n=2, order=2),
    "qsvt": lambda r: qml.ctrl(qml.PCPhase(0.4, dim=3, wires=[0, 1]), 2),
    "pow": lambda r: qml.pow(qml.CRY(0.4, wires=[0, 2]), 2.5),
    "evolve": lambda r: qml.exp(qml.X(0) @ qml.Z(1) + 0.4 * qml.X(0), 0.3j),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_decompose_to_our_gates(name):
    rng = np.random.default_rng(5)
    start = [qml.RY(0.2 + 0.5 * q, q) for q in range(3)]
    check_tape([*start, TEMPLATES[name](rng)], [qml.state()])


@pytest.fixture(scope="module")
def entangled():
    return [qml.RY(0.4, 0), qml.CRX(1.3, wires=[0, 1]), qml.IsingXY(0.9, wires=[1, 2]), qml.Rot(0.2, 0.5, 0.8, wires=2)]


def test_every_reading_is_that_of_default_qubit(entangled):
    measurements = [
        qml.expval(0.3 * qml.X(0) @ qml.Y(1) - 1.2 * qml.Z(2)),
        qml.var(qml.X(0) + 0.4 * qml.Z(1)),
        qml.expval(qml.Hermitian(HERMITIAN, 1) + qml.Z(0) @ qml.Hadamard(2)),
        qml.var(qml.Hermitian(HERMITIAN, 2)),
        qml.expval(qml.Projector([1, 0], wires=[2, 0])),
        qml.expval(0.0 * qml.Z(0)),
        qml.probs(),
        qml.probs(wires=[2, 0]),
        qml.probs(op=qml.X(1) @ qml.Hadamard(0)),
        qml.density_matrix([2, 0]),
        qml.purity([1]),
        qml.vn_entropy([0, 2], log_base=2),
        qml.mutual_info([0], [2]),
        qml.state(),
    ]
    check_tape(entangled, measurements, tolerance=3e-5)


def test_expectation_values_share_one_pass(entangled):
    bridge = check_tape(entangled, [qml.expval(qml.Z(0)), qml.expval(qml.X(1) @ qml.Y(2))])
    assert bridge.circuit.n_params == 6


def test_batches_of_angles_and_states_are_a_leading_axis():
    rng = np.random.default_rng(3)
    states = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    angles = np.array([0.1, 0.7, -0.4, 1.9])
    tape = qml.tape.QuantumScript(
        [qml.StatePrep(states, wires=[1, 0]), qml.RX(0.3, 0), qml.CRZ(angles, wires=[0, 1]), qml.RY(-0.6, 1)],
        [qml.expval(qml.X(0) @ qml.Z(1)), qml.probs(wires=[1])],
    )
    bridge = from_tape(tape)
    assert bridge.batched.shape == (4, 1)
    for value, expected in zip(bridge(), reference(tape), strict=True):
        np.testing.assert_allclose(value, expected, rtol=0, atol=SINGLE)
    moved = bridge((bridge.shared, bridge.batched + 0.5))[0]
    shifted = tape.bind_new_parameters([angles + 0.5], [2])
    np.testing.assert_allclose(moved, reference(shifted)[0], rtol=0, atol=SINGLE)


def test_prepared_basis_states_and_wire_labels():
    operations = [qml.BasisState([1, 0], wires=["b", "a"]), qml.CNOT(["b", "c"]), qml.RX(0.4, "a")]
    tape = qml.tape.QuantumScript(operations, [qml.probs(wires=["c", "a", "b"])])
    bridge = from_tape(tape, wires=["c", "b", "a", "idle"])
    assert bridge.wires == ("c", "b", "a", "idle")
    np.testing.assert_allclose(bridge(), reference(tape), rtol=0, atol=SINGLE)


def test_trainable_numbers_know_their_parameter():
    tape = qml.tape.QuantumScript([qml.RX(0.1, 0), qml.Rot(0.2, 0.3, 0.4, wires=1)], [qml.expval(qml.Z(0))])
    tape.trainable_params = [0, 2, 3]
    assert from_tape(tape).trainable == (0, 2, 3)
    bridge = from_tape(tape)
    np.testing.assert_allclose(jax.grad(bridge)(bridge.params)[0], -np.sin(0.1), rtol=0, atol=SINGLE)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_circuits_survive_the_way_to_a_tape_and_back(seed):
    rng = np.random.default_rng(seed)
    names = rng.permutation([n for n, row in qc.GATES.items() if row.wires and row.wires <= 2 and row.pennylane])[:4]
    ops, count = [], 0
    for name in names:
        row = qc.GATES[name]
        wires = rng.permutation(3)[: row.wires].tolist()
        ops.append(gate(name, wires, *(Angle(count + k) for k in range(row.angles))))
        count += row.angles
    circuit, params = Circuit(3, tuple(ops)), rng.uniform(-3, 3, count)
    bridge = from_tape(to_tape(circuit, params, [qml.state()]), wires=range(3))
    assert bridge.circuit == circuit
    np.testing.assert_array_equal(bridge.params, params)


def test_observables_survive_the_way_to_pennylane_and_back():
    observable = Observable(["ZIX", "YYI", "III"], np.array([0.4, -1.3, 0.2]))
    tape = to_tape(Circuit(3, (gate("ry", 1, 0.7),)), (), [observable], wires="abc", shots=7)
    assert tape.shots.total_shots == 7
    (reading,) = from_tape(tape, wires="abc").readings
    matrix = qml.matrix(from_words(observable), wire_order=range(3))
    np.testing.assert_allclose(matrix, observable.matrix(3), rtol=0, atol=1e-12)
    np.testing.assert_allclose(reading.observable.matrix(3), observable.matrix(3), rtol=0, atol=1e-12)


def layered(weights, x):
    qml.IQPEmbedding(x, wires=range(3))
    qml.StronglyEntanglingLayers(weights, wires=range(3))
    qml.RX(x[0] ** 2, 1)
    return qml.expval(qml.Z(0) @ qml.X(2)), qml.probs(wires=[1])


def test_qnodes_become_pure_functions_of_their_arguments():
    qnode = qml.QNode(layered, qml.device("default.qubit"))
    run = from_qnode(qnode)
    rng = np.random.default_rng(1)
    weights, x = rng.uniform(0, 3, (1, 3, 3)), rng.uniform(0, 1, (4, 3))
    values, probs = jax.jit(jax.vmap(run, in_axes=(None, 0)))(jnp.asarray(weights), jnp.asarray(x))
    for k in range(4):
        np.testing.assert_allclose(values[k], qnode(weights, x[k])[0], rtol=0, atol=SINGLE)
        np.testing.assert_allclose(probs[k], qnode(weights, x[k])[1], rtol=0, atol=SINGLE)
    given = qml.numpy.array(weights, requires_grad=True)
    wanted = qml.grad(lambda w: qnode(w, qml.numpy.array(x[0], requires_grad=False))[0])(given)
    got = jax.jit(jax.grad(lambda w: run(w, jnp.asarray(x[0]))[0]))(jnp.asarray(weights))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=SINGLE)


def test_what_has_no_pure_function_is_refused():
    def script(operations, measurements=()):
        return qml.tape.QuantumScript(operations, measurements)

    with qml.queuing.AnnotatedQueue() as queue:
        qml.measure(0)
    with pytest.raises(ValueError, match="defer_measurements"):
        from_tape(qml.tape.QuantumScript.from_queue(queue))
    with pytest.raises(ValueError, match="DepolarizingChannel"):
        from_tape(script([qml.DepolarizingChannel(0.1, wires=0)]))
    with pytest.raises(ValueError, match="cannot be read from a state"):
        from_tape(script([qml.X(0)], [qml.sample(wires=0)]))
    with pytest.raises(ValueError, match=r"lacks \['b'\]"):
        from_tape(script([qml.CNOT(["a", "b"])]), wires=["a"])
    with pytest.raises(ValueError, match="must be Hermitian"):
        from_tape(script([qml.X(0)], [qml.expval(1j * qml.Z(0) + qml.X(0))]))
    with pytest.raises(ValueError, match="at least 3 labels"):
        from_words(qc.pauli("X", 2), wires=["a"])


@pytest.mark.filterwarnings("ignore:jax.core.is_concrete:DeprecationWarning")
def test_a_traced_observable_without_pauli_words_is_refused():
    traced = qml.QNode(lambda m: qml.expval(qml.Hermitian(m, 0)), qml.device("default.qubit"))
    # PennyLane itself fails on it where jax has dropped `is_concrete`.
    with pytest.raises((ValueError, AttributeError), match=r"given by numbers|is_concrete"):
        jax.jit(from_qnode(traced))(jnp.asarray(HERMITIAN))
