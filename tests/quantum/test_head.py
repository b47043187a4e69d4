"""The quantum head against dense matrices built here, PennyLane, scikit-learn and counted gates."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.circuits.noise import Channel, NoiseModel
from qgen.quantum import head as heads
from qgen.quantum.head import Head, Settings

TOLERANCE = 2e-5
"""Of an expectation value in single precision."""
SMALL = Head(features=6, qubits=4, encoders=2, encoder_layers=1, blocks=2, layers=1, connectivity=2)


def cnot_then_ry(n, source, target, angle):
    """The dense matrix of the article's block: CNOT, then RY on its target; qubit 0 is the most significant bit."""
    dim = 2**n
    cnot = np.zeros((dim, dim))
    for state in range(dim):
        flipped = state ^ (1 << (n - 1 - target)) if state >> (n - 1 - source) & 1 else state
        cnot[flipped, state] = 1
    return ry(n, target, angle) @ cnot


def ry(n, wire, angle):
    turn = np.array([[np.cos(angle / 2), -np.sin(angle / 2)], [np.sin(angle / 2), np.cos(angle / 2)]])
    return functools.reduce(np.kron, [turn if q == wire else np.eye(2) for q in range(n)])


def dense_rings(n, layers, connectivity, angles):
    """All rings of all layers as one matrix, one angle per CNOT."""
    whole, rest = np.eye(2**n), iter(angles)
    for _ in range(layers):
        for offset in range(1, connectivity + 1):
            for i in range(n):
                whole = cnot_then_ry(n, i, (i + offset) % n, next(rest)) @ whole
    assert next(rest, None) is None
    return whole


def z_of(n, wire, state):
    signs = 1 - 2 * (np.arange(2**n) >> (n - 1 - wire) & 1)
    return float(signs @ state**2)


def dense_logits(params, x, head, scale, pad):
    """The whole head by dense real matrices."""
    n, q = head.encoder_qubits, head.qubits
    found = []
    for row in np.asarray(x, float):
        free = 2**n - row.size
        full = np.concatenate([row, np.full(free, pad * np.linalg.norm(row) / np.sqrt(free))])
        full /= np.linalg.norm(full)
        values = []
        for angles in np.asarray(params["encoders"], float):
            state = dense_rings(n, head.encoder_layers, head.connectivity, angles) @ full
            values += [z_of(n, wire, state) for wire in range(n)]
        state, place = np.eye(2**q)[0], 0
        trained = np.asarray(params["angles"], float)
        for b in range(head.blocks):
            for wire in range(q):
                state = ry(q, wire, scale * values[place % len(values)]) @ state
                place += 1
            state = dense_rings(q, head.layers, head.connectivity, trained[b]) @ state
        state = dense_rings(q, head.layers, head.connectivity, trained[-1]) @ state
        weighed = [float(weight) * z_of(q, wire, state) for wire, weight in enumerate(params["weight"])]
        found.append(sum(weighed) + float(params["bias"]))
    return np.array(found)


@pytest.fixture(scope="module")
def drawn():
    params = heads.init(jax.random.key(2), SMALL)
    params = {name: value + 0.5 for name, value in params.items()}
    return params, jax.random.normal(jax.random.key(3), (5, 6))


def test_logits_are_those_of_dense_matrices(drawn):
    params, x = drawn
    found = heads.predict(params, x, SMALL, Settings(scale=1.7, pad=0.6))
    np.testing.assert_allclose(found, dense_logits(params, x, SMALL, 1.7, 0.6), rtol=0, atol=TOLERANCE)


def test_several_measured_qubits_are_weighed(drawn):
    params, x = drawn
    head = dataclasses.replace(SMALL, measured=3)
    params = params | {"weight": jnp.array([0.7, -1.2, 0.4])}
    assert heads.init(jax.random.key(0), head)["weight"].shape == (3,)
    found = heads.predict(params, x, head, Settings(scale=1.7, pad=0.6))
    np.testing.assert_allclose(found, dense_logits(params, x, head, 1.7, 0.6), rtol=0, atol=TOLERANCE)
    assert heads.inference_resources(head, examples=7, shots=100).measurements == 2100
    with pytest.raises(ValueError, match="measured"):
        heads.sampled(jax.random.key(0), params, x, head, Settings(), 10)


def test_the_rate_falls_to_zero_along_half_a_cosine():
    """Adam's steps are of length 1 where a slope keeps its size, as that of the bias far below its label."""
    head = Head(features=2, qubits=0, encoders=0)
    x, y = jnp.zeros((3, 2)), jnp.ones(3, int)
    bias = heads.fit(jax.random.key(0), x, y, Settings(learning_rate=1e-3), head, steps=10, batch=2).params["bias"]
    assert float(bias) == pytest.approx(1e-3 * sum((1 + np.cos(np.pi * t / 10)) / 2 for t in range(10)), rel=1e-2)


def test_the_machine_s_circuit_is_pennylane_s(drawn):
    qml = pytest.importorskip("pennylane")
    params, _ = drawn
    angles = np.linspace(-1.0, 2.0, 8).reshape(2, 4)

    @qml.qnode(qml.device("default.qubit", wires=4))
    def circuit(uploaded, trained):
        for b in range(3):
            if b < 2:
                for wire in range(4):
                    qml.RY(uploaded[b, wire], wire)
            place = 0
            for offset in (1, 2):
                for wire in range(4):
                    qml.CNOT([wire, (wire + offset) % 4])
                    qml.RY(trained[b, place], (wire + offset) % 4)
                    place += 1
        return qml.expval(qml.Z(0))

    found = heads.circuits.expectation(
        heads.machine(SMALL), heads.pieces(params, jnp.asarray(angles), SMALL), SMALL.read[0]
    )
    assert float(found) == pytest.approx(float(circuit(angles, np.asarray(params["angles"]))), abs=TOLERANCE)


def test_angles_and_gates_are_as_many_as_the_article_s():
    head = Head(features=768, qubits=10, encoders=1, encoder_layers=3, blocks=2, layers=1, connectivity=2)
    # One angle and one CNOT per pair of every ring: layers x connectivity x qubits.
    assert head.encoder_qubits == 10 and heads.encoder(head).n_params == 3 * 2 * 10
    assert heads.size(head) == 60 + 3 * 20 + 2
    needed = heads.inference_resources(head, examples=7, shots=100)
    assert (needed.circuits, needed.shots, needed.measurements) == (7, 700, 700)
    assert needed.gates_2q == 700 * 3 * 20 and needed.gates_1q == 700 * (3 * 20 + 2 * 10)
    # One value and two shifts for each of 60 trained and 20 uploaded angles.
    assert heads.training_resources(head, steps=5, batch=4, shots=100).circuits == 5 * 4 * (1 + 2 * 80)


def test_a_slope_reaches_every_part(drawn):
    params, x = drawn
    slope = jax.jit(jax.grad(heads.loss), static_argnums=3)(
        params, x, jnp.array([0, 1, 1, 0, 1]), SMALL, Settings(pad=0.5)
    )
    # Outside the light cone of the one measured qubit an angle has no slope; every array has some.
    assert all(float(jnp.linalg.norm(value)) > 1e-3 for value in slope.values())
    assert all(float(jnp.linalg.norm(row)) > 1e-4 for row in slope["encoders"])


def test_without_circuits_it_is_a_logistic_regression():
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    rng = np.random.default_rng(5)
    x = rng.normal(size=(60, 3)).astype(np.float32)
    y = (x @ np.array([1.0, -2.0, 0.5]) + rng.normal(size=60) > 0).astype(np.int32)
    head = Head(features=3, qubits=0, encoders=0)
    fit = heads.fit(jax.random.key(1), x, y, Settings(learning_rate=0.02), head, steps=2500, batch=60)
    reference = LogisticRegression(C=np.inf, tol=1e-8).fit(x, y)
    own = heads.predict(fit.params, x, head, Settings())
    # The batches are drawn with replacement, so that the optimum is only hovered about.
    assert np.corrcoef(own, reference.decision_function(x))[0, 1] > 0.99
    assert float(fit.losses[-200:].mean()) == pytest.approx(log_loss(y, reference.predict_proba(x)), abs=0.03)


@pytest.fixture(scope="module")
def population():
    """Four lanes on a problem that a quadratic form solves: which half of the vector is longer."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, 6)).astype(np.float32)
    y = ((x[:, :3] ** 2).sum(1) > (x[:, 3:] ** 2).sum(1)).astype(np.int32)
    settings = Settings(jnp.array([0.02, 0.05, 0.05, 0.0]), jnp.full(4, 3.0), jnp.zeros(4))
    keys = jax.random.split(jax.random.key(0), 4)
    return x, y, keys, settings, heads.population(keys, x, y, settings, SMALL, 150, 32)


def test_training_learns_and_lanes_are_independent(population):
    x, y, keys, settings, fit = population
    assert fit.losses.shape == (4, 150)
    own = jax.tree.map(lambda leaf: leaf[1], (fit.params, settings))
    assert np.mean((np.asarray(heads.predict(own[0], x, SMALL, own[1])) > 0) == y) > 0.7
    # In another company a lane's training is the same.
    turned = jax.tree.map(lambda leaf: leaf[::-1], (keys, settings))
    other = heads.population(turned[0], x, y, turned[1], SMALL, 150, 32)
    np.testing.assert_allclose(other.losses[::-1][:, :20], fit.losses[:, :20], rtol=0, atol=1e-4)
    still = heads.init(jax.random.split(keys[3])[0], SMALL)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[3], rtol=1e-6), still, fit.params)


def test_frozen_circuits_stay_and_the_readout_moves(population):
    x, y, keys, settings, _ = population
    fit = heads.population(keys, x, y, settings, SMALL, 20, 32, frozen=True)
    start = heads.init(jax.random.split(keys[0])[0], SMALL)
    np.testing.assert_allclose(fit.params["angles"][0], start["angles"], rtol=1e-6)
    np.testing.assert_allclose(fit.params["encoders"][0], start["encoders"], rtol=1e-6)
    assert abs(float(fit.params["weight"][0, 0]) - 1.0) > 1e-3


def test_shots_scatter_as_a_binomial_s_mean(drawn):
    params, x = drawn
    settings, shots, runs = Settings(pad=0.6), 50, 400
    keys = jax.random.split(jax.random.key(8), runs)
    found = jax.jit(jax.vmap(lambda key: heads.sampled(key, params, x, SMALL, settings, shots)))(keys)
    weight, bias = float(params["weight"][0]), float(params["bias"])
    exact = dense_logits(params, x, SMALL, 1.0, 0.6)
    spread = abs(weight) * np.sqrt((1 - ((exact - bias) / weight) ** 2) / shots)
    assert np.all(np.abs(np.asarray(found).mean(0) - exact) < 5 * spread / np.sqrt(runs))
    np.testing.assert_allclose(np.asarray(found).std(0), spread, rtol=0.25)


def test_full_depolarising_noise_leaves_the_bias(drawn):
    params, x = drawn
    settings = Settings(pad=0.6)
    quiet = NoiseModel(after_2q=(Channel("depolarising_2q", (0.0,)),))
    noisy = jax.jit(lambda strengths: heads.noisy(params, x, SMALL, settings, quiet, strengths))
    exact = dense_logits(params, x, SMALL, 1.0, 0.6)
    np.testing.assert_allclose(noisy(jnp.zeros(1)), exact, rtol=0, atol=1e-4)
    # One of the fifteen Pauli words with 15/16 and none with 1/16 mixes two qubits fully: <Z> = 0 where it is read.
    gone = noisy(jnp.array([15 / 16]))
    np.testing.assert_allclose(gone, np.full(5, float(params["bias"])), rtol=0, atol=1e-4)


def test_wrong_structures_are_refused(drawn):
    params, x = drawn
    with pytest.raises(ValueError, match="connectivity"):
        Head(features=6, qubits=4, connectivity=4)
    with pytest.raises(ValueError, match="measured"):
        Head(features=6, qubits=4, measured=5)
    with pytest.raises(ValueError, match="blocks"):
        Head(features=6, blocks=0)
    with pytest.raises(ValueError, match="`x` must have shape"):
        heads.logits(params, x[:, :5], SMALL, Settings())
    with pytest.raises(ValueError, match="shots"):
        heads.sampled(jax.random.key(0), params, x, SMALL, Settings(), 0)
    with pytest.raises(ValueError, match="`y` must have shape"):
        heads.fit(jax.random.key(0), x, jnp.zeros(4, int), Settings(), SMALL, 1, 2)
