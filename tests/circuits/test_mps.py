"""Matrix-product states against PennyLane's state vector, closed forms of large registers, and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from qgen import circuits as qc
from qgen.circuits import mps

EXACT = 1e-9
SINGLE = 2e-5
SLOPE = 1e-6
SIGMAS = 5.0
N = 5


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def entangled(n: int) -> qc.Circuit:
    """Gates of all kinds, neighbours and distant wires, both orders of wires, a repetition."""
    body = qc.Circuit(
        n,
        (
            *(qc.gate("ry", q, qc.Angle(q)) for q in range(n)),
            qc.gate("crx", (0, n - 1), qc.Angle(n)),
            qc.gate("rxx", (3, 1), qc.Angle(n + 1, -0.5, 0.3)),
            qc.gate("iswap", (2, 1)),
            qc.gate("t", 0),
        ),
    )
    return qc.Circuit(n, (qc.gate("h", 1), qc.gate("gphase", (), 0.7))) + qc.repeat(body, 2, shared=2)


def reference(params) -> np.ndarray:
    """The state of `entangled(N)` by PennyLane."""

    @qml.qnode(qml.device("default.qubit", wires=N))
    def node():
        for op in entangled(N).walk():
            angles = [a.scale * params[a.index] + a.offset if isinstance(a, qc.Angle) else a for a in op.angles]
            if op.support:
                getattr(qml, qc.GATES[op.name].pennylane)(*angles, wires=op.wires)
        return qml.state()

    return np.asarray(node())


def word(letters: str) -> np.ndarray:
    table = {"I": np.eye(2), "X": qml.X.compute_matrix(), "Y": qml.Y.compute_matrix(), "Z": qml.Z.compute_matrix()}
    matrix = np.eye(1)
    for letter in letters:
        matrix = np.kron(matrix, table[letter])
    return matrix


PARAMS = np.random.default_rng(2).uniform(-3, 3, entangled(N).n_params)
WORDS = ("XIYIZ", "ZZIII", "IIIXX")


def test_exact_with_a_wide_bond(double):
    state, expected = jax.jit(lambda p: mps.apply(entangled(N), p, 4))(PARAMS), reference(PARAMS)
    np.testing.assert_allclose(abs(np.vdot(mps.dense(state), expected)), 1, atol=EXACT)
    np.testing.assert_allclose([state.error, mps.norm(state) - 1], 0, atol=EXACT)
    values = [np.vdot(expected, word(letters) @ expected).real for letters in WORDS]
    observables = [qc.Observable(WORDS[:2], np.array([0.3, -1.2])), qc.Observable(WORDS[2:])]
    found = jax.jit(lambda s: mps.measure(s, observables))(state)
    np.testing.assert_allclose(found, [0.3 * values[0] - 1.2 * values[1], values[2]], atol=EXACT)
    bits = np.array([1, 0, 1, 1, 0])
    np.testing.assert_allclose(mps.probability(state, bits), abs(expected[0b10110]) ** 2, atol=EXACT)


def test_gradients_with_a_wide_bond_under_jit_and_vmap(double):
    observable = qc.Observable(WORDS, np.array([0.3, -1.2, 0.8]))
    dense = 0.3 * word(WORDS[0]) - 1.2 * word(WORDS[1]) + 0.8 * word(WORDS[2])

    def value(p, c):
        return mps.expectation(entangled(N), p, qc.Observable(WORDS, c), 4)

    batch = np.stack([PARAMS, 0.5 * PARAMS])
    gradients = jax.jit(jax.vmap(jax.grad(value), (0, None)))(batch, observable.coefficients)
    step = 1e-5
    for row, params in enumerate(batch):
        for k in (0, 3, N, N + 1, len(params) - 1):
            states = [reference(params + sign * step * np.eye(len(params))[k]) for sign in (1, -1)]
            high, low = (np.vdot(psi, dense @ psi).real for psi in states)
            np.testing.assert_allclose(gradients[row, k], (high - low) / (2 * step), atol=SLOPE)


def test_gradient_where_nothing_is_entangled_yet(double):
    """At zero angles every bond has rank one, and the derivative needs states that have no weight."""
    n = 4
    layer = [qc.gate("h", q) for q in range(n)] + [qc.gate("rzz", (q, q + 1), qc.Angle(q)) for q in range(n - 1)]
    circuit = qc.Circuit(n, (*layer, qc.gate("cz", (3, 0)), qc.gate("cz", (3, 0))))
    observable = qc.Observable(["YZII", "IYZI", "IIYZ"], np.array([1.0, 0.7, 0.4]))
    gradient = jax.jit(jax.grad(lambda p: mps.expectation(circuit, p, observable, 4)))(jnp.zeros(n - 1))
    np.testing.assert_allclose(gradient, [1.0, 0.7, 0.4], atol=SLOPE)  # d/dt of sin t, where Y Z -> sin t


def test_truncation_is_reported_and_its_gradient_is_that_of_the_truncated_value(double):
    circuit = qc.ansatz.strongly_entangling(6, 2)
    rng = np.random.default_rng(4)
    params, direction = rng.uniform(-3, 3, circuit.n_params), rng.normal(size=circuit.n_params)
    error = jax.jit(lambda p, bond: mps.apply(circuit, p, bond).error, static_argnums=1)
    errors = [float(error(params, bond)) for bond in (2, 3, 6)]
    both = jax.jit(jax.value_and_grad(lambda p: mps.expectation(circuit, p, qc.z(2), 3)))
    slope = both(params)[1] @ direction
    step = 1e-6
    finite = (both(params + step * direction)[0] - both(params - step * direction)[0]) / (2 * step)
    np.testing.assert_allclose(slope, finite, atol=SLOPE * 10)
    assert errors[0] > errors[1] > errors[2] > 1e-3
    assert float(error(params, 8)) < EXACT


def test_truncation_keeps_the_best_approximation(double):
    """One truncation of a pair of halves keeps the largest Schmidt values (Eckart and Young)."""
    angles = np.array([0.4, 1.1])
    bell = [qc.gate("ry", q, qc.Angle(q)) for q in (0, 1)] + [qc.gate("cx", (0, 2)), qc.gate("cx", (1, 3))]
    circuit = qc.Circuit(4, (*bell[:2], qc.gate("swap", (1, 2)), qc.gate("cx", (0, 1)), qc.gate("cx", (2, 3))))
    circuit = qc.Circuit(4, (*circuit.ops, qc.gate("swap", (1, 2))))
    weights = np.sort(np.kron(*[[np.cos(a / 2) ** 2, np.sin(a / 2) ** 2] for a in angles]))[::-1]
    for bond in (3, 2, 1):
        error = mps.apply(circuit, angles, bond).error
        if bond > 1:
            np.testing.assert_allclose(error, weights[bond:].sum(), atol=EXACT)
        else:
            assert error > weights[1]


def test_large_registers():
    n = 60
    ghz = qc.Circuit(n, (qc.gate("h", 0), *(qc.gate("cx", (q, q + 1)) for q in range(n - 1))))
    state = jax.jit(lambda: mps.apply(ghz, (), 2))()
    far = "Z" + "I" * (n - 2) + "Z"
    words = [qc.Observable(["X" * n]), qc.Observable([far]), qc.z(17)]
    values = jax.jit(lambda s: mps.measure(s, words))(state)
    np.testing.assert_allclose(values, [1, 1, 0], atol=SINGLE)
    np.testing.assert_allclose(mps.probability(state, np.ones(n, int)), 0.5, atol=SINGLE)
    shots = np.asarray(jax.jit(lambda k, s: mps.sample(k, s, 400))(jax.random.key(3), state))
    ones = shots.sum(1)
    assert set(ones) == {0, n}
    assert abs((ones == n).mean() - 0.5) < SIGMAS * 0.5 / 20
    # cx from the left turns |0 theta> rotations into products of cosines: Z_k -> Z_0 ... Z_k before the chain.
    thetas = np.random.default_rng(0).uniform(-1, 1, n).astype(np.float32)
    chain = qc.encodings.angle(n) + qc.Circuit(n, tuple(qc.gate("cx", (q, q + 1)) for q in range(6)))
    value = jax.jit(lambda t: mps.expectation(chain, t, qc.z(4), 4))(thetas)
    np.testing.assert_allclose(value, np.prod(np.cos(thetas[:5])), atol=SINGLE)


def test_sampling_follows_the_distribution(double):
    state = jax.jit(lambda p: mps.apply(entangled(N), p, 4))(PARAMS)
    expected = abs(reference(PARAMS)) ** 2
    shots = 4000
    drawn = np.asarray(jax.jit(lambda k: mps.sample(k, state, shots))(jax.random.key(1))) @ (
        1 << np.arange(N - 1, -1, -1)
    )
    share = np.bincount(drawn, minlength=2**N) / shots
    assert (abs(share - expected) < SIGMAS * np.sqrt(expected * (1 - expected) / shots) + 1 / shots).all()


def test_nan_parameters_surface_in_samples(key):
    state = mps.apply(qc.Circuit(2, (qc.gate("ry", 0, qc.Angle(0)), qc.gate("cx", (0, 1)))), jnp.array([jnp.nan]), 2)
    assert jnp.isnan(mps.measure(state, qc.z(0)))
    assert set(np.asarray(mps.sample(key, state, 5)).ravel()) == {-1}


def test_start_from_a_product_state_and_no_gates():
    start = mps.product((1, 0, 1), 2)
    state = mps.apply(qc.Circuit(3, (qc.gate("cx", (0, 1)), qc.gate("ry", 2, 0.6))), state=start)
    np.testing.assert_allclose(mps.measure(state, [qc.z(1), qc.z(2)]), [-1, -np.cos(0.6)], atol=SINGLE)
    np.testing.assert_allclose(mps.measure(mps.apply(qc.Circuit(3), state=start), qc.z(0)), -1, atol=SINGLE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mps.apply(qc.Circuit(2), (), 0), "`bond` must be at least 1, but is 0"),
        (lambda: mps.apply(qc.Circuit(2), (), 10**6), "bond dimension 1000000 needs .* at most a bond dimension of"),
        (lambda: mps.product((0, 2), 2), "zeros and ones"),
        (lambda: mps.apply(qc.Circuit(3, (qc.gate("ccx", (0, 1, 2)),))), "acts on 3 qubits"),
        (lambda: mps.apply(qc.Circuit(3, (qc.Measure(0, 0),))), "measurements or resets"),
        (lambda: mps.apply(qc.Circuit(3), state=mps.product((0, 0), 2)), "`state.tensors` must have shape"),
        (lambda: mps.amplitude(mps.product((0, 0), 2), np.zeros(3)), r"`bits` must have shape \(2\)"),
        (lambda: mps.sample(jax.random.key(0), mps.product((0, 0), 2), 0), "`shots` must be at least 1"),
        (lambda: mps.expectation(qc.Circuit(2), (0.3,), qc.z(0)), "must hold 0 numbers"),
        (lambda: mps.expectation(qc.Circuit(2), (), qc.z(2)), "out of range"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
