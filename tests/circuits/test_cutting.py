"""Shallow circuits that run as two on fewer qubits, against PennyLane's default.qubit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import circuits as qc
from qgen.circuits import cutting, statevector
from qgen.circuits.observables import Observable
from tests.circuits import oracle
from tests.circuits.test_mirrors import BATCH_ATOL, some_angle
from tests.circuits.test_properties import ATOL, GRADIENT_ATOL

N = 12
N_PARAMS = 5


def local_ops(rng, wires, count):
    """Rotations and gates on pairs of one side."""
    ops = []
    for _ in range(count):
        pair = tuple(int(w) for w in rng.choice(wires, 2, replace=False))
        ops.append(qc.gate(str(rng.choice(["ry", "rx", "rz"])), pair[0], some_angle(rng, N_PARAMS)))
        ops.append(qc.gate(str(rng.choice(["cx", "swap", "cz", "iswap"])), pair))
    return tuple(ops)


def both_sides(rng, n, count):
    return local_ops(rng, range(n // 2), count) + local_ops(rng, range(n // 2, n), count)


def z_words(rng, n, count):
    words = ["".join(rng.choice(list("IZ"), n)) for _ in range(count)]
    return Observable([*words, "I" * n], rng.uniform(-1, 1, count + 1))


def ring(n):
    """Data on RX, then weights on RY and RZ and a ring of CNOTs, in a loop: data come first in the parameters."""
    ops = [qc.gate("rx", q, qc.Angle(q)) for q in range(n)]
    for q in range(n):
        ops += [qc.gate("ry", q, qc.Angle(n + q)), qc.gate("rz", q, qc.Angle(2 * n + q))]
    ops += [qc.gate("cx", (q, (q + 1) % n)) for q in range(n)]
    return qc.Circuit(n, tuple(ops))


ANGLE = qc.Angle(0, 0.7, 0.2)
ACROSS = {
    "cx": qc.gate("cx", (5, 6)),
    "cx upwards": qc.gate("cx", (8, 2)),
    "cz": qc.gate("cz", (1, 7)),
    "crot": qc.gate("crot", (3, 9), ANGLE, qc.Angle(1), 0.3),
    "rzz": qc.gate("rzz", (5, 6), ANGLE),
    "cp01": qc.gate("cp01", (0, 11), ANGLE),
    "ccx, two copies": qc.gate("ccx", (1, 3, 6)),
    "ccx, one copy": qc.gate("ccx", (1, 7, 9)),
    "cswap": qc.gate("cswap", (2, 6, 8)),
    "rx under controls": qc.gate("rx", 7, ANGLE, controls=(0, 11), values=(0, 1)),
    "a phase under a control on the other side": qc.gate("p", 5, ANGLE, controls=(6,), values=(0,)),
    "a word with Z on one side": qc.pauli_rotation("ZXYI", (5, 6, 7, 0), ANGLE),
    "a diagonal": qc.diagonal(np.exp(1j * np.arange(4)), (0, 11)),
    "a unitary that is controlled": qc.unitary(
        np.kron(np.diag([1, 0]), np.eye(2)) + np.kron(np.diag([0, 1]), [[0.6, 0.8], [0.8, -0.6]]), (8, 3)
    ),
}


def exact(circuit, params, observable):
    """The value of words of Z from PennyLane's state."""
    density = abs(oracle.pennylane_state(circuit, params)) ** 2
    bits = np.arange(len(density))[:, None] >> np.arange(circuit.n_qubits)[::-1] & 1
    values = [density @ (-1.0) ** bits[:, [wire for wire, _ in word]].sum(1) for word in observable.words]
    return observable.coefficients @ values


def check_against_pennylane(circuit, observable, engine, rng):
    params, direction = rng.uniform(-2, 2, circuit.n_params), rng.normal(size=circuit.n_params)
    expected = exact(circuit, params, observable)
    slope = oracle.slope(lambda p: exact(circuit, p, observable), params, direction)
    for dtype in ("float32", "float64"):
        with jax.enable_x64(dtype == "float64"):
            run = jax.value_and_grad(lambda p: qc.expectation(circuit, p, observable, engine=engine))
            value, gradient = jax.jit(run)(jnp.asarray(params, dtype))
        assert gradient.dtype == dtype
        np.testing.assert_allclose(value, expected, rtol=0, atol=2 * ATOL[dtype])
        np.testing.assert_allclose(np.asarray(gradient) @ direction, slope, rtol=0, atol=4 * GRADIENT_ATOL[dtype])


@pytest.mark.parametrize("name", ACROSS)
def test_a_gate_across_acts_from_copies(name):
    rng = np.random.default_rng(len(name))
    ops = (*both_sides(rng, N, 6), ACROSS[name], *both_sides(rng, N, 3))
    circuit = qc.Circuit(N, ops)
    found = cutting.cut(circuit)
    assert found is not None
    assert found.bonds == (2 if "two copies" in name else 1)
    assert max(found.left.n_qubits, found.right.n_qubits) < N
    check_against_pennylane(circuit, z_words(rng, N, 4), "auto", rng)


@pytest.mark.parametrize("seed", range(2))
def test_random_circuits(seed, each_engine):
    """Two gates across that share no copy, and gates at the end that move the words."""
    rng = np.random.default_rng(seed)
    first, second = (ACROSS[name] for name in rng.choice([k for k in ACROSS if "copies" not in k], 2, replace=False))
    end = (
        qc.gate("x", 2),
        qc.gate("cx", (7, 1)),
        qc.gate("swap", (0, 8)),
        qc.gate("cx", (0, 3)),
        qc.gate("rz", 4, 1.0),
    )
    ops = (*both_sides(rng, N, 4), first, *both_sides(rng, N, 4), second, *both_sides(rng, N, 2))
    circuit = qc.Circuit(N, (*ops, *(qc.gate("rx", q, 0.3 + q) for q in range(N)), *end))
    found = cutting.cut(circuit)
    assert found is not None and found.bonds <= 2
    assert sorted(op.name for op in found.after) == ["cx", "cx", "swap", "x"]
    check_against_pennylane(circuit, z_words(rng, N, 4), each_engine, rng)


def test_a_copy_serves_until_its_bit_changes():
    many = tuple(qc.gate("rzz", (2, q), qc.Angle(0)) for q in (11, 10, 9, 6))
    turns = tuple(qc.gate("ry", q, qc.Angle(1, 0.7, q)) for q in range(N))
    rng = np.random.default_rng(0)
    for ops, bonds in (
        ((*turns, *many, *turns), 1),
        ((*turns, many[0], qc.gate("rz", 2, ANGLE), qc.gate("cx", (2, 4)), many[1], *turns), 1),
        ((*turns, many[0], qc.gate("ry", 2, ANGLE), many[1], *turns), 2),
        ((*turns, many[0], qc.gate("x", 2), many[1], *turns), 2),
    ):
        circuit = qc.Circuit(N, ops)
        found = cutting.cut(circuit)
        assert found is not None and found.bonds == bonds
        check_against_pennylane(circuit, z_words(rng, N, 3), "auto", rng)


def test_layers_of_a_ring(each_engine):
    """The last ring goes into the words, so two layers are cut by the two CNOTs of one."""
    rng = np.random.default_rng(1)
    circuit = qc.repeat(ring(N), 2, shared=N)
    found = cutting.cut(circuit)
    assert found is not None
    assert (found.left.n_qubits, found.right.n_qubits, found.bonds, len(found.after)) == (8, 8, 2, N)
    check_against_pennylane(circuit, qc.observables.z_sum(N, 1 / N), each_engine, rng)
    assert cutting.cut(qc.repeat(ring(N), 3, shared=N)) is None  # four bonds of the two that pay
    assert cutting.cut(qc.repeat(ring(16), 3, shared=16)).bonds == 4


@pytest.mark.parametrize("n", [4, N])
def test_single_precision_stays_single_where_double_is_allowed(n, each_engine, monkeypatch):
    """Whole and cut, and without the table of a small register."""
    monkeypatch.setattr(statevector, "TABLE_LIMIT", 0)
    circuit = qc.repeat(ring(n), 2, shared=n)
    with jax.enable_x64(True):
        p = jax.ShapeDtypeStruct((circuit.n_params,), jnp.float32)
        found = jax.eval_shape(lambda p: qc.expectation(circuit, p, qc.observables.z_sum(n), engine=each_engine), p)
    assert found.dtype == jnp.float32


def test_a_circuit_without_parameters(each_engine):
    circuit = qc.Circuit(N, (*(qc.gate("ry", q, 0.1 * q) for q in range(N)), qc.gate("cx", (4, 5))))
    assert cutting.cut(circuit) is not None
    found = qc.expectation(circuit, (), [qc.z(5), qc.z(3)], engine=each_engine)
    np.testing.assert_allclose(found, [np.cos(0.4) * np.cos(0.5), np.cos(0.3)], rtol=0, atol=ATOL["float32"])


def test_cuts_stand_where_they_cost_least():
    """A chain of gates that only the first and last qubits miss."""
    ops = tuple(qc.gate("ry", q, qc.Angle(q)) for q in range(N))
    chain = tuple(qc.gate("iswap", pair) for pair in ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (7, 8), (9, 11)))
    found = cutting.cut(qc.Circuit(N, (*ops, *chain, *ops)))
    assert found is not None and found.bonds == 0 and found.left.n_qubits == 7


NEAR_MISSES = {
    "a SWAP across, not at the end": lambda n: (qc.gate("iswap", (q, (q + 1) % n)) for q in range(n)),
    "an XX rotation from end to end": lambda n: (qc.gate("rxx", (q, (q + n // 2) % n), 0.3) for q in range(n)),
    "more bonds than pay": lambda n: (op for q in range(n // 2) for op in (qc.gate("cx", (q, n - 1 - q)),)),
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_near_misses_run_whole(name):
    turns = tuple(qc.gate("ry", q, qc.Angle(q % 3, 0.7, q)) for q in range(N))
    circuit = qc.Circuit(N, (*turns, *NEAR_MISSES[name](N), *turns))
    assert cutting.cut(circuit) is None
    rng = np.random.default_rng(2)
    check_against_pennylane(circuit, z_words(rng, N, 3), "auto", rng)


def test_small_deep_and_measured_circuits_run_whole():
    least = cutting.LEAST_QUBITS
    turns = [qc.gate("ry", q, qc.Angle(q)) for q in range(least)]
    assert cutting.cut(qc.Circuit(least, tuple(turns))) is not None
    assert cutting.cut(qc.Circuit(least - 1, tuple(turns[:-1]))) is None
    assert cutting.cut(qc.repeat(qc.Circuit(least, tuple(turns)), cutting.MOST_OPS + 1)) is None
    assert cutting.cut(qc.Circuit(least, (*turns, qc.circuit.Reset(0)))) is None


def test_other_observables_and_given_states_see_the_whole():
    rng, n = np.random.default_rng(3), 10
    circuit = qc.Circuit(n, (*both_sides(rng, n, 2), qc.gate("cx", (4, 5)), *both_sides(rng, n, 2)))
    assert cutting.cut(circuit) is not None
    params = rng.uniform(-2, 2, circuit.n_params)
    mixed = Observable(["XIIIIIIIIZ", "ZZIIIIIIYY"], [0.4, -0.7])
    given = oracle.random_state(rng, n)
    psi = oracle.pennylane_state(circuit, params, given)
    diagonal = z_words(rng, n, 2)
    for engine in ("xla", "auto"):
        found = jax.jit(lambda p, e=engine: qc.expectation(circuit, p, [diagonal, mixed], engine=e))(params)
        expected = [oracle.value(circuit, params, one) for one in (diagonal, mixed)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=2 * ATOL["float32"])
        state = jnp.asarray(given)
        found = jax.jit(lambda p, s=state, e=engine: qc.expectation(circuit, p, diagonal, s, e))(params)
        expected = np.real(psi.conj() @ oracle.dense(diagonal, n) @ psi)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2 * ATOL["float32"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_batch_is_its_elements(dtype, each_engine):
    """Own data in every example and shared weights, several observables, one with traced coefficients."""
    rng = np.random.default_rng(4)
    circuit, size = qc.repeat(ring(N), 2, shared=N), 5
    with jax.enable_x64(dtype == "float64"):
        data = jnp.asarray(rng.uniform(-2, 2, (size, N)), dtype)
        weights = jnp.asarray(rng.uniform(-2, 2, circuit.n_params - N), dtype)
        scale = jnp.asarray(rng.uniform(-1, 1, N), dtype)
        words = [((q, "Z"),) for q in range(N)]
        mixing = jnp.asarray(rng.normal(size=2), dtype)

        def value(data, weights, scale):
            several = [Observable(words, scale), z_words(np.random.default_rng(5), N, 3)]
            return mixing @ qc.expectation(circuit, (data, weights), several, engine=each_engine)

        run = jax.value_and_grad(value, (0, 1, 2))
        whole = jax.jit(jax.vmap(run, (0, None, None)))(data, weights, scale)
        for k in range(0, size, 2):
            alone = jax.jit(run)(data[k], weights, scale)
            for mine, part in zip(jax.tree.leaves(alone), jax.tree.leaves(whole), strict=True):
                np.testing.assert_allclose(part[k], mine, rtol=0, atol=BATCH_ATOL[dtype])


def test_second_derivatives_and_forward_mode():
    """Against central differences of a gradient that the tests above hold against PennyLane."""
    rng = np.random.default_rng(6)
    circuit = qc.repeat(ring(N), 2, shared=N)
    observable = qc.observables.z_sum(N)
    with jax.enable_x64(True):
        p, v = jnp.asarray(rng.uniform(-2, 2, circuit.n_params)), jnp.asarray(rng.normal(size=circuit.n_params))
        f = lambda p: qc.expectation(circuit, p, observable)  # noqa: E731
        gradient = jax.jit(jax.grad(f))
        pushed = jax.jit(lambda p, v: jax.jvp(f, (p,), (v,))[1])(p, v)
        np.testing.assert_allclose(pushed, gradient(p) @ v, rtol=0, atol=1e-10)
        curved = jax.jit(lambda p, v: jax.jvp(jax.grad(f), (p,), (v,))[1])(p, v)
        np.testing.assert_allclose(curved, oracle.slope(gradient, p, v), rtol=0, atol=1e-5)


def test_nan_surfaces(each_engine):
    """Also where the last phases, which no engine runs, take it."""
    circuit = qc.repeat(ring(N), 2, shared=N)
    run = jax.jit(lambda p: qc.expectation(circuit, p, qc.observables.z_sum(N), engine=each_engine))
    assert np.isfinite(run(jnp.zeros(circuit.n_params)))
    for entry in (0, N, 3 * N, 5 * N - 1):
        assert np.isnan(run(jnp.zeros(circuit.n_params).at[entry].set(np.nan)))


def test_registers_beyond_the_memory_run_where_their_halves_fit():
    """RY, a chain of CZ and a turn of X into Z: <X_q> sees the neighbours' cosines."""
    n = 36
    turns = tuple(qc.gate("ry", q, qc.Angle(q)) for q in range(n))
    chain = tuple(qc.gate("cz", (q, q + 1)) for q in range(n - 1))
    circuit = qc.Circuit(n, (*turns, *chain, *(qc.gate("ry", q, -np.pi / 2) for q in range(n))))
    a = np.random.default_rng(7).uniform(-1, 1, n)
    near = np.cos(np.pad(a, 1))
    found = qc.expectation(circuit, a, [qc.z(0), qc.z(n // 2 - 1), qc.z(n // 2), qc.pauli("ZZ", (0, n - 1))])
    single = np.sin(a) * near[:-2] * near[2:]
    expected = [*single[[0, n // 2 - 1, n // 2]], single[0] * single[-1]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL["float32"])
    with pytest.raises(ValueError, match="36 qubits needs"):
        qc.expectation(circuit, a, qc.pauli("X", 0))
