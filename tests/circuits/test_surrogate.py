"""Pauli propagation against PennyLane's state vector and against conjugated dense matrices."""

import jax
import numpy as np
import pennylane as qml
import pytest

from qgen import circuits as qc
from qgen.circuits import surrogate

EXACT = 1e-10
SLOPE = 1e-7
N = 4


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


A = qc.Angle
CIRCUIT = qc.Circuit(
    N,
    (
        qc.gate("h", 0),
        qc.gate("t", 0),
        qc.gate("ccx", (2, 0, 1)),
        qc.gate("crx", (3, 1), A(0)),
        qc.gate("u3", 2, A(1), A(2), 0.4),
        qc.pauli_rotation("XYIZ", (3, 2, 1, 0), A(3, -2.0, 0.1)),
        qc.gate("sx", 3),
        qc.gate("rzz", (0, 2), A(1)),
        qc.gate("rx", 1, 0.8),
        qc.gate("p", 1, A(4)),
        qc.gate("gphase", (), A(4)),
        qc.gate("swap", (1, 3)),
        qc.gate("single_excitation", (3, 0), A(5)),
    ),
) + qc.ansatz.ring_offsets(N, 2, (1, 2), "ry")
PARAMS = np.random.default_rng(8).uniform(-3, 3, CIRCUIT.n_params)
WORDS, COEFFICIENTS = ("XYZI", "ZIIZ", "IIYI"), np.array([1.0, 0.7, -0.3])
OBSERVABLE = qc.Observable(WORDS, COEFFICIENTS)


def reference(params) -> float:
    @qml.qnode(qml.device("default.qubit", wires=N))
    def node():
        for op in CIRCUIT.walk():
            angles = [a.scale * params[a.index] + a.offset if isinstance(a, A) else a for a in op.angles]
            if op.name == "pauli_rot":
                qml.PauliRot(*angles, op.word, wires=op.wires)
            elif op.support:
                getattr(qml, qc.GATES[op.name].pennylane)(*angles, wires=op.wires)
        terms = [qml.pauli.string_to_pauli_word(word, wire_map=dict(enumerate(range(N)))) for word in WORDS]
        return qml.expval(qml.dot(COEFFICIENTS, terms))

    return float(node())


def test_exact_without_truncation_and_gradient():
    found = surrogate.propagate(CIRCUIT, OBSERVABLE)

    def total(p):
        estimate = found.estimate(p)
        return estimate.value + estimate.typical, estimate  # nothing is dropped: `typical` is 0, and so is its slope

    (value, estimate), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(PARAMS)
    np.testing.assert_allclose(value, reference(PARAMS), atol=EXACT)
    step = 1e-5
    for k in range(0, len(PARAMS), 3):
        high, low = (reference(PARAMS + sign * step * np.eye(len(PARAMS))[k]) for sign in (1, -1))
        np.testing.assert_allclose(gradient[k], (high - low) / (2 * step), atol=SLOPE)
    assert (found.dropped, float(estimate.bound), float(estimate.typical)) == (0, 0, 0)


def test_truncations_stay_within_their_bound():
    exact, widest = reference(PARAMS), surrogate.propagate(CIRCUIT, OBSERVABLE).words
    errors = []
    for options in (
        {"max_weight": 3},
        {"min_coefficient": 1e-2, "reference": PARAMS},
        {"min_coefficient": 1e-4, "reference": PARAMS, "max_weight": N},
    ):
        found = surrogate.propagate(CIRCUIT, OBSERVABLE, **options)
        estimate = jax.jit(found.estimate)(PARAMS)
        errors.append(abs(float(estimate.value) - exact))
        assert found.dropped > 0 and found.words <= widest
        assert errors[-1] <= estimate.bound
        assert estimate.typical <= estimate.bound
    assert errors[2] < 1e-2 and errors[2] <= errors[1]


def test_weight_truncation_by_hand():
    """RZZ turns X into cos X - sin Y Z; with weight 1 only the first part stays, and sin is what was dropped."""
    circuit = qc.Circuit(2, (qc.gate("h", 0), qc.gate("h", 1), qc.gate("rzz", (0, 1), A(0))))
    found = surrogate.propagate(circuit, qc.pauli("X", 0), max_weight=1)
    estimate = found.estimate(np.array([0.4]))
    np.testing.assert_allclose(
        [estimate.value, estimate.bound, estimate.typical], [np.cos(0.4), np.sin(0.4), np.sin(0.4)]
    )
    assert found[1:] == (1, 2, 1)


def test_clifford_circuit_on_a_large_register_has_no_terms():
    n = 70
    ghz = qc.Circuit(n, (qc.gate("h", 0), *(qc.gate("cx", (q, q + 1)) for q in range(n - 1)), qc.gate("s", 5)))
    found = surrogate.propagate(ghz, qc.Observable(["XXXXXY" + "X" * (n - 6), "Z" + "I" * (n - 2) + "Z"]))
    assert (found.words, found.terms) == (2, 0)
    np.testing.assert_allclose(found.estimate(()).value, 2, atol=EXACT)


def test_inside_jit_with_traced_coefficients():
    @jax.jit
    def value(p, c):
        return surrogate.propagate(CIRCUIT, qc.Observable(WORDS, c), max_weight=N).estimate(p).value

    np.testing.assert_allclose(value(PARAMS, COEFFICIENTS), reference(PARAMS), atol=EXACT)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: surrogate.propagate(CIRCUIT, OBSERVABLE, max_weight=0), "`max_weight` must be at least 1"),
        (lambda: surrogate.propagate(CIRCUIT, OBSERVABLE, min_coefficient=-1.0), "`min_coefficient` must be at least"),
        (lambda: surrogate.propagate(CIRCUIT, OBSERVABLE, min_coefficient=0.1), "needs `reference`"),
        (lambda: surrogate.propagate(CIRCUIT, OBSERVABLE, max_words=20), "More than 20 words"),
        (lambda: surrogate.propagate(CIRCUIT, qc.z(4)), "out of range"),
        (lambda: surrogate.propagate(qc.Circuit(1, (qc.Measure(0, 0),)), qc.z(0)), "measurements or resets"),
        (
            lambda: surrogate.propagate(qc.Circuit(4, (qc.gate("double_excitation", range(4), 0.3),)), qc.z(0)),
            "acts on 4 qubits",
        ),
        (lambda: surrogate.propagate(CIRCUIT, OBSERVABLE).estimate(PARAMS[:-1]), "must hold"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
