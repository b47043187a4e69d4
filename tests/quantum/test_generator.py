import math

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from qgen import circuits as qc
from qgen import method
from qgen.quantum import generator

SIGMAS = 5
EXACT_TOLERANCE = 2e-6
DESIGN = generator.Design(3, 3)


def pennylane_layers(angles, design):
    for layer in range(design.layers):
        for qubit in range(design.n_qubits):
            qml.RY(angles[layer * design.n_qubits + qubit], wires=qubit)
        if layer + 1 < design.layers and design.entangled:
            for qubit in range(design.n_qubits):
                qml.CZ(wires=[qubit, (qubit + 1) % design.n_qubits])


def pennylane_probabilities(angles, design=DESIGN):
    @qml.qnode(qml.device("default.qubit", wires=design.n_qubits))
    def run(angles):
        pennylane_layers(angles, design)
        return qml.probs(wires=range(design.n_qubits))

    return np.asarray(run(angles))


def angles_of(seed, design=DESIGN):
    return np.random.default_rng(seed).uniform(-math.pi, math.pi, design.n_params)


@pytest.mark.parametrize("entangled", [True, False])
def test_circuit_against_pennylane(entangled):
    design, angles = generator.Design(3, 3, entangled), angles_of(1)
    found = qc.probabilities(generator.circuit(design), jnp.asarray(angles, jnp.float32))
    np.testing.assert_allclose(found, pennylane_probabilities(angles, design), atol=EXACT_TOLERANCE)


def test_start_is_near_uniform_and_spread_moves_it(key):
    flat = qc.probabilities(generator.circuit(DESIGN), generator.start(key, DESIGN, 0.0))
    np.testing.assert_allclose(flat, np.full(8, 1 / 8), atol=EXACT_TOLERANCE)
    assert float(jnp.std(generator.start(key, DESIGN, 0.3) - generator.start(key, DESIGN, 0.0))) > 0.1


def test_factors_by_numpy():
    distribution = np.array([0.1, 0.3, 0.05, 0.55])
    found = generator.factors(jnp.asarray(distribution), 0.7, 3)
    np.testing.assert_allclose(found, 1 + 0.7 * (4 * distribution[:3] - 1), rtol=1e-6)


def test_frequencies_are_a_multinomial_sample(key):
    distribution, shots = np.array([0.5, 0.0, 0.2, 0.3]), 40_000
    found = np.asarray(generator.frequencies(key, jnp.asarray(distribution), shots))
    error = np.sqrt(distribution * (1 - distribution) / shots)
    assert found.sum() == pytest.approx(1, abs=1e-6)
    assert (np.abs(found - distribution) <= SIGMAS * error).all()


def test_shifts_estimate_the_derivative(key):
    angles, shots, width = angles_of(2), 60_000, 1e-5
    estimate = jax.jit(lambda key, angles: generator.shifted(key, DESIGN, angles, shots))
    found = np.asarray(estimate(key, jnp.asarray(angles, jnp.float32)))
    units = np.eye(DESIGN.n_params) * width
    exact = [(pennylane_probabilities(angles + u) - pennylane_probabilities(angles - u)) / (2 * width) for u in units]
    # Two independent shares of at most 1/4 variance per shot, halved.
    assert np.abs(found - np.array(exact)).max() < SIGMAS * math.sqrt(2 * 0.25 / shots) / 2


def test_metric_estimates_the_fubini_study_blocks(key):
    angles, shots = angles_of(3), 60_000

    @qml.qnode(qml.device("default.qubit", wires=3))
    def run(angles):
        pennylane_layers(angles, DESIGN)
        return qml.expval(qml.Z(0))

    exact = qml.metric_tensor(run, approx="block-diag")(qml.numpy.array(angles, requires_grad=True))
    estimate = jax.jit(lambda key, angles: generator.metric(key, DESIGN, angles, shots))
    found = np.asarray(estimate(key, jnp.asarray(angles, jnp.float32)))
    assert np.abs(found - np.asarray(exact)).max() < SIGMAS / 4 / math.sqrt(shots)
    assert np.linalg.eigvalsh(found).min() > -EXACT_TOLERANCE


def aim(factors, shared, batch):
    return jnp.sum((factors - shared) ** 2) + 0.0 * batch.sum()


@pytest.mark.parametrize(("rule", "rate"), [("natural", 0.02), ("adam", 0.05)])
def test_training_reaches_a_distribution_that_the_circuit_can_make(key, rule, rate):
    wanted = generator.factors(
        qc.probabilities(generator.circuit(DESIGN), jnp.asarray(angles_of(5), jnp.float32)), 0.5, 8
    )
    solver = generator.train(
        aim, DESIGN, width=8, shots=2000, rule=rule, rate=rate, strength_rate=0.01, damping=0.05, spread=0.5
    )
    run = jax.jit(lambda key, problem: method.run(solver, key, problem, 200))(key, (wanted, jnp.zeros((3, 1))))
    assert bool(run.info.ok.all())
    assert run.info.aux.shape == (200, 2) and float(run.info.aux[0].min()) > 0
    assert float(run.info.loss[-20:].mean()) < 0.35 * float(run.info.loss[0])


def test_batches_take_turns_and_a_resumed_run_equals_a_straight_one(key):
    def last(factors, shared, batch):
        return factors[0] * batch[0]

    design = generator.Design(3, 1)
    solver = generator.train(last, design, width=5, shots=100, rule="natural", rate=0.1, strength_rate=0.01)
    problem = ((), jnp.asarray([[1.0], [0.0], [2.0]]))
    straight = method.run(solver, key, problem, 5)
    assert np.asarray(straight.info.loss[1]) == 0 and np.asarray(straight.info.loss[4]) == 0
    half = method.run(solver, key, problem, 3)
    rest = method.run(solver, key, problem, 2, state=half.state, start=3)
    for a, b in zip(jax.tree.leaves(straight.state), jax.tree.leaves(rest.state), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("rule", "circuits"), [("natural", 1 + 10 * (1 + 18 + 3)), ("adam", 1 + 10 * (1 + 18)), (None, 1)]
)
def test_resources_count_every_circuit(rule, circuits):
    needed = generator.resources(DESIGN, rule, steps=10, shots=50, final_shots=700)
    assert sum(item.circuits for item in needed) == circuits
    assert sum(item.shots for item in needed) == 700 + 50 * (circuits - 1)
    assert all(item.qubits == 3 for item in needed)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: generator.Design(0, 2), "`n_qubits` must be at least 1"),
        (lambda: generator.Design(2, 0), "`layers` must be at least 1"),
        (lambda: generator.factors(jnp.ones(4) / 4, 0.1, 5), "must be at least 5"),
        (lambda: generator.frequencies(jax.random.key(0), jnp.ones(2) / 2, 0), "`shots` must be at least 1"),
        (lambda: train_with(rule="natura"), "`rule` must be one of.*Did you mean 'natural'"),
        (lambda: train_with(width=9), r"`2 \*\* n_qubits` must be at least 9"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def train_with(width=8, rule="adam"):
    return generator.train(aim, DESIGN, width=width, shots=10, rule=rule, rate=0.1, strength_rate=0.1)
