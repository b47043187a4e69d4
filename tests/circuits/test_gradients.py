import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from qgen import circuits as qc
from qgen.circuits import gradients
from tests.circuits import oracle


def sample_circuit():
    """Gates of one, two and four frequencies, an angle used twice, a control and a loop."""
    ops = (
        qc.gate("h", 0),
        qc.gate("ry", 1, qc.Angle(0, 1.4, 0.1)),
        qc.gate("crx", (0, 2), qc.Angle(1)),
        qc.gate("single_excitation", (1, 2), qc.Angle(2)),
        qc.gate("rxx", (0, 1), qc.Angle(0, -0.6)),
        qc.gate("rot", 2, 0.3, qc.Angle(2), qc.Angle(1)),
        qc.gate("fermionic_swap", (0, 2), qc.Angle(3)),
        qc.gate("ry", 0, qc.Angle(3), controls=(1,), values=(0,)),
    )
    return qc.Circuit(3, ops) + qc.ansatz.hardware_efficient(3, 2, ("ry",))


@pytest.mark.parametrize("frequencies", [(1.0,), (0.5, 1.0), (1.0, 2.0, 3.0), (0.3, 1.0, 1.7)])
def test_shift_rule_differentiates_any_sum_of_its_frequencies(frequencies):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, len(frequencies)))
    w = np.array(frequencies)
    f = lambda t: 0.7 + a @ np.cos(w * t) + b @ np.sin(w * t)  # noqa: E731
    s, c = gradients.shift_rule(frequencies)
    found = sum(ck * (f(0.4 + sk) - f(0.4 - sk)) for sk, ck in zip(s, c, strict=True))
    np.testing.assert_allclose(found, (b * np.cos(w * 0.4) - a * np.sin(w * 0.4)) @ w, rtol=0, atol=1e-9)


def test_shift_gradient_is_the_slope():
    circuit = sample_circuit()
    rng = np.random.default_rng(1)
    params, direction = rng.uniform(-2, 2, (2, circuit.n_params))
    observable = qc.z(0) + 0.7 * qc.pauli("XY", (1, 2))
    with jax.enable_x64(True):
        gradient = jax.jit(lambda p: qc.shift_gradient(circuit, p, observable))(jnp.asarray(params))
    slope = oracle.slope(lambda p: oracle.value(circuit, p, observable), params, direction)
    np.testing.assert_allclose(np.asarray(gradient) @ direction, slope, rtol=0, atol=1e-7)
    constant = qc.shift_gradient(qc.Circuit(1, (qc.gate("h", 0),)), (), qc.z(0))
    assert constant.shape == (0,)


def test_parameter_shift_of_a_function():
    f = lambda p: jnp.sin(p[0]) * jnp.cos(2 * p[1]) + jnp.sin(p[1])  # noqa: E731
    p = jnp.array([0.4, -0.9])
    found = qc.parameter_shift(f, [(1.0,), (1.0, 2.0)])(p)
    expected = [np.cos(0.4) * np.cos(-1.8), -2 * np.sin(0.4) * np.sin(-1.8) + np.cos(-0.9)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    one = qc.parameter_shift(lambda p: jnp.sin(p).sum())(p)
    np.testing.assert_allclose(one, np.cos([0.4, -0.9]), rtol=0, atol=1e-5)


def test_spsa_is_right_on_average(key):
    slope = jnp.array([0.3, -1.2, 2.0])
    samples = 4000
    found = qc.spsa(key, lambda p: slope @ p, jnp.zeros(3), 0.1, samples)
    # Every sample has variance sum of the other slopes' squares.
    sigma = np.sqrt((np.sum(np.square(slope)) - np.square(slope)) / samples)
    assert np.all(abs(np.asarray(found) - np.asarray(slope)) < 5 * sigma)


@pytest.mark.parametrize("kind", ["full", "block", "diagonal"])
def test_metric_tensor_is_pennylanes(kind):
    circuit = qc.ansatz.hardware_efficient(3, 2)
    params = np.random.default_rng(2).uniform(-2, 2, circuit.n_params)
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(lambda p: qc.metric_tensor(circuit, p, kind))(jnp.asarray(params)))
    h = 1e-5
    states = [
        (oracle.pennylane_state(circuit, params + h * e) - oracle.pennylane_state(circuit, params - h * e)) / (2 * h)
        for e in np.eye(circuit.n_params)
    ]
    rows, psi = np.stack(states), oracle.pennylane_state(circuit, params)
    overlap = rows.conj() @ psi
    expected = np.real(rows.conj() @ rows.T - np.outer(overlap, overlap.conj()))
    layer = np.repeat(np.arange(4), 3)  # RY, RZ, RY, RZ on three qubits each
    mask = {"full": 1.0, "block": layer[:, None] == layer[None, :], "diagonal": np.eye(circuit.n_params)}[kind]
    np.testing.assert_allclose(found, expected * mask, rtol=0, atol=1e-7)


def test_metric_resources_count_hadamard_tests():
    circuit = qc.ansatz.hardware_efficient(3, 2)
    p, shots = circuit.n_params, 10
    tests = p * (p - 1) // 2 + p
    full = qc.metric_resources(circuit, shots)
    assert (full.qubits, full.circuits, full.shots, full.measurements) == (4, tests, tests * shots, tests * shots)
    assert full.gates_2q == tests * shots * (6 + 2)
    assert qc.metric_resources(circuit, shots, "block").circuits == 4


def test_frequencies_under_a_control_are_pennylanes():
    op = qc.gate("rzz", (0, 1), qc.Angle(0), controls=(2,))
    expected = qml.ctrl(qml.IsingZZ(0.3, (0, 1)), control=2).parameter_frequencies[0]
    np.testing.assert_allclose(gradients.op_frequencies(op), sorted(expected), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gradients.shift_rule((1.0, 1.0)), "different positive numbers"),
        (lambda: gradients.shift_rule((-1.0,)), "different positive numbers"),
        (lambda: qc.parameter_shift(jnp.sum, [(1.0,)])(jnp.ones(2)), "must hold 2 sequences"),
        (lambda: qc.parameter_shift(jnp.sum)(jnp.ones((2, 2))), "must have shape"),
        (lambda: gradients.occurrences(qc.Circuit(1, (qc.Reset(0),))), "no shift rule"),
        (lambda: qc.spsa(jax.random.key(0), jnp.sum, jnp.ones(2), samples=0), "`samples` must be at least 1"),
        (lambda: qc.spsa(jax.random.key(0), jnp.sum, jnp.ones(2), step=0.0), "`step` must be above 0"),
        (lambda: qc.metric_tensor(qc.encodings.angle(1), jnp.ones(1), "half"), "`kind` must be one of"),
        (lambda: qc.metric_tensor(qc.Circuit(1), ()), "`n_params` must be at least 1"),
        (lambda: qc.metric_resources(qc.encodings.angle(1), 1, "half"), "`kind` must be one of"),
        (lambda: qc.metric_resources(qc.encodings.angle(1), 0), "`shots` must be at least 1"),
        (lambda: qc.metric_resources(qc.Circuit(1), 1), "`n_params` must be at least 1"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
