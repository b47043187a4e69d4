import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import circuits as qc
from qgen.circuits.circuit import repeat
from qgen.circuits.operation import generator
from tests.circuits.oracle import pennylane_state

ATOL = 2e-6


def nested():
    """A loop in a loop, with shared parameters in both."""
    inner = qc.Circuit(3, (qc.gate("rx", 0, qc.Angle(0)), qc.gate("crz", (0, 2), qc.Angle(1, 0.7)), qc.gate("h", 1)))
    outer = qc.Circuit(3, (qc.gate("ry", 1, qc.Angle(0, 1.3, 0.2)),)) + repeat(inner, 2, shared=1)
    return qc.Circuit(3, (qc.gate("ry", 2, qc.Angle(0)),)) + repeat(outer, 3, shared=1)


def test_nested_loops_advance_and_share(key):
    circuit = nested()
    # Outer body: 1 angle, then the loop's 1 shared and 2 advancing: 4, of which the outer loop shares the first.
    assert circuit.n_params == 1 + 1 + 3 * 3
    params = np.linspace(-1.5, 2.0, circuit.n_params)
    used = [op.angles[0].index for op in circuit.walk() if op.angles]
    assert used == [0] + [i for r in range(3) for i in (1, 2 + 3 * r, 3 + 3 * r, 2 + 3 * r, 4 + 3 * r)]
    expected = pennylane_state(circuit, params)
    for same in (circuit, circuit.flat()):
        found = jax.jit(lambda p, same=same: qc.apply(same, p))(jnp.asarray(params))
        np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)


def test_inverse_undoes_loops_on_the_same_parameters():
    circuit = nested() + qc.Circuit(3, (qc.gate("iswap", (0, 2)), qc.gate("u2", 1, 0.3, qc.Angle(0))))
    params = jnp.linspace(-1.5, 2.0, circuit.n_params)
    after = jax.jit(lambda p: qc.apply(circuit, p))(params)
    back = jax.jit(lambda p, s: qc.apply(circuit.inverse(), p, state=s))(params, after)
    np.testing.assert_allclose(back, np.eye(8)[0], rtol=0, atol=ATOL)
    expected = pennylane_state(circuit.inverse(), np.asarray(params), np.asarray(after))
    np.testing.assert_allclose(back, expected, rtol=0, atol=ATOL)


def test_addition_shifts_and_is_hashable():
    a = qc.Circuit(2, (qc.gate("ry", 0, qc.Angle(0)),))
    b = qc.Circuit(3, (qc.gate("rz", 2, qc.Angle(1, 2.0)), qc.gate("cx", (0, 2))))
    both = a + b
    assert both.n_qubits == 3 and both.n_params == 3
    assert both.ops[1].angles == (qc.Angle(2, 2.0),)
    assert hash(both) == hash(a + b) and both == a + b
    assert (a + qc.Repeat(a, 3)).n_params == 4
    with pytest.raises(TypeError):
        a + 3


def test_angle_arithmetic():
    assert -qc.Angle(1, 2.0, 0.5) == qc.Angle(1, -2.0, -0.5)
    assert 2 * qc.Angle(1, 2.0, 0.5) + 1.0 == qc.Angle(1, 4.0, 2.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: qc.gate("hadamrd", 0), "must be one of"),
        (lambda: qc.gate("cx", (0,)), "acts on 2 wires, but 1 are given"),
        (lambda: qc.gate("cx", (1, 1)), "repeated wires"),
        (lambda: qc.gate("x", -1), "negative wire"),
        (lambda: qc.gate("x", 0, controls=(0,)), "repeated wires"),
        (lambda: qc.gate("x", 0, controls=(1,), values=(2,)), "one 0 or 1 per control"),
        (lambda: qc.gate("ry", 0), "takes 1 angles, but 0 are given"),
        (lambda: qc.gate("ry", 0, jnp.ones(2)), "must hold numbers or Angles"),
        (lambda: qc.Op("x", (0.5,)), "must hold integers"),
        (lambda: qc.gate("x", 0.5), "`wires` must hold integers"),
        (lambda: qc.gate("x", "a"), "`wires` must hold integers"),
        (lambda: qc.Circuit(2, ("x",)), "must hold operations, but holds 'x'"),
        (lambda: qc.Circuit(2.5), "`n_qubits` must hold integers"),
        (lambda: qc.Repeat(qc.Circuit(1), 2.5), "`times` must hold integers"),
        (lambda: qc.Repeat(qc.Circuit(1), 2, shared=0.5), "`shared` must hold integers"),
        (lambda: qc.Repeat(qc.Circuit(1), 2, start=0.5), "`start` must hold integers"),
        (lambda: qc.Repeat(qc.Circuit(1), 2, start=-1), "`start` must be at least 0"),
        (lambda: qc.Angle(0.5), "`index` must hold integers"),
        (lambda: qc.gate("x", 0, controls=(1,), values=(0.5,)), "`values` must hold integers"),
        (lambda: qc.Conditional(qc.gate("x", 0), (0,), (0.7,)), "`values` must hold integers"),
        (lambda: qc.Measure(0.5, 0), "`wire` must hold integers"),
        (lambda: qc.Measure(0, 0.5), "`bit` must hold integers"),
        (lambda: qc.Reset(0.5), "`wire` must hold integers"),
        (lambda: qc.Measure(-1, 0), "`wire` must be at least 0"),
        (lambda: qc.Measure(0, -1), "`bit` must be at least 0"),
        (lambda: qc.Reset(-2), "`wire` must be at least 0"),
        (lambda: qc.Conditional(qc.gate("x", 0), ()), r"`len\(bits\)` must be at least 1"),
        (lambda: qc.Conditional(qc.gate("x", 0), (1, -1)), "`bits` must be at least 0"),
        (lambda: qc.Op("pauli_rot", (), (0.1,)), "at least one wire"),
        (lambda: qc.Op("x", (0,), word="X"), "no Pauli word"),
        (lambda: qc.Op("x", (0,), data=b"1"), "takes no matrix"),
        (lambda: qc.Op("unitary", (0,), data=b"1"), "needs 4 complex128"),
        (lambda: qc.pauli_rotation("XQ", (0, 1), 0.1), "one letter of IXYZ"),
        (lambda: qc.unitary(np.ones((2, 2)), (0,)), "must be unitary"),
        (lambda: qc.unitary(np.full((2, 2), np.nan), (0,)), "must be unitary"),
        (lambda: qc.unitary(np.eye(2), (0, 1)), "must have shape"),
        (lambda: qc.diagonal([1, 2], (0,)), "must be unitary"),
        (lambda: qc.diagonal([1, 1], (0, 1)), "must have shape"),
        (lambda: qc.Angle(-1), "`index` must be at least 0"),
        (lambda: qc.Circuit(0), "`n_qubits` must be at least 1"),
        (lambda: qc.Circuit(2, (qc.gate("x", 2),)), "Wire 2 is out of range"),
        (lambda: qc.Circuit(1, (qc.Measure(1, 0),)), "Wire 1 is out of range"),
        (lambda: qc.Circuit(1, (qc.Repeat(qc.Circuit(2), 3),)), "has 2 qubits is out of range"),
        (lambda: qc.Repeat(qc.Circuit(1), 0), "`times` must be at least 1"),
        (lambda: qc.Repeat(qc.Circuit(1), 1, shared=1), "`shared` must lie in"),
        (lambda: qc.Conditional(qc.gate("x", 0), (0,), (3,)), "one 0 or 1 per bit"),
        (lambda: qc.Circuit(1, (qc.Reset(0),)).inverse(), "no inverse"),
        (lambda: generator(qc.gate("rot", 0, 1.0, 2.0, 3.0)), "no generator"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
