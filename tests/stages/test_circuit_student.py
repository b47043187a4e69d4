"""The circuit student against PennyLane, its twins, its counts and its numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from qgen.lm import transformer
from qgen.stages import circuit_student
from qgen.stages.circuit_student import Design
from tests.stages import tiny

DESIGN = Design("circuit", qubits=3, layers=2)


@pytest.fixture(scope="module")
def given():
    made = tiny.artefacts(2)
    model = transformer.Config(**made.model)
    teacher = jax.tree.map(jnp.asarray, made.params)
    tokens = jax.random.randint(jax.random.key(3), (2, 5), 0, model.vocabulary)
    return model, teacher, tokens


def test_logits_are_those_of_pennylanes_circuit(given):
    model, teacher, tokens = given
    params = circuit_student.init(jax.random.key(4), DESIGN, model, teacher)
    logits = jax.jit(circuit_student.logits, static_argnums=(2, 3))
    made = np.asarray(logits(params, tokens, DESIGN, model)).reshape(10, -1)
    first = dataclasses.replace(model, depth=1)
    states = jax.jit(lambda params: transformer.apply(params, tokens, first, features=True))
    hidden = np.asarray(states({k: teacher[k] for k in ("embed", "block_0", "head")}))
    features = np.pi * np.tanh(hidden.reshape(10, -1) @ np.asarray(params["compress"]))
    angles = np.asarray(params["angles"]).reshape(2, 2, 3)
    device = qml.device("default.qubit", wires=3)

    @qml.qnode(device)
    def read(row):
        for layer in angles:
            for q in range(3):
                qml.RY(row[q], q)
            for q in range(3):
                qml.RY(layer[0, q], q)
            for q in range(3):
                qml.RZ(layer[1, q], q)
            for a, b in ((0, 1), (1, 2), (2, 0)):
                qml.CNOT([a, b])
        words = [qml.PauliZ(q) for q in range(3)]
        words += [qml.PauliZ(a) @ qml.PauliZ(b) for a, b in ((0, 1), (1, 2), (0, 2))]
        return [qml.expval(word) for word in words]

    outputs = np.array([read(row) for row in features])
    wanted = outputs @ np.asarray(params["read"]) + np.asarray(params["bias"])
    np.testing.assert_allclose(made, wanted, atol=3e-5, rtol=3e-5)


def test_angles_learn_unless_they_are_frozen(given):
    model, teacher, tokens = given
    for kind in ("circuit", "frozen"):
        design = dataclasses.replace(DESIGN, kind=kind)
        params = circuit_student.init(jax.random.key(4), design, model, teacher)
        objective = circuit_student.objective(design, model)
        slope = jax.jit(jax.grad(objective))(params, teacher, tokens[:, :-1], tokens[:, 1:], jax.random.key(0))
        assert (float(jnp.linalg.norm(slope["angles"])) > 1e-6) == (kind == "circuit")
        assert float(jnp.linalg.norm(slope["compress"])) > 1e-6
        assert float(jnp.linalg.norm(slope["body"]["block_0"]["mlp"]["up"]["kernel"])) > 1e-8


def test_counts_and_sizes(given):
    model, teacher, _ = given
    (needed,) = circuit_student.resources(DESIGN, steps=5, tokens=7, shots=100)
    # Two shifts for each of 3 features in 2 uploads and of 2 * 3 * 2 angles, and the circuit itself.
    assert needed.circuits == 5 * 7 * (1 + 2 * (6 + 12)) and needed.shots == 100 * needed.circuits
    (frozen,) = circuit_student.resources(dataclasses.replace(DESIGN, kind="frozen"), steps=5, tokens=7, shots=100)
    assert frozen.circuits == 5 * 7 * (1 + 2 * 6)
    (product,) = circuit_student.resources(dataclasses.replace(DESIGN, kind="product"), steps=5, tokens=7, shots=100)
    assert product.gates_2q == 0 < needed.gates_2q == 6 * needed.shots
    assert circuit_student.resources(dataclasses.replace(DESIGN, kind="tanh"), 5, 7, 100) == ()
    sizes = {
        kind: transformer.size(circuit_student.init(jax.random.key(0), Design(kind), model, teacher))
        for kind in circuit_student.KINDS
    }
    assert len(set(sizes.values())) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "magic"}, "`kind` must be one of"),
        ({"qubits": 2}, "`qubits` must be at least 3"),
        ({"layers": 0}, "`layers` must be at least 1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Design(**arguments)
