"""Extrapolation against closed forms and numpy fits, folding against PennyLane, truth by density matrices."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from qgen import circuits as qc
from qgen.circuits import density, mitigation
from qgen.circuits.noise import Channel, NoiseModel, kraus

DOUBLE = 1e-10
SIGMAS = 5.0


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


FACTORS = (1.0, 1.5, 2.2, 3.0)


def test_extrapolation_of_exact_curves():
    x = np.array(FACTORS)
    line, parabola, cubic = 0.7 - 0.1 * x, 0.7 - 0.1 * x + 0.02 * x**2, 0.7 - 0.1 * x + 0.02 * x**2 - 0.003 * x**3
    for values, method in ((line, "linear"), (parabola, "quadratic"), (cubic, "richardson")):
        np.testing.assert_allclose(mitigation.extrapolate(values, FACTORS, method), 0.7, atol=DOUBLE)
    np.testing.assert_allclose(
        mitigation.extrapolate(-0.7 * np.exp(-0.3 * x), FACTORS, "exponential"), -0.7, atol=DOUBLE
    )


def test_extrapolation_of_rough_values_is_numpys_fit():
    values = np.array([0.61, 0.5, 0.47, 0.3])
    for degree, method in ((1, "linear"), (2, "quadratic")):
        fit = np.polynomial.Polynomial.fit(FACTORS, values, degree)
        np.testing.assert_allclose(mitigation.extrapolate(values, FACTORS, method), fit(0.0), atol=DOUBLE)
    fit = np.polynomial.Polynomial.fit(FACTORS, np.log(values), 1)
    np.testing.assert_allclose(mitigation.extrapolate(values, FACTORS, "exponential"), np.exp(fit(0.0)), atol=DOUBLE)


def test_overhead_is_the_variance_of_an_optimal_allocation():
    """Factors 1, 2, 3 by Richardson: weights 3, -3, 1 by Lagrange, overhead 49; checked by drawing samples."""
    found = mitigation.mitigate(np.array([0.5, 0.4, 0.35]), (1.0, 2.0, 3.0))
    np.testing.assert_allclose(found.weights, [3, -3, 1], atol=DOUBLE)
    np.testing.assert_allclose(found.overhead, 49, atol=1e-8)
    shots, trials, rng = 140, 20_000, np.random.default_rng(0)
    sizes = np.abs(np.asarray(found.weights))
    spread = sizes / sizes.sum() * shots * 49
    draws = sum(
        w * rng.normal(0, 1 / math.sqrt(s), trials) for w, s in zip(np.asarray(found.weights), spread, strict=True)
    )
    np.testing.assert_allclose(draws.var() * shots, 1, atol=SIGMAS * math.sqrt(2 / trials))


def folded_matrix(circuit, params) -> np.ndarray:
    with qml.queuing.AnnotatedQueue() as queue:
        for op in circuit.walk():
            angles = [a.scale * params[a.index] + a.offset if isinstance(a, qc.Angle) else a for a in op.angles]
            name = qc.GATES[op.name].pennylane
            if name.startswith("Adjoint"):
                qml.adjoint(getattr(qml, name[8:-1]))(wires=op.wires)
            elif op.name == "cu":
                theta, phi, lam, gamma = angles
                qml.PhaseShift(gamma, op.wires[0])
                qml.ctrl(qml.U3(theta, phi, lam, op.wires[1]), op.wires[0])
            else:
                getattr(qml, name)(*angles, wires=op.wires)
    return qml.matrix(qml.tape.QuantumScript(queue.queue), wire_order=range(4))


A = qc.Angle
BODY = qc.Circuit(2, (qc.gate("rot", 0, A(0), A(1), 0.2), qc.gate("t", 1), qc.gate("crot", (0, 1), A(1), 0.5, A(2))))
CIRCUIT = qc.repeat(BODY, 2, shared=1) + qc.Circuit(
    4,
    (
        qc.gate("u3", 2, A(0), 0.4, A(1)),
        qc.gate("u2", 3, A(0), 1.3),
        qc.gate("cu", (3, 1), A(0), A(1), 0.3, A(2)),
        qc.gate("pswap", (0, 2), A(3)),
        qc.gate("orbital_rotation", (3, 1, 2, 0), A(3)),
        qc.gate("rx", 2, A(2)),
    ),
)
PARAMS = np.random.default_rng(5).uniform(-3, 3, CIRCUIT.n_params)


@pytest.mark.parametrize(("factor", "gates"), [(1.0, 12), (1.6, 20), (3.0, 36), (3.9, 46), (5.0, 60)])
def test_folding_keeps_the_unitary(factor, gates):
    folded = mitigation.fold(CIRCUIT, factor)
    assert sum(1 for _ in folded.walk()) == gates
    assert folded.n_params == CIRCUIT.n_params
    np.testing.assert_allclose(folded_matrix(folded, PARAMS), folded_matrix(CIRCUIT, PARAMS), atol=DOUBLE)


MODEL = NoiseModel(after_1q=(Channel("depolarising", (0.004,)),), after_2q=(Channel("depolarising_2q", (0.01,)),))


@pytest.mark.parametrize(("scaling", "factors"), [("strength", (1, 2, 3)), ("folding", (1, 3, 5))])
def test_zero_noise_comes_nearer_to_the_truth(scaling, factors):
    circuit = qc.ansatz.brickwork(3, 1)
    params = np.random.default_rng(1).uniform(-3, 3, circuit.n_params)
    observable = qc.Observable(["ZZI", "IXX"], np.array([1.0, 0.5]))
    truth = density.expectation(circuit, params, observable)
    found = jax.jit(lambda p: mitigation.zero_noise(circuit, p, observable, MODEL, factors=factors, scaling=scaling))(
        params
    )
    np.testing.assert_allclose(found.raw[0], density.expectation(circuit, params, observable, MODEL), atol=DOUBLE)
    for method, gain in (("linear", 3), ("richardson", 10), ("exponential", 3)):
        value = mitigation.extrapolate(found.raw, factors, method)
        assert abs(value - truth) * gain < abs(found.raw[0] - truth), method


def test_noise_that_only_shrinks_is_removed_exactly_by_the_exponential():
    """Depolarising after a single rotation multiplies <Z> by (1 - 4 p / 3) to the power of the factor."""
    circuit, p = qc.Circuit(1, (qc.gate("ry", 0, A(0)),)), 0.03
    model = NoiseModel(after_1q=(Channel("depolarising", (p,)),))
    found = jax.jit(lambda t: mitigation.zero_noise(circuit, t, qc.z(0), model, method="exponential"))(np.array([0.8]))
    np.testing.assert_allclose(found.raw, math.cos(0.8) * (1 - 4 * p / 3) ** np.array([1, 2, 3]), atol=DOUBLE)
    np.testing.assert_allclose(found.value, math.cos(0.8), atol=DOUBLE)


def test_resources_count_folded_circuits_and_the_overhead():
    circuit = qc.Circuit(2, (qc.gate("h", 0), qc.gate("cx", (0, 1))))
    found = mitigation.zero_noise_resources(circuit, 100, (3.0, -3.0, 1.0), factors=(1, 3, 5))
    assert found.shots == 4900
    assert found.gates_2q == 2100 * 1 + 2100 * 3 + 700 * 5
    stretched = mitigation.zero_noise_resources(circuit, 100, (3.0, -3.0, 1.0), factors=(1, 3, 5), scaling="strength")
    assert (stretched.gates_2q, stretched.circuits) == (4900, 3)


CONFUSION = ((0.95, 0.08), (0.05, 0.92))


def test_readout_errors_are_inverted():
    circuit = qc.ansatz.brickwork(3, 1)
    params = np.random.default_rng(2).uniform(-3, 3, circuit.n_params)
    read = density.probabilities(circuit, params, NoiseModel(readout=CONFUSION))
    truth = density.probabilities(circuit, params)
    assert np.max(abs(read - truth)) > 1e-2
    np.testing.assert_allclose(mitigation.readout_probabilities(read, CONFUSION), truth, atol=DOUBLE)
    full = np.kron(np.kron(CONFUSION, CONFUSION), CONFUSION)
    np.testing.assert_allclose(
        mitigation.readout_probabilities(truth, CONFUSION), np.linalg.solve(full, truth), atol=DOUBLE
    )
    overhead = mitigation.readout_overhead(CONFUSION, 3)
    np.testing.assert_allclose(overhead, abs(np.linalg.inv(full)).sum(0).max() ** 2, rtol=DOUBLE)

    symmetric, observable = ((0.96, 0.04), (0.04, 0.96)), qc.Observable(["ZIX", "YZZ", "III"])
    words = [qc.Observable([word]) for word in observable.words]
    noisy = density.expectation(circuit, params, words, NoiseModel(readout=symmetric))
    clean = density.expectation(circuit, params, words)
    np.testing.assert_allclose(mitigation.readout_values(noisy, observable, symmetric), clean, atol=DOUBLE)


GATE = qc.Circuit(1, (qc.gate("h", 0),))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mitigation.extrapolate(jnp.ones(2), (1, 2), "cubic"), "`method` must be one of"),
        (lambda: mitigation.extrapolate(jnp.ones(2), (1, 2), "quadratic"), "`number of factors` must be at least 3"),
        (lambda: mitigation.extrapolate(jnp.ones(1), (1,)), "`number of factors` must be at least 2"),
        (lambda: mitigation.extrapolate(jnp.ones(2), (0.5, 2)), "`smallest factor` must be at least 1"),
        (lambda: mitigation.extrapolate(jnp.ones(2), (2, 2)), "different numbers"),
        (lambda: mitigation.extrapolate(jnp.ones(3), (1, 2)), r"`values` must have shape \(2\)"),
        (lambda: mitigation.fold(GATE, 0.9), "`factor` must be at least 1"),
        (lambda: mitigation.fold(qc.Circuit(1, (qc.Reset(0),)), 3), "cannot be folded"),
        (lambda: mitigation.zero_noise(GATE, (), qc.z(0), MODEL, scaling="time"), "`scaling` must be one of"),
        (
            lambda: mitigation.zero_noise(GATE, (), qc.z(0), NoiseModel(after_1q=(kraus(np.eye(2)[None]),))),
            "no known generator",
        ),
        (lambda: mitigation.zero_noise_resources(GATE, 0, (1.0,), factors=(1,)), "`shots` must be at least 1"),
        (lambda: mitigation.zero_noise_resources(GATE, 9, (1.0,)), r"`weights` must have shape \(3\)"),
        (lambda: mitigation.zero_noise_resources(GATE, 9, (1.0,), scaling="time"), "`scaling` must be one of"),
        (lambda: mitigation.readout_probabilities(jnp.ones(3), CONFUSION), r"`probabilities` must have shape \(2\)"),
        (lambda: mitigation.readout_probabilities(jnp.ones(2), ((0.5, 0.5), (0.5, 0.5))), "must have an inverse"),
        (lambda: mitigation.readout_probabilities(jnp.ones(2), ((0.5, 0.5),)), r"`confusion` must have shape \(2, 2\)"),
        (lambda: mitigation.readout_values(jnp.ones(1), qc.z(0), CONFUSION), "must be symmetric"),
        (lambda: mitigation.readout_values(jnp.ones(2), qc.z(0), ((0.9, 0.1), (0.1, 0.9))), r"must have shape \(1\)"),
        (lambda: mitigation.readout_overhead(CONFUSION, 0), "`qubits` must be at least 1"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
