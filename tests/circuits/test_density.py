"""Noisy circuits against PennyLane's default.mixed."""

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qgen import circuits as qc
from qgen.circuits import density, memory
from qgen.circuits.noise import Channel, NoiseModel, kraus

DOUBLE = 1e-11
SLOPE = 1e-8
N = 3
SINGLES = ("rx", "ry", "rz", "h", "sx", "p")
DOUBLES = ("cx", "crx", "rzz", "cp", "iswap", "single_excitation")
READOUT = np.array([[0.95, 0.08], [0.05, 0.92]])


def _isometry(rng) -> np.ndarray:
    """Three random two-qubit Kraus operators."""
    matrix = rng.normal(size=(12, 4)) + 1j * rng.normal(size=(12, 4))
    return np.linalg.qr(matrix)[0].reshape(3, 4, 4)


NOISE_2Q = _isometry(np.random.default_rng(3))
MODEL = NoiseModel(
    after_1q=(Channel("generalised_amplitude_damping", (0.1, 0.7)), Channel("bit_flip", (0.06,))),
    after_2q=(kraus(NOISE_2Q), Channel("amplitude_damping", (0.12,))),
    readout=tuple(map(tuple, READOUT)),
)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def place(op: qc.Op, params) -> None:
    """The gate in PennyLane's queue."""
    angles = [a.scale * params[a.index] + a.offset if isinstance(a, qc.Angle) else a for a in op.angles]
    getattr(qml, qc.GATES[op.name].pennylane)(*angles, wires=op.wires)


def oracle(circuit: qc.Circuit, params, s=MODEL.strengths) -> np.ndarray:
    """The density matrix by PennyLane, channels placed by hand."""

    @qml.qnode(qml.device("default.mixed", wires=N))
    def node():
        for op in circuit.walk():
            place(op, params)
            if len(op.wires) == 1:
                qml.GeneralizedAmplitudeDamping(s[0], s[1], wires=op.wires)
                qml.BitFlip(s[2], wires=op.wires)
            else:
                qml.QubitChannel(list(NOISE_2Q), wires=op.wires)
                for wire in op.wires:
                    qml.AmplitudeDamping(s[3], wires=wire)
        return qml.density_matrix(range(N))

    return np.asarray(node())


def noisy_word(rho: np.ndarray, word: str) -> float:
    """Rotates rho to the letters' bases, spoils the read-out and averages the signs of the outcomes."""
    h, s = qml.Hadamard.compute_matrix(), qml.S.compute_matrix()
    turn = {"X": h, "Y": h @ s.conj().T, "Z": np.eye(2), "I": np.eye(2)}
    u = np.kron(np.kron(turn[word[0]], turn[word[1]]), turn[word[2]])
    outcomes = np.diag(u @ rho @ u.conj().T).real.reshape((2,) * N)
    outcomes = np.einsum("abc,xa,yb,zc->xyz", outcomes, READOUT, READOUT, READOUT)
    signs = [np.array([1.0, 1.0 if letter == "I" else -1.0]) for letter in word]
    return float(np.einsum("abc,a,b,c->", outcomes, *signs))


def random_circuit(seed: int, gates: int) -> tuple[qc.Circuit, np.ndarray]:
    rng = np.random.default_rng(seed)
    ops = []
    for index in range(gates):
        names = SINGLES if rng.random() < 0.5 else DOUBLES
        name = names[rng.integers(len(names))]
        wires = tuple(int(w) for w in rng.permutation(N)[: qc.GATES[name].wires])
        ops.append(qc.gate(name, wires, *[qc.Angle(index, 0.7, 0.2)] * qc.GATES[name].angles))
    return qc.Circuit(N, tuple(ops)), rng.uniform(-3, 3, gates)


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 10**6))
def test_density_matrix(seed):
    circuit, params = random_circuit(seed, 7)
    found = jax.jit(lambda p: density.apply(circuit, p, MODEL))(params[: circuit.n_params])
    np.testing.assert_allclose(found, oracle(circuit, params), atol=DOUBLE)


def test_probabilities_and_expectations_with_readout_error():
    circuit, params = random_circuit(11, 9)
    params = params[: circuit.n_params]
    rho = oracle(circuit, params)
    born = np.diag(rho).real.reshape((2,) * N)
    read = np.einsum("abc,xa,yb,zc->xyz", born, READOUT, READOUT, READOUT)
    np.testing.assert_allclose(density.probabilities(circuit, params, MODEL), read.reshape(-1), atol=DOUBLE)
    found = density.probabilities(circuit, params, MODEL, wires=(2, 0))
    np.testing.assert_allclose(found, read.sum(1).T.reshape(-1), atol=DOUBLE)

    values = [noisy_word(rho, word) for word in ("XIY", "ZZZ", "IYI")]
    observables = [qc.Observable(["XIY", "ZZZ"], np.array([0.7, -1.3])), qc.Observable(["IYI"])]
    found = density.expectation(circuit, params, observables, MODEL)
    np.testing.assert_allclose(found, [0.7 * values[0] - 1.3 * values[1], values[2]], atol=DOUBLE)
    np.testing.assert_allclose(density.expectation(circuit, params, observables[0], MODEL), found[0], atol=DOUBLE)


def test_idle_noise_and_repeats():
    model = NoiseModel(idle=(Channel("phase_damping", (0.2,)),))
    body = qc.Circuit(2, (qc.gate("ry", 0, qc.Angle(0)), qc.gate("rx", 0, qc.Angle(1)), qc.gate("cx", (0, 1))))
    circuit = qc.repeat(body, 3, shared=1)
    params = np.array([0.9, 1.7, -0.4, 0.3])

    @qml.qnode(qml.device("default.mixed", wires=2))
    def node():
        for k in range(3):
            for angle, turn in ((params[0], qml.RY), (params[1 + k], qml.RX)):
                turn(angle, 0)
                qml.PhaseDamping(0.2, wires=1)
            qml.CNOT((0, 1))
        return qml.density_matrix([0, 1])

    np.testing.assert_allclose(density.apply(circuit, params, model), np.asarray(node()), atol=DOUBLE)


def test_gradients_under_jit_and_vmap():
    circuit, params = random_circuit(5, 8)
    params = params[: circuit.n_params]
    observable = qc.Observable(["ZIX", "YZI"], np.array([1.1, 0.4]))

    def value(p, s):
        return density.expectation(circuit, p, observable, MODEL, strengths=s)

    point = (jnp.asarray(params), jnp.asarray(MODEL.strengths))
    gradients = jax.jit(jax.grad(value, (0, 1)))(*point)
    step = 1e-5
    for argument, gradient in enumerate(gradients):
        ends = []
        for sign in (1, -1):
            at = [params.copy(), np.array(MODEL.strengths)]
            at[argument][1] += sign * step
            rho = oracle(circuit, *at)
            ends.append(1.1 * noisy_word(rho, "ZIX") + 0.4 * noisy_word(rho, "YZI"))
        np.testing.assert_allclose(gradient[1], (ends[0] - ends[1]) / (2 * step), atol=SLOPE)
    batch = jnp.stack([point[0], point[0] + 0.1])
    values = jax.jit(jax.vmap(value, (0, None)))(batch, point[1])
    rho = oracle(circuit, np.asarray(batch[1]), np.array(MODEL.strengths))
    expected = 1.1 * noisy_word(rho, "ZIX") + 0.4 * noisy_word(rho, "YZI")
    np.testing.assert_allclose(values[1], expected, atol=DOUBLE)


def test_initial_states():
    circuit = qc.Circuit(2, (qc.gate("crx", (0, 1), 0.8),))
    rng = np.random.default_rng(1)
    vector = rng.normal(size=4) + 1j * rng.normal(size=4)
    vector /= np.linalg.norm(vector)
    u = qml.CRX.compute_matrix(0.8)
    expected = u @ np.outer(vector, vector.conj()) @ u.conj().T
    np.testing.assert_allclose(density.apply(circuit, (), state=vector), expected, atol=DOUBLE)
    np.testing.assert_allclose(density.apply(circuit, (), state=np.outer(vector, vector.conj())), expected, atol=DOUBLE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: density.apply(qc.Circuit(20)), r"20 qubits needs .* \(3 matrices\), .* qubits fit: use `noise"),
        (lambda: density.apply(qc.Circuit(1), (), state=np.array([[1, 1], [0, 0]])), "must be Hermitian"),
        (lambda: density.apply(qc.Circuit(1), (), state=np.diag([1.5, -0.5])), "purity 2.5 above 1"),
        (lambda: density.apply(qc.Circuit(1), (), MODEL, strengths=np.full(len(MODEL.strengths), 1.7)), "a channel"),
        (lambda: density.probabilities(qc.Circuit(2), wires=(0.5,)), "`wires` must hold integers"),
        (lambda: density.apply(qc.Circuit(2), (), state=np.ones(3)), r"`state` must have shape \(4\)"),
        (lambda: density.apply(qc.Circuit(2), (), state=np.ones((2, 4))), r"`state` must have shape \(4, 4\)"),
        (lambda: density.apply(qc.Circuit(2), (), state=np.ones(4)), "must have norm 1, but has norm 2"),
        (lambda: density.apply(qc.Circuit(1), (), state=np.diag([1.0, 0.5])), r"must have trace 1, but has trace 1.5"),
        (lambda: density.apply(qc.Circuit(2), (0.1,)), "must hold 0 numbers"),
        (lambda: density.probabilities(qc.Circuit(2), wires=(0, 0)), "different wires below 2"),
        (lambda: density.probabilities(qc.Circuit(2), wires=(2,)), "different wires below 2"),
        (lambda: density.apply(qc.Circuit(2, (qc.Reset(0),))), "measurements or resets"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("dtype", "most"), [("float32", 7), ("float64", 6)])
def test_the_size_is_that_of_this_machine_and_precision(monkeypatch, dtype, most):
    """Three matrices of 7 qubits in single precision have 4**7 entries of 8 bytes each: they just fit here."""
    monkeypatch.setattr(memory, "_memory", lambda: 3 * 8 * 4**7)
    with jax.enable_x64(True), pytest.raises(ValueError, match=f"at most {most} qubits fit"):
        density.apply(qc.encodings.angle(8), jnp.ones(8, dtype))
    density.apply(qc.encodings.angle(2), jnp.ones(2, dtype))
