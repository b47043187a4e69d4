"""The device `qgen.statevector` beyond PennyLane's own suite: derivatives of every kind, batches, shots, errors."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest
from pennylane import numpy as pnp
from pennylane.devices import ExecutionConfig
from pennylane.exceptions import DeviceError, QuantumFunctionError

from qgen.interop.device import StatevectorDevice, differentiable

DOUBLE = 1e-10

SINGLE = 5e-6


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    PENNYLANE_KNOWS_THIS_JAX = hasattr(jax.core, "is_concrete")


@pytest.fixture(scope="module")
def device():
    return qml.device("qgen.statevector", wires=3)


def ansatz(x):
    qml.BasisState([1], wires=[2])
    qml.RX(x[0], 0)
    qml.Rot(x[1], x[2], x[0], wires=1)
    qml.CRY(x[1], wires=[1, 2])
    qml.IsingXY(x[2], wires=[2, 0])
    qml.adjoint(qml.ctrl(qml.RX(x[3], 1), 2, control_values=[False]))


def several(x):
    ansatz(x)
    return qml.expval(qml.Z(0) @ qml.X(1)), qml.probs(wires=[2, 0]), qml.var(qml.Y(1) + 0.3 * qml.Z(2))


def many(x):
    ansatz(x)
    return qml.probs(wires=range(3)), qml.probs(wires=[1, 2])


def single(x):
    ansatz(x)
    return qml.expval(0.7 * qml.Y(0) - 0.2 * qml.X(2) @ qml.Hadamard(1))


X = np.array([0.2, 0.9, 2.1, -1.3])


def flat(qnode):
    def run(x):
        result = qnode(x)
        return pnp.hstack(list(result)) if isinstance(result, tuple) else result

    return run


def both(function, device, **options):
    return (
        qml.QNode(function, device, **options),
        qml.QNode(function, qml.device("default.qubit", wires=3), diff_method="backprop"),
    )


def test_entry_point_names_the_device(device):
    assert isinstance(device, StatevectorDevice)
    assert device.name == "qgen.statevector"


@pytest.mark.parametrize("vjp", [True, False], ids=["vjp", "jacobian"])
@pytest.mark.parametrize("function", [single, several, many])
def test_adjoint_derivatives_in_double_precision(device, function, vjp):
    ours, theirs = both(function, device, diff_method="adjoint", device_vjp=vjp)
    x = pnp.array(X)
    np.testing.assert_allclose(flat(ours)(x), flat(theirs)(x), rtol=0, atol=DOUBLE)
    got, wanted = qml.jacobian(flat(ours))(x), qml.jacobian(flat(theirs))(x)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=DOUBLE)


def test_results_and_derivatives_on_execution(device):
    ours, theirs = both(several, device, diff_method="adjoint", device_vjp=False, grad_on_execution=True)
    got, wanted = (qml.jacobian(flat(qnode))(pnp.array(X)) for qnode in (ours, theirs))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=DOUBLE)


def test_only_trainable_numbers_have_derivatives(device):
    tape = qml.tape.QuantumScript([qml.RX(0.3, 0), qml.RY(0.7, 0)], [qml.expval(qml.Z(0))], trainable_params=[1])
    got = device.compute_derivatives(tape, ExecutionConfig(gradient_method="adjoint"))
    np.testing.assert_allclose(got, -np.cos(0.3) * np.sin(0.7), rtol=0, atol=DOUBLE)
    (product,) = device.compute_vjp((tape,), (np.array(2.0),))
    np.testing.assert_allclose(product, [-2 * np.cos(0.3) * np.sin(0.7)], rtol=0, atol=DOUBLE)


def test_trainable_observables_and_matrices_fall_back_to_shifts(device):
    def value(x):
        qml.Rot(x[0], x[1], x[2], wires=0)
        return qml.expval(qml.Hamiltonian([x[2], 0.4], [qml.Z(0), qml.X(0)]))

    ours, theirs = both(value, device)
    x = pnp.array([0.4, 0.9, -0.6])
    np.testing.assert_allclose(qml.grad(ours)(x), qml.grad(theirs)(x), rtol=0, atol=DOUBLE)
    trainable = pnp.array(np.eye(8), requires_grad=True)
    assert not differentiable(qml.QubitUnitary(trainable, wires=range(3)))
    assert differentiable(qml.ctrl(qml.QubitUnitary(np.eye(2), wires=0), 1))


@pytest.mark.skipif(not PENNYLANE_KNOWS_THIS_JAX, reason="PennyLane's jax interface needs `jax.core.is_concrete`")
@pytest.mark.filterwarnings("ignore:jax.core:DeprecationWarning", "ignore:Explicitly requested dtype:UserWarning")
@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("method", ["best", "adjoint"])
def test_jax_arrays_flow_through(device, method, jit):
    ours, theirs = both(single, device, diff_method=method)
    wrap = jax.jit if jit else lambda f: f
    got = wrap(jax.grad(ours))(jnp.asarray(X))
    np.testing.assert_allclose(got, qml.grad(theirs)(pnp.array(X)), rtol=0, atol=SINGLE)


@pytest.mark.skipif(not PENNYLANE_KNOWS_THIS_JAX, reason="PennyLane's jax interface needs `jax.core.is_concrete`")
@pytest.mark.filterwarnings("ignore:jax.core:DeprecationWarning", "ignore:Explicitly requested dtype:UserWarning")
def test_second_derivatives_and_states_through_jax(device):
    def function(x):
        qml.RX(x[0], 0)
        qml.RY(x[1] * x[0], 0)
        return qml.expval(qml.Z(0)), qml.state()

    qnode = qml.QNode(function, device, max_diff=2)
    x = jnp.array([0.3, 0.8])
    a, b = 0.3, 0.24
    got = jax.jit(jax.hessian(lambda x: qnode(x)[0]))(x)[0, 0]
    second = -np.cos(a) * np.cos(b) * (1 + 0.8**2) + 2 * 0.8 * np.sin(a) * np.sin(b)
    np.testing.assert_allclose(got, second, rtol=0, atol=SINGLE)
    slope = jax.grad(lambda x: jnp.abs(qnode(x)[1][0]) ** 2)(x)[1]
    np.testing.assert_allclose(slope, -0.5 * np.cos(a) * np.sin(b) * 0.3, rtol=0, atol=SINGLE)


def test_batches_run_at_once(device):
    ours, theirs = both(several, device)
    x = np.stack([X, X + 0.3, X * 0.5], axis=1)
    with qml.Tracker(device) as tracker:
        got = ours(x)
    assert tracker.totals["simulations"] == 1
    for value, expected in zip(got, theirs(x), strict=True):
        np.testing.assert_allclose(value, expected, rtol=0, atol=DOUBLE)


def test_batches_have_derivatives(device):
    ours, theirs = both(single, device, diff_method="adjoint")
    x = pnp.array(np.stack([X, X + 0.3], axis=1))
    got, wanted = qml.jacobian(ours)(x), qml.jacobian(theirs)(x)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=DOUBLE)


def test_deferred_measurements_and_custom_state_measurements():
    class Overlap(qml.measurements.StateMeasurement):
        def process_state(self, state, wire_order):
            return abs(state[..., 0]) ** 2

        def process_density_matrix(self, density_matrix, wire_order):
            raise NotImplementedError

    def function(x):
        qml.RX(x[0], 0)
        outcome = qml.measure(0, reset=True)
        qml.cond(outcome, qml.RY)(x[1], 1)
        return qml.expval(qml.Z(1)), qml.probs(op=outcome), Overlap(wires=[0])

    matrix = qml.SparseHamiltonian(qml.Hamiltonian([0.3, 1.0], [qml.X(0), qml.Z(1)]).sparse_matrix(), wires=[0, 1])

    def sparse(x):
        qml.RY(x[0], 0)
        return qml.expval(matrix), qml.expval(qml.Z(1))

    for one in (function, sparse):
        ours, theirs = (qml.QNode(one, qml.device(name)) for name in ("qgen.statevector", "default.qubit"))
        np.testing.assert_allclose(np.hstack(ours(X)), np.hstack(theirs(X)), rtol=0, atol=DOUBLE)


def test_shots_are_seeded_and_unbiased():
    shots = 4000

    def run(seed):
        qnode = qml.set_shots(qml.QNode(several, qml.device("qgen.statevector", wires=3, seed=seed)), shots)
        return qnode(X)

    first, again, other = run(3), run(3), run(4)
    np.testing.assert_array_equal(np.hstack(first), np.hstack(again))
    assert np.any(np.hstack(first) != np.hstack(other))
    exact = qml.QNode(several, qml.device("default.qubit", wires=3))(X)
    assert abs(first[0] - exact[0]) < 5 * np.sqrt((1 - exact[0] ** 2) / shots)
    assert np.all(abs(first[1] - exact[1]) < 5 * np.sqrt(exact[1] * (1 - exact[1]) / shots) + 1e-3)


def test_shot_vectors_counts_and_batches():
    device = qml.device("qgen.statevector", wires=3, seed=0)

    def function(x):
        ansatz(x)
        return qml.sample(wires=[0, 1])

    samples = qml.set_shots(qml.QNode(function, device), [5, 7])(X)
    assert [s.shape for s in samples] == [(5, 2), (7, 2)]
    batch = qml.set_shots(qml.QNode(single, device), 50)(np.stack([X, X], axis=1))
    assert np.shape(batch) == (2,)


def test_what_the_device_does_not_do_is_refused(device):
    with pytest.raises(ValueError, match="`shots` must be at least 1, but is 0"):
        StatevectorDevice(wires=1, shots=0)

    def mid(x):
        qml.RX(x, 0)
        qml.measure(0, postselect=1)
        return qml.expval(qml.Z(0))

    with pytest.raises(DeviceError, match="'deferred', but not 'one-shot'"):
        qml.set_shots(qml.QNode(mid, device, mcm_method="one-shot"), 10)(0.3)
    with pytest.raises(ValueError, match=r"[Pp]ostselect"):
        qml.QNode(mid, qml.device("qgen.statevector"))(0.3)
    with pytest.raises(DeviceError, match="not supported with qgen"):
        qml.QNode(lambda: (qml.AmplitudeDamping(0.1, wires=0), qml.expval(qml.Z(0)))[1], device)()
    with pytest.raises(QuantumFunctionError, match="does not support adjoint"):
        qml.set_shots(qml.QNode(single, device, diff_method="adjoint"), 10)(pnp.array(X))
    with pytest.raises(QuantumFunctionError, match="does not support adjoint"):
        qml.QNode(lambda x: (qml.RX(x, 0), qml.state())[1], device, diff_method="adjoint")(pnp.array(0.2))
    batch = qml.tape.QuantumScript([qml.RX(np.array([0.1, 0.2]), 0)], [qml.expval(qml.Z(0))])
    with pytest.raises(DeviceError, match="Derivatives of a batch"):
        device.compute_derivatives(batch)
    with pytest.raises(QuantumFunctionError, match="does not support backprop"):
        qml.QNode(single, device, diff_method="backprop")


def test_derivatives_that_are_asked_for_are_answered(device):
    assert device.supports_derivatives()
    assert device.supports_derivatives(ExecutionConfig(gradient_method="adjoint"))
    assert device.supports_vjp(ExecutionConfig(gradient_method="device"))
    assert not device.supports_derivatives(ExecutionConfig(gradient_method="parameter-shift"))
    assert not device.supports_derivatives(ExecutionConfig(gradient_method="adjoint", derivative_order=2))
